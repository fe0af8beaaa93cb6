"""The job behind *Tune*: from a request, taken in the user's thread, to a new network."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.adapt import adapt
from limsup_widgets.learn.crops import CropStore
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.holdout import balanced_accuracy, better
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.losses import uncertainty_weights
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.quick import QuickClassifier
from limsup_widgets.learn.tune import TuneSettings, tune_steps
from limsup_widgets.session.networks import Network
from limsup_widgets.session.predictions import on_best_device
from limsup_widgets.session.worker import Reporter, is_out_of_memory

HALVINGS = 2
"""How often the batch is halved when memory runs out."""


@dataclass(frozen=True, eq=False)
class TuneRequest:
    """Everything a tune needs, taken at its start: painting on meanwhile changes nothing in it.

    Attributes
    ----------
    network
        Where to start from; a copy that nobody else uses.
    keys
        Image and box of each scribbled piece.
    inputs, labels
        The pieces ``(C, h, w)`` and their codes ``(h, w)``: all of them, or those that teach.
    tests
        Codes ``(h, w)`` of each piece that are held out; empty if nothing is.
    strokes, drawn
        How many strokes these are; how many were drawn in all.
    classes
        K.
    settings, passes, seed
        Of the tune; of Monte Carlo dropout, for ``weighting="uncertainty"``.
    show
        Index and input of the image to predict afterwards; None if it is too large for one piece.
    keep
        Called with the new network, in the thread, before it is reported.
    store
        Where pieces stay for the next tune.
    """

    network: Network
    keys: tuple[Hashable, ...]
    inputs: tuple[Tensor, ...]
    labels: tuple[NDArray[np.uint8], ...]
    classes: int
    settings: TuneSettings
    passes: int
    seed: int
    show: tuple[int, Tensor] | None
    keep: Callable[[Network], object]
    tests: tuple[NDArray[np.uint8], ...] = ()
    strokes: int = 0
    drawn: int = 0
    store: CropStore | None = None


@dataclass(frozen=True, eq=False)
class Tuned:
    """A new network and how it came about.

    Attributes
    ----------
    network
        The tuned copy.
    shown
        Index and probabilities of the image in view, if it was asked for.
    loss, seconds
        At the last step; of the whole tune.
    scores
        Of the quick answer and of the network on held-out strokes; None where none were held out.
    """

    network: Network
    shown: tuple[int, NDArray[np.float32]] | None
    loss: float
    seconds: float
    scores: Scores | None = None


@cache
def warm_up() -> None:
    """Load, in the background, what the first optimiser of a process loads: about a second."""
    weight = torch.nn.Parameter(torch.zeros(1))
    threading.Thread(target=torch.optim.Adam, args=([weight],), name="limsup-warm-up").start()


def tune_network(request: TuneRequest, report: Reporter) -> Tuned:
    """Tune a copy of the network; when memory runs out, start over with half the batch."""
    began = time.perf_counter()
    settings = request.settings
    for _ in range(HALVINGS):
        tuned = _unless_out_of_memory(request, settings, report)
        if tuned is not None:
            break
        settings = replace(settings, batch=max(1, settings.batch // 2))
        report.say(f"out of memory: tuning starts over with {settings.batch} crops a step")
    else:
        tuned = _tune_once(request, settings, report)
    network, prob, loss = tuned
    shown = (request.show[0], prob) if request.show and prob is not None else None
    scores = held_out_scores(request, network.module)
    report.check()
    request.keep(network)
    return Tuned(network, shown, loss, time.perf_counter() - began, scores)


Result = tuple[Network, NDArray[np.float32] | None, float]


@dataclass(frozen=True)
class Scores:
    """Class-balanced accuracies, 0…1, on strokes that neither answer has learnt from."""

    quick: float
    network: float
    strokes: int

    @property
    def better(self) -> Literal["quick", "network"]:
        """Which answer is to be shown."""
        return better(self.quick, self.network, self.strokes)


def held_out_scores(request: TuneRequest, module: nn.Module) -> Scores | None:
    """The quick answer of the network before the tune, against the network after it."""
    if not request.tests:
        return None
    quick = QuickClassifier(request.network.module, knows=request.network.ready)
    for key, x in zip(request.keys, request.inputs, strict=True):
        quick.features(key, x)
    quick.fit(dict(zip(request.keys, request.labels, strict=True)), request.classes)
    found, known = [], []
    for x, tests in zip(request.inputs, request.tests, strict=True):
        if tests.any():
            found.append(codes(predict(module, x))[tests > 0])
            known.append(tests[tests > 0])
    mine = balanced_accuracy(np.concatenate(found), np.concatenate(known))
    tests_by_key = dict(zip(request.keys, request.tests, strict=True))
    return Scores(quick.score(tests_by_key), mine, request.strokes)


def _unless_out_of_memory(
    request: TuneRequest, settings: TuneSettings, report: Reporter
) -> Result | None:
    """None if memory ran out: the frames that held it are gone when this returns."""
    try:
        return _tune_once(request, settings, report)
    except (MemoryError, RuntimeError) as error:
        if settings.batch == 1 or not is_out_of_memory(error):
            raise
    return None


def _tune_once(request: TuneRequest, settings: TuneSettings, report: Reporter) -> Result:
    loss = math.nan
    with on_best_device(copy.deepcopy(request.network.module)) as module:
        if not request.network.ready:
            channels = request.inputs[0].shape[0]
            module = adapt(
                module, channels, request.classes, request.inputs, request.labels, refit=True
            )
        weights = _weights(module, request, settings)
        for step in tune_steps(
            module,
            request.inputs,
            request.labels,
            settings,
            weights,
            classes=request.classes,
            held_out=request.tests or None,
            store=request.store,
        ):
            loss = step.loss
            if not math.isfinite(loss):
                raise LimsupError(f"loss at step {step.step}", got=loss, do="lower settings.lr")
            report.step(step)
        prob = predict(module, request.show[1]) if request.show else None
        report.check()
        network, learnt = Network.of(module), codes_in(request.labels)
        return replace(network, learnt=learnt, strokes=request.drawn), prob, loss


def codes_in(labels: Iterable[NDArray[np.uint8]]) -> frozenset[int]:
    """Codes of the classes that are scribbled somewhere."""
    return frozenset(int(code) for codes in labels for code in np.unique(codes) if code)


def _weights(
    module: nn.Module, request: TuneRequest, settings: TuneSettings
) -> list[NDArray[np.float32]] | None:
    """Pixel weights from the network as it is before the tune, where they are asked for."""
    if settings.weighting != "uncertainty":
        return None
    live = has_dropout(module)
    means = (
        mc_moments(module, x, request.passes, request.seed).mean if live else predict(module, x)
        for x in request.inputs
    )
    return [uncertainty_weights(m, y) for m, y in zip(means, request.labels, strict=True)]
