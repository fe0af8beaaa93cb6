"""What is on screen, filled in the background: visible first, a stroke answered at once."""

from __future__ import annotations

import copy
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.learn.moments import Moments
from limsup_widgets.learn.tiles import Box
from limsup_widgets.session.filling import (
    Look,
    Passes,
    QuickAnswers,
    Scribbles,
    Wanted,
    answer,
    fill,
    prepare,
)
from limsup_widgets.session.gathering import Gathering, Maps
from limsup_widgets.session.networks import Network
from limsup_widgets.session.predictions import maps_of
from limsup_widgets.session.screen import Part, Screen, chosen_window, clipped, is_large, tiles
from limsup_widgets.session.tunable import Tunable
from limsup_widgets.session.tuning import Tuned, warm_up
from limsup_widgets.session.worker import Job, Outcome, Tuner, explain


class Watchable(Tunable):
    """The part of :class:`~limsup_widgets.session.session.Session` that views look at.

    Nothing is computed here before :meth:`look` is called once. From then on the screen follows
    image, network and strokes. One request is worked on at a time; a newer one ends it at its next
    step.
    """

    _live = _looking = False

    def __init__(self, *arguments: Any, tolerance: float = 0.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.tolerance = tolerance
        self._looker = Tuner(self.threads)
        self._jobs: deque[Job] = deque()
        self._ticket, self._looking, self._unsure, self._again = 0, False, False, False
        self._visible: Box | None = None
        self._lent: Network | None = None
        self._quick: QuickAnswers | None = None
        self._quick_stays = False
        self._gathered: dict[str, tuple[tuple[object, ...], Gathering]] = {}
        self._screen = Screen(self.current, self.window)
        here = threading.current_thread()
        self._looker.progress.connect(self._placed, thread=here)
        self._looker.message.connect(self._say, thread=here)
        self._looker.finished.connect(self._looked, thread=here)
        self.events.image.connect(self._on_another_image)
        self.events.model.connect(self._on_model)
        self.events.scribbles.connect(self._on_stroke)
        self.events.tuning.connect(self._on_tuning)

    @property
    def screen(self) -> Screen:
        """What is known of the window of the current image; see :attr:`events.screen`."""
        return self._screen

    @property
    def at_rest(self) -> bool:
        """Whether nothing is being computed for the screen."""
        return not self._jobs and not self._looker.running and self._looker.ended

    def look(self, visible: Box | None = None, unsure: bool | None = None) -> None:
        """Fill the screen in the background; ``events.screen`` tells each piece that arrives.

        Parameters
        ----------
        visible
            Box of the image that can be seen; it is computed first. None: the whole window.
        unsure
            Whether uncertainty is wanted too; None leaves that as it is.
        """
        self._check_open()
        self._visible = visible
        self._unsure = self._unsure if unsure is None else unsure
        self._looking = True
        self._refresh()

    def look_at(self, box: Box) -> Box:
        """Work on the part of the current image around ``box``, which is computed first.

        Only of a large image, which stays on the disk, a part is worked on: ``box`` in whole
        tiles of 512 pixels, about 2048 × 2048 at most. That of any other image is the whole.

        Returns
        -------
        tuple
            The window: (top, left, bottom, right).

        Raises
        ------
        LimsupError
            A box outside the image, or too large a part of a large image.

        Examples
        --------
        >>> from limsup_widgets import Session
        >>> from limsup_widgets.data.image import Image
        >>> slide = Image.lazy(np.broadcast_to(np.uint8(7), (30000, 40000, 3)))
        >>> session = Session(slide, ("tissue", "glass"))
        >>> session.look_at((5000, 5000, 5800, 6000))
        (4608, 4608, 6144, 6144)
        """
        self._check_open()
        image = self.images[self.current]
        if is_large(image):
            window = chosen_window(image, box)
            if window != self.window:
                self._windows[self.current] = window
                self._screen, older = Screen(self.current, window), self._screen
                self._screen.keep(older)
                self.events.tell("window", self.current)
                self.events.tell("screen", self.current)
        self._visible = box
        self._refresh()
        return self.window

    def settle(self, timeout: float | None = None) -> bool:
        """Let events run until the screen is complete; False if ``timeout`` seconds pass first."""
        return self.pump.until(lambda: self.at_rest, timeout)

    @property
    def live(self) -> bool:
        """Whether each stroke is answered at once while the network tunes behind it."""
        return self._live

    @live.setter
    def live(self, wanted: bool) -> None:
        self._live = wanted
        if wanted:
            warm_up()
        if wanted and self._looking:
            self._refresh()

    # What a change of the session means for the screen.

    def _on_another_image(self, _: int) -> None:
        self._visible = None
        self._screen = Screen(self.current, self.window)
        self._refresh()

    def _on_model(self, sha256: str) -> None:
        if self._quick is not None and self._quick.sha256 != sha256:
            self._quick = None  # Its features fill a quarter of a gigabyte.
        self._screen.forget()
        self._refresh()

    def _on_stroke(self, _: int) -> None:
        if not (self.live and self._can_answer()):
            return
        self._quick_stays = True
        self._refresh()
        if self.tuning:
            self._again = True
        else:
            self.start_tune()

    def _on_tuning(self, what: str) -> None:
        if what != "started" and self._again:
            self._again = False
            if what == "done" and self._can_answer():
                self.start_tune()

    def _taken_over(self, tuned: Tuned) -> None:
        super()._taken_over(tuned)
        scores = tuned.scores
        won = scores is not None and scores.better == "quick"
        # Strokes painted meanwhile are known to the quick answer alone.
        self._quick_stays = won or self._again
        if scores is not None and won:
            self._say(
                f"the quick answer stays: right on {100 * scores.quick:.0f} % of "
                f"{scores.strokes} held-out strokes, the network on {100 * scores.network:.0f} %"
            )

    def _can_answer(self) -> bool:
        """Whether two classes are scribbled."""
        return int((self.counts() > 0).sum()) > 1

    # Requests: the newest one counts.

    def _refresh(self) -> None:
        if not self._looking or self._closed:
            return
        self._ticket += 1
        if self.live and self._quick_stays and self._can_answer():
            self._ask(self._quick_job())
        elif self.ready:
            self._quick_stays = False
            self._ask(*self._network_jobs(self._from_cache()))

    def _ask(self, *jobs: Job) -> None:
        self._jobs = deque(jobs)
        self._looker.cancel()
        self._next_job()

    def _next_job(self) -> None:
        if self._jobs and not self._looker.running:
            self._looker.start(self._jobs.popleft())

    def _look(self, image: int, *wanted: Wanted) -> Look:
        window = self.window_of(image)
        visible = clipped(self._visible, window) if image == self.current else None
        shape, read = self.images[image].shape, self._predictions.reader(image)
        channels, kinds = self.case.channels, frozenset(wanted)
        return Look(self._ticket, image, shape, read, window, visible, channels, kinds)

    def _from_cache(self) -> list[Wanted]:
        """Show what is known already; what still has to be computed."""
        sha, image = self.model_sha256, self.current
        box = self.window
        wanted: list[Wanted] = []
        prob = self._predictions.known_prob(sha, image, box)
        moments = self._predictions.known_moments(sha, image, box) if self._unsure else None
        if prob is None:
            wanted.append("prob")
        if self._unsure and moments is None:
            wanted.append("unsure")
        if prob is not None or moments is not None:
            self._show(Part(self._ticket, box, "network", prob, moments, True))
        return wanted

    def _network_jobs(self, wanted: list[Wanted]) -> list[Job]:
        """What can be seen, then what the next stroke will need, then the rest."""
        ready = [self._preparing_job()] if self.live else []
        if not wanted:
            return ready
        how = Passes(self._predictions.passes, self._predictions.seed, self.tolerance)
        look, module = self._look(self.current, *wanted), self._copy().module
        seen, *rest = look.pieces()
        first, last = (partial(fill, look, boxes, module, how) for boxes in ([seen], rest))
        return [first, *ready, *([last] if rest else [])]

    def _copy(self) -> Network:
        """The network in use, as the thread's own: passes hang hooks on it, which others see."""
        current = self._networks.current
        if self._lent is None or self._lent.sha256 != current.sha256:
            self._lent = replace(current, module=copy.deepcopy(current.module))
        return self._lent

    def _quick_job(self) -> Job:
        quick, scribbles, looks = self._strokes()
        look, classes = looks[self.current], len(self.classes)
        return partial(answer, look, quick, scribbles, looks, classes)

    def _preparing_job(self) -> Job:
        quick, scribbles, looks = self._strokes()
        return partial(prepare, looks[self.current], quick, scribbles, looks)

    def _strokes(self) -> tuple[QuickAnswers, Scribbles, dict[int, Look]]:
        """What the quick answer is made from."""
        if self._quick is None or self._quick.sha256 != self.model_sha256:
            self._quick = QuickAnswers(self._copy())
        scribbles = self._scribbles()
        looks = {i: self._look(i) for i in {self.current, *(i for i, _ in scribbles)}}
        return self._quick, scribbles, looks

    # What the thread has to say; all of this runs in the thread that made the session.

    def _placed(self, part: Part) -> None:
        if part.ticket != self._ticket or self._closed:
            return
        self._show(part)
        if part.by != "network":
            return
        if is_large(self.images[self.current]) and self._screen.done == 1:
            shown = tiles(self.images[self.current].shape, self.window)
            self._seen.setdefault(self.current, set()).update(shown)
        if part.prob is not None:
            self._keep_prob(part.box, part.prob)
        if part.moments is not None and part.final:
            self._keep_moments(part.box, part.moments)

    def _keep_prob(self, box: Box, prob: NDArray[np.float32]) -> None:
        found = self._gather("prob", box, (prob,))
        if found is not None:
            known = self.model_sha256, self.current
            self._predictions.keep_prob(*known, found[0], self.window)

    def _keep_moments(self, box: Box, moments: Moments) -> None:
        found = self._gather("moments", box, maps_of(moments))
        if found is not None:
            known = self.model_sha256, self.current
            mean, aleatoric, epistemic = found
            whole = Moments(mean, aleatoric, epistemic, moments.passes)
            self._predictions.keep_moments(*known, whole, self.window)

    def _gather(self, what: str, box: Box, maps: Maps) -> Maps | None:
        """Maps of the window, once all of its pieces are there."""
        if box == self.window:
            return maps
        key = (what, self.model_sha256, self.current, self.window)
        if what not in self._gathered or self._gathered[what][0] != key:
            self._gathered[what] = key, Gathering(self.window)
        found = self._gathered[what][1].add(box, maps)
        if found is not None:
            del self._gathered[what]
        return found

    def _show(self, part: Part) -> None:
        self._screen.put(part)
        self.events.tell("screen", self._screen.image)

    def _looked(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self._say(f"no result on screen: {explain(outcome.error)}")
            self._jobs.clear()
        if not self._closed:
            self._next_job()

    def _stop_looking(self) -> None:
        self._jobs.clear()
        self._looker.cancel()
        self._looker.join()
