"""What a session knows: case, labels, networks, results. Reading it changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.data.history import History
from limsup_widgets.data.image import Image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import codes as codes_of
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.moments import Moments
from limsup_widgets.learn.tiles import Box
from limsup_widgets.learn.tune import FOREIGN, TuneSettings
from limsup_widgets.learn.weights import ModelCard
from limsup_widgets.session import opening
from limsup_widgets.session.case import Source, make_case
from limsup_widgets.session.compare import Comparison, compare_codes
from limsup_widgets.session.events import SessionEvents
from limsup_widgets.session.folder import SessionFolder
from limsup_widgets.session.networks import Model, Network, Networks, begin
from limsup_widgets.session.predictions import Predictions
from limsup_widgets.session.record import Record
from limsup_widgets.session.regions import Region, find_regions, moved
from limsup_widgets.session.screen import WHOLE, area, first_window
from limsup_widgets.session.scribbled import scribbled_pieces


class State:
    """The part of :class:`~limsup_widgets.session.session.Session` that is only looked at."""

    def __init__(
        self,
        images: Source | Sequence[Source],
        classes: Sequence[str],
        *,
        model: Model = None,
        truths: Sequence[NDArray[Any] | None] | None = None,
        settings: TuneSettings | None = None,
        passes: int = 20,
        seed: int = 0,
        name: str = "session",
        normalizer: Normalizer | None = None,
        threads: int = 1,
    ) -> None:
        if passes < 1:
            raise LimsupError("passes", got=passes, expected="at least 1")
        self.events = SessionEvents()
        self.case = make_case(images, classes, truths)
        start, normalizer = begin(model, self.case, normalizer)
        self.settings = settings or (TuneSettings() if start.ready else FOREIGN)
        self.name, self.threads = name, threads
        self._networks = Networks(start)
        self._predictions = Predictions(self.case, normalizer, passes, seed, threads)
        self._history = History(self.case.shapes)
        kept = {"settings": asdict(self.settings), "passes": passes, "seed": seed}
        header = opening.header_of(self.case, start, normalizer, name, **kept)
        self._record = Record(header, self.events.tell)
        self._folder: SessionFolder | None = None
        self._current, self._tuning, self._closed = 0, False, False
        self._windows: dict[int, Box] = {}
        self._seen: dict[int, set[Box]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1…K."""
        return self.case.classes

    @property
    def images(self) -> tuple[Image, ...]:
        """The images that are painted on, all flat."""
        return self.case.images

    @property
    def current(self) -> int:
        """Index of the image on screen; set it to go to another one."""
        return self._current

    @current.setter
    def current(self, image: int) -> None:
        image = self.case.index(image)
        if image != self._current:
            self._current = image
            self.events.tell("image", image)

    @property
    def window(self) -> Box:
        """Part of the current image that is worked on: (top, left, bottom, right), half-open."""
        return self.window_of(self.current)

    def window_of(self, image: int) -> Box:
        """Part of an image that is worked on: all of it, unless it stays on the disk.

        What is predicted, doubted, compared and proposed lies on this part.
        """
        image = self.case.index(image)
        if image not in self._windows:
            self._windows[image] = first_window(self.images[image])
        return self._windows[image]

    def pixels(self, image: int) -> NDArray[Any]:
        """Pixels ``(h, w)`` or ``(h, w, C)`` of the window of an image."""
        return self.images[self.case.index(image)].read(self.window_of(image))

    @property
    def folder(self) -> Path | None:
        """Where the session is kept; None while it lives in memory."""
        return self._folder.path if self._folder else None

    @property
    def model(self) -> nn.Module:
        """The network in use; a copy of it can be tuned, it itself must not be."""
        return self._networks.current.module

    @property
    def model_sha256(self) -> str:
        """Checksum of the weights in use."""
        return self._networks.current.sha256

    @property
    def normalizer(self) -> Normalizer:
        """What turns the array of an image into the input of the network."""
        return self._predictions.normalizer

    @property
    def ready(self) -> bool:
        """Whether there is a prediction: no, while the network still is for other classes."""
        return self._networks.current.ready

    @property
    def has_previous(self) -> bool:
        """Whether there is a result from before to compare with."""
        return self._networks.previous is not None

    @property
    def tuning(self) -> bool:
        """Whether a tune is running; its result has not been taken over yet."""
        return self._tuning

    @property
    def can_undo(self) -> bool:
        """Whether there is a stroke to take back."""
        return bool(self._history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a stroke to put back."""
        return bool(self._history.undone)

    @property
    def is_saved(self) -> bool:
        """Whether everything done so far is on disk."""
        return self._record.is_saved

    def labels(self, image: int, box: Box | None = None) -> NDArray[np.uint8]:
        """Scribbles of the window or of a box, codes 0 (none) and 1…K; a copy."""
        top, left, bottom, right = box or self.window_of(image)
        return self._history.labels[image][top:bottom, left:right].copy()

    def counts(self) -> NDArray[np.int64]:
        """Scribbled pixels of the classes 1…K over all images, ``(K,)``."""
        total = np.zeros(len(self.classes) + 1, np.int64)
        for image in range(len(self.images)):
            for codes in scribbled_pieces(self._history, image).values():
                total += np.bincount(codes.ravel(), minlength=len(total))
        return total[1:]

    def truth(self, image: int) -> NDArray[np.uint8] | None:
        """True codes ``(H, W)``, or None where they are not known."""
        return self.case.truths[self.case.index(image)]

    def prob(self, image: int) -> NDArray[np.float32]:
        """Probabilities ``(K, h, w)`` of the window, read-only.

        The window is the whole image, unless that is a large one. :class:`LimsupError` while not
        :attr:`ready`.
        """
        window = self.window_of(image)
        return self._predictions.prob(self._networks.current, image, window)

    def codes(self, image: int) -> NDArray[np.uint8]:
        """Predicted codes 1…K ``(h, w)`` of the window; all 0 while not :attr:`ready`."""
        return self._codes(self._networks.current, image)

    def moments(self, image: int) -> Moments:
        """Mean and uncertainty of the passes; one pass for a network without dropout."""
        window = self.window_of(image)
        return self._predictions.moments(self._networks.current, image, window)

    def is_known(self, image: int) -> bool:
        """Whether :meth:`prob` has its answer ready, or would have to compute it now."""
        sha256 = self._networks.current.sha256
        window = self.window_of(image)
        return self._predictions.known_prob(sha256, image, window) is not None

    def is_comparable(self, image: int) -> bool:
        """Whether :meth:`compare` has its answer ready, or soon, as the image is small."""
        before = self._networks.previous
        if before is None or not self.is_known(image):
            return False
        window = self.window_of(image)
        known = self._predictions.known_prob(before.sha256, image, window) is not None
        return known or (area(window) <= WHOLE and not self.images[image].is_lazy)

    def uncertainty(self, image: int, kind: str = "V") -> NDArray[np.float32]:
        """``"A"``, ``"E"`` or their sum ``"V"``, summed over classes, ``(h, w)``."""
        return self.moments(image).kind(kind)

    def compare(self, image: int) -> Comparison:
        """The previous network's result against the current one's."""
        before = self._networks.previous
        if before is None:
            raise LimsupError("comparison", got="no previous network", do="tune first")
        pair = self._codes(before, image), self.codes(image)
        return compare_codes(*pair, len(self.classes), self.truth(image))

    def dice(self, image: int | Iterable[int] | None = None) -> NDArray[np.float64]:
        """Dice per class ``(K,)``, pixels of the images pooled; by default of all with a truth."""
        every = range(len(self.images)) if image is None else image
        asked = [every] if isinstance(every, int) else list(every)
        known = [i for i in asked if self.truth(i) is not None]
        if not known or (image is not None and len(known) < len(asked)):
            raise LimsupError("Dice", got="no truth", do="give truths=… to the session")
        truths = [truth for i in known if (truth := self.truth(i)) is not None]
        return dice_per_class([self.codes(i) for i in known], truths, len(self.classes))

    def where_next(self, n: int = 5, image: int | str | None = None) -> list[Region]:
        """The ``n`` places where a stroke would tell most, the best first.

        ``image`` is an index, None for the current one, or ``"all"``; of a large image, places in
        its window. See :func:`~limsup_widgets.session.regions.find_regions`.
        """
        if image == "all":
            asked = list(range(len(self.images)))
        else:
            asked = [self.current if image is None else self.case.index(int(image))]
        regions = [
            moved(region, self.window_of(i))
            for i in asked
            for region in find_regions(self.uncertainty(i), self.labels(i), n, image=i)
        ]
        return sorted(regions, key=lambda region: -region.score)[:n]

    def _codes(self, network: Network, image: int) -> NDArray[np.uint8]:
        window = self.window_of(image)
        if not network.ready:
            return np.zeros((window[2] - window[0], window[3] - window[1]), np.uint8)
        return codes_of(self._predictions.prob(network, image, window))

    def _card(self, network: Network) -> ModelCard:
        """The card of a network: its own, as long as nothing here has changed it."""
        own: ModelCard | None = getattr(network.module, "card", None)
        if own is not None and network is self._networks.start:
            return own
        mean, std = self.normalizer.mean, self.normalizer.std
        return ModelCard(self.name, self.classes, mean, std, command="limsup session")

    def _say(self, line: str) -> None:
        self.events.tell("message", line)

    def _check_open(self) -> None:
        if self._closed:
            raise LimsupError("session", got="closed", do="Session.open(folder)")
