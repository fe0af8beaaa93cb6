"""The session: one case, one state, many views, one journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.data.journal import Event
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.tune import TuneSettings
from limsup_widgets.session import opening, replaying
from limsup_widgets.session.accepting import with_scribbles, write_accepted
from limsup_widgets.session.case import Source
from limsup_widgets.session.covered import Covered, covered, with_strokes
from limsup_widgets.session.folder import SessionFolder
from limsup_widgets.session.networks import Model
from limsup_widgets.session.paintable import Paintable
from limsup_widgets.session.screen import inside, is_large, tiles
from limsup_widgets.session.scribbled import scribbled_pieces
from limsup_widgets.session.showing import show
from limsup_widgets.session.watchable import Watchable


class Session(Paintable, Watchable):
    """Scribble, tune, look, scribble again: all that a view needs, and no view.

    What can be read is in :class:`~.state.State`, painting in :class:`~.paintable.Paintable`,
    tuning in :class:`~.tunable.Tunable`, what is on screen in :class:`~.watchable.Watchable`; here
    is what concerns the session as a whole. Every action is one event of the journal.

    Parameters
    ----------
    images
        One or several arrays, :class:`~limsup_widgets.data.image.Image` or paths of one subject; a
        volume counts as its planes.
    classes
        Names of the classes 1…K, at least two.
    model
        None or ``"u0"`` for the shipped network, a model file, or any module
        ``(N, C, H, W)`` → ``(N, K, H, W)``. One for other channels or classes is adapted by the
        first tune; until then there is no prediction.
    truths
        Codes ``(H, W)`` per image where they are known; they are shown as Dice, never learnt from.
    folder
        Where to keep everything; a folder that holds this very session is continued. Without one
        the session lives in memory until :meth:`save`.
    settings
        :class:`~limsup_widgets.learn.tune.TuneSettings`; an attribute, to be replaced at any time.
        By default more steps for a network that has to be adapted.
    passes, seed
        Of Monte Carlo dropout.
    name
        For lists and headings.
    normalizer
        How inputs are normalised; by default as the card of a fitting model says, else fitted to
        the images.
    threads
        CPU threads of torch, for tuning and for prediction.
    tolerance
        Passes on screen end early once the standard error of the mean posterior is not above it,
        see :func:`~limsup_widgets.learn.moments.stream_moments`; 0 takes all passes.

    Raises
    ------
    LimsupError
        Anything about the arguments that cannot work, in one line.

    Examples
    --------
    >>> session = Session(np.zeros((64, 64, 3), np.uint8), ("left", "right"))
    >>> stroke = session.paint(np.arange(8), 1)
    >>> session.labels(0)[0, :10].tolist(), session.can_undo
    ([1, 1, 1, 1, 1, 1, 1, 1, 0, 0], True)
    """

    def __init__(
        self,
        images: Source | Sequence[Source],
        classes: Sequence[str],
        *,
        model: Model = None,
        truths: Sequence[NDArray[Any] | None] | None = None,
        folder: Path | str | None = None,
        settings: TuneSettings | None = None,
        passes: int = 20,
        seed: int = 0,
        name: str = "session",
        normalizer: Normalizer | None = None,
        threads: int = 1,
        tolerance: float = 0.0,
    ) -> None:
        super().__init__(
            images,
            classes,
            model=model,
            truths=truths,
            settings=settings,
            passes=passes,
            seed=seed,
            name=name,
            normalizer=normalizer,
            threads=threads,
            tolerance=tolerance,
        )
        if folder is not None:
            self.save(folder)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        images: Sequence[Source] | None = None,
        model: nn.Module | None = None,
        recover: bool = False,
    ) -> Session:
        """Take up the session of a folder where it was left, also by a crash.

        Parameters
        ----------
        images
            Where the images are now, if their files have moved.
        model
            A module of the kind the session was begun with, if that is not limsup's own.
        recover
            If the journal is damaged, go on with what stands before the damage.
        """
        opening.take_over(folder)
        place = SessionFolder(folder)
        return cls(folder=folder, **opening.open_arguments(place, images, model, recover))

    def save(self, folder: Path | str) -> None:
        """Keep the session in a folder from now on, with all that has happened so far.

        A folder that holds a session is accepted only if it is this one, and nothing has been
        painted here yet; that session is then continued.
        """
        self._check_open()
        if self._folder is not None:
            raise LimsupError("session", got=f"kept in {self.folder} already")
        place = SessionFolder(folder)
        opening.take_over(place.path)
        notes: list[str] = []
        if place.in_use and not self._record.events:
            resumed = opening.resume_in(place, self._record, self.case, self._networks)
            self._history, notes = resumed
        elif place.in_use:
            raise LimsupError(f"folder {place.path}", got="another session", do="choose another")
        else:
            start = self._networks.start
            opening.begin_in(place, self._record, self.case, start, self._card(start))
        self._folder = place
        self._keep(self._networks.current)
        opening.take_over(place.path, self)
        self.pump.once()
        for note in notes:
            self._say(note)

    def predict(self, image: int | None = None) -> NDArray[np.float32]:
        """Probabilities ``(K, H, W)`` of an image, computed if they are not there."""
        return self.prob(self.current if image is None else image)

    def toggle_previous(self) -> None:
        """Go back to the previous network, or forth again; what is seen is what is tuned next."""
        self._check_open()
        self._networks.toggle()
        self._record.add("switch", model=self.model_sha256)
        self._tell_model()

    def reset(self) -> None:
        """Back to the start network and no scribbles; the journal still has what was there."""
        self._check_open()
        self._stop()
        self._history.clear()
        self._seen.clear()
        self._networks.reset()
        self._record.add("reset")
        for i in range(len(self.images)):
            self.events.tell("scribbles", i)
        self._tell_model()

    def _back_or_forth(self, kind: str, move: Callable[[], Stroke | None]) -> Stroke | None:
        """Undo or redo; of a large image, go where it happened."""
        stroke = super()._back_or_forth(kind, move)
        if stroke is not None and is_large(self.images[stroke.image]):
            rows, columns = np.divmod(stroke.pixels(), stroke.shape[1])
            y, x = int(rows[0]), int(columns[0])
            place = (y, x, y + 1, x + 1)
            if not inside(place, self.window):
                self.look_at(place)
        return stroke

    def note(self, text: str) -> None:
        """Write a remark into the journal."""
        self._check_open()
        self._record.add("note", text=text)

    def accept(self, images: Sequence[int] | None = None, *, whole: bool = False) -> Path:
        """Write the result (of all images by default) into ``accepted/``, and return that folder.

        Labels are the prediction with the scribbles on top. See
        :func:`~limsup_widgets.session.accepting.write_accepted`. A large image is labelled where
        its result was on screen and where it was scribbled on; ``covered.csv`` lists these tiles,
        and area fractions are of them.

        Parameters
        ----------
        images
            Indices.
        whole
            Label all of a large image, tile by tile. That may take many minutes.
        """
        self._check_open()
        if self._folder is None:
            raise LimsupError("accept", got="a session without a folder", do="session.save(folder)")
        chosen = [self.case.index(i) for i in images or range(len(self.images))]
        codes, maps, large = {}, {}, {}
        network = self._networks.current
        for i in chosen:
            if is_large(self.images[i]):
                large[i] = self._covered(i, whole)
                continue
            maps[i] = self._predictions.moments(network, i).kind("V")
            codes[i] = with_scribbles(self._codes(network, i), self.labels(i))
            self.pump.once()
        model = network.module, network.sha256, self._card(network)
        write_accepted(self._folder.accepted, self.case, codes, maps, model, large)
        shares = {str(i): round(part.share, 8) for i, part in large.items()}
        facts = {"covered": shares} if large else {}
        self._record.add("accept", images=chosen, model=network.sha256, **facts)
        return self._folder.accepted

    def _covered(self, image: int, whole: bool) -> Covered:
        """Labels of the tiles of a large image that were on screen or scribbled on, or of all."""
        source, network = self.images[image], self._networks.current
        everything = (0, 0, *source.shape)
        seen = self._seen.get(image, set()) | set(tiles(source.shape, self.window_of(image)))
        seen |= set(scribbled_pieces(self._history, image))
        boxes = tiles(source.shape, everything) if whole else sorted(seen)
        told = partial(self._labelled, len(boxes))
        found = self._predictions.tiles(network, image, boxes, told)
        part = covered(source.shape, with_strokes(found, lambda box: self.labels(image, box)))
        self._say(
            f"{source.name}: labels cover {100 * part.share:.3g} % of the image, "
            f"{len(part.boxes)} tiles; area fractions are of that part"
        )
        return part

    def _labelled(self, total: int, done: int) -> None:
        if done < total and done % 10 == 0:
            self._say(f"labelling: tile {done} of {total}")
        self.pump.once()

    def replay(self, source: Path | str) -> Iterator[tuple[Event, float]]:
        """Play a journal onto this session, see :func:`~limsup_widgets.session.replaying.play`."""
        return replaying.play(self, source)

    def history(self) -> tuple[Event, ...]:
        """Everything that happened so far."""
        return tuple(self._record.events)

    def show(self, **options: Any) -> Any:
        """Show the session in the best view there is here."""
        return show(self, **options)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is on disk; False if it is not. Without a folder True."""
        done = self._record.flush(timeout)
        self.pump.once()
        return done

    def close(self) -> None:
        """Stop a tune, save, and give the folder free; a second call does nothing."""
        if self._closed:
            return
        self._stop_looking()
        self._stop()
        self._keep(self._networks.current)
        self._record.close()
        self.pump.once()
        self._closed = True

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
