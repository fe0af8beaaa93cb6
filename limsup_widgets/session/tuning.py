"""The job behind *Tune*: from a request, taken in the user's thread, to a new network."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.data.label_files import check_scribbles
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.adapt import adapt
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.losses import uncertainty_weights
from limsup_widgets.learn.moments import mc_moments
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
    inputs, labels
        The scribbled images ``(C, H, W)`` and their codes ``(H, W)``.
    classes
        K.
    settings, passes, seed
        Of the tune; of Monte Carlo dropout, for ``weighting="uncertainty"``.
    show
        Index and input of the image to predict afterwards.
    keep
        Called with the new network, in the thread, before it is reported.
    """

    network: Network
    inputs: tuple[Tensor, ...]
    labels: tuple[NDArray[np.uint8], ...]
    classes: int
    settings: TuneSettings
    passes: int
    seed: int
    show: tuple[int, Tensor]
    keep: Callable[[Network], object]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A new network, its result on the image in view, its last loss and the seconds it took."""

    network: Network
    image: int
    prob: NDArray[np.float32]
    loss: float
    seconds: float


@cache
def warm_up() -> None:
    """Load, in the background, what the first optimiser of a process loads: about a second."""
    weight = torch.nn.Parameter(torch.zeros(1))
    threading.Thread(target=torch.optim.Adam, args=([weight],), name="limsup-warm-up").start()


def check_request(labels: list[NDArray[np.uint8]], classes: int) -> list[int]:
    """Indices of the scribbled images; raises :class:`LimsupError` below two classes."""
    check_scribbles(np.concatenate([array.ravel() for array in labels]), classes)
    return [i for i, array in enumerate(labels) if array.any()]


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
    request.keep(network)
    return Tuned(network, request.show[0], prob, loss, time.perf_counter() - began)


Result = tuple[Network, NDArray[np.float32], float]


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
            module, request.inputs, request.labels, settings, weights, classes=request.classes
        ):
            loss = step.loss
            if not math.isfinite(loss):
                raise LimsupError(f"loss at step {step.step}", got=loss, do="lower settings.lr")
            report.step(step)
        prob = predict(module, request.show[1])
        report.check()
        return Network.of(module), prob, loss


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
