"""The jobs that fill a screen, in a thread of their own: the network's answer and the quick one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.moments import stream_moments
from limsup_widgets.learn.passes import pass_batches
from limsup_widgets.learn.quick import QuickClassifier
from limsup_widgets.learn.tiles import Box, Read, predict_box, read_window, tiling_of, window_of
from limsup_widgets.session.networks import Network
from limsup_widgets.session.predictions import deterministic_moments, on_best_device
from limsup_widgets.session.screen import Part, is_one_piece, pieces, tiles
from limsup_widgets.session.worker import Reporter

Codes = NDArray[np.uint8]
Wanted = Literal["prob", "unsure"]


@dataclass(frozen=True, eq=False)
class Look:
    """What a view wants to see.

    Attributes
    ----------
    ticket
        Number of the request; parts carry it, so that those of an older request are known.
    image, shape, read
        Index, ``(H, W)``, and what gives the normalised input of a box.
    window, visible
        Part of the image that is worked on, and part of that on screen, which comes first.
    channels
        C of the image.
    wanted
        Probabilities, uncertainty, or both.
    """

    ticket: int
    image: int
    shape: tuple[int, int]
    read: Read
    window: Box
    visible: Box | None
    channels: int
    wanted: frozenset[Wanted] = frozenset({"prob"})

    def pieces(self) -> list[Box]:
        """Boxes to compute, in their order."""
        return pieces(self.shape, self.window, self.visible)

    @property
    def whole(self) -> bool:
        """Whether the image is one piece."""
        return is_one_piece(self.shape)


@dataclass(frozen=True, eq=False)
class Passes:
    """How uncertainty is sampled: T, the seed of the masks, and when fewer passes will do."""

    passes: int
    seed: int
    tolerance: float


def fill(
    look: Look, boxes: Sequence[Box], module: nn.Module, passes: Passes, report: Reporter
) -> None:
    """The network's answer on some pieces: first what they are, then how sure that is.

    The module must be one that no other thread uses.
    """
    with on_best_device(module) as lent:
        if "prob" in look.wanted:
            for box in boxes:
                report.step(_predicted(look, lent, box))
        if "unsure" in look.wanted:
            for box in boxes:
                for part in _refined(look, lent, box, passes, report):
                    report.step(part)


def _predicted(look: Look, module: nn.Module, box: Box) -> Part:
    halo, note = _halo(look, module, passes=False)
    prob = predict_box(module, look.read, look.shape, box, halo)
    return Part(look.ticket, box, "network", prob, note=note)


def _refined(
    look: Look, module: nn.Module, box: Box, how: Passes, report: Reporter
) -> Iterator[Part]:
    halo, note = _halo(look, module, passes=True)
    if not has_dropout(module):
        prob = predict_box(module, look.read, look.shape, box, halo)
        yield Part(look.ticket, box, "network", None, deterministic_moments(prob), True, note)
        return
    x, core = read_window(module, look.read, look.shape, box, halo)
    maps = (p[core] for batch in pass_batches(module, x, how.passes, how.seed) for p in batch)
    steps = stream_moments(maps, tolerance=how.tolerance, progress=lambda _: report.check())
    last = None
    for moments in steps:
        last = moments
        yield Part(look.ticket, box, "network", None, moments, note=note)
    if last is not None:
        yield Part(look.ticket, box, "network", None, last, True, note)


def _halo(look: Look, module: nn.Module, passes: bool) -> tuple[int, str]:
    """Halo of the pieces, and why they are approximate; an image of one piece needs none."""
    if look.whole:
        return 0, ""
    tiling = tiling_of(module, look.channels, passes)
    return tiling.halo, tiling.why


Scribbles = Mapping[tuple[int, Box], Codes]
"""Codes ``(h, w)`` of the scribbled pieces, by image and box."""


class QuickAnswers:
    """The quick classifier on pieces of the images of a case; used by one thread at a time.

    Parameters
    ----------
    network
        Whose levels are the features. One for other classes will do.
    """

    def __init__(self, network: Network) -> None:
        self.sha256, self.module = network.sha256, network.module
        self.classifier = QuickClassifier(network.module, knows=network.ready)

    def fit(self, scribbles: Scribbles, looks: Mapping[int, Look], classes: int) -> None:
        """Fit on the codes of scribbled pieces; their features are computed where missing."""
        wide = self._widened(scribbles, looks)
        for (image, box), labels in wide.items():
            if not self.classifier.has_learnt((image, box), labels):
                self.prepare(looks[image], box)
                self.classifier.learn((image, box), labels, classes)
        self.classifier.fit(dict(wide.items()), classes)

    def part(self, look: Look, box: Box) -> Part:
        """Answer on one piece."""
        self.prepare(look, box)
        _, core = self._window(look, box)
        prob = self.classifier.predict((look.image, box))[core]
        return Part(look.ticket, box, "quick", np.ascontiguousarray(prob))

    def _widened(
        self, scribbles: Scribbles, looks: Mapping[int, Look]
    ) -> dict[tuple[int, Box], Codes]:
        """Codes of the windows that are run for the scribbled pieces."""
        wide: dict[tuple[int, Box], Codes] = {}
        for (image, box), codes in scribbles.items():
            window, core = self._window(looks[image], box)
            labels = np.zeros((window[2] - window[0], window[3] - window[1]), np.uint8)
            labels[core[1:]] = codes
            wide[image, box] = labels
        return wide

    def prepare(self, look: Look, box: Box) -> None:
        """Compute the features of a piece, unless they are there."""
        if not self.classifier.has((look.image, box)):
            window, _ = self._window(look, box)
            self.classifier.features((look.image, box), look.read(window))

    def _window(self, look: Look, box: Box) -> tuple[Box, tuple[slice, ...]]:
        halo = 0 if look.whole else _halo(look, self.module, passes=False)[0]
        return window_of(self.module, look.shape, box, halo)


def answer(
    look: Look,
    quick: QuickAnswers,
    scribbles: Scribbles,
    looks: Mapping[int, Look],
    classes: int,
    report: Reporter,
) -> None:
    """The quick answer to the strokes so far, on the pieces of the window."""
    boxes = tiles(look.shape, look.window, look.visible)
    quick.classifier.prefer([(look.image, box) for box in boxes])
    quick.fit(scribbles, looks, classes)
    report.check()
    for box in boxes:
        report.step(quick.part(look, box))


def prepare(
    look: Look,
    quick: QuickAnswers,
    scribbles: Scribbles,
    looks: Mapping[int, Look],
    report: Reporter,
) -> None:
    """Have features ready before the stroke comes that needs them, as many as there is room for."""
    visible = [(look, box) for box in tiles(look.shape, look.window, look.visible)]
    scribbled = [(looks[image], box) for image, box in scribbles]
    places = visible + scribbled
    quick.classifier.prefer([(place.image, box) for place, box in places])
    for place, box in places:
        report.check()
        if quick.classifier.full and not quick.classifier.has((place.image, box)):
            return
        quick.prepare(place, box)
