"""The networks of a session: the one it began with, the one in use, the one before."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from limsup_widgets.data.journal import Event
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.adapt import adapt
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import ModelCard, load_model, load_u0, model_sha256
from limsup_widgets.session.case import Case

Model = nn.Module | str | Path | None


@dataclass(frozen=True, eq=False)
class Network:
    """A network that nobody changes any more.

    Attributes
    ----------
    module
        On the CPU, in eval mode.
    sha256
        Of its weights.
    ready
        Whether it answers in the classes of the case. If not, it is adapted by the first tune.
    learnt, strokes
        Codes of the classes, and number of the strokes, that it was tuned on in this session.
    """

    module: nn.Module
    sha256: str
    ready: bool = True
    learnt: frozenset[int] = frozenset()
    strokes: int = 0

    @classmethod
    def of(cls, module: nn.Module, ready: bool = True) -> Network:
        """Freeze ``module`` as it is."""
        module = module.cpu().eval()
        return cls(module, model_sha256(module), ready)


class Networks:
    """Start, current and previous network of a session."""

    def __init__(self, start: Network) -> None:
        self.start = start
        self.current = start
        self.previous: Network | None = None

    def swap_in(self, network: Network) -> None:
        """Use ``network`` from now on; what was in use becomes the previous one."""
        self.previous, self.current = self.current, network

    def toggle(self) -> None:
        """Exchange the current and the previous network."""
        if self.previous is None:
            raise LimsupError("previous network", got="none yet", do="tune first")
        self.previous, self.current = self.current, self.previous

    def reset(self) -> None:
        """Back to the start."""
        self.current, self.previous = self.start, None


def shas_after(events: Iterable[Event], start: str) -> tuple[str, str]:
    """SHA-256 of the current and the previous network after ``events``; empty where none."""
    current, previous = start, ""
    for event in events:
        if event.kind == "tune_end" and event.data.get("status") == "done":
            previous, current = current, str(event.data["model"])
        elif event.kind == "switch":
            previous, current = current, previous
        elif event.kind == "reset":
            previous, current = "", start
    return current, previous


def begin(
    model: Model, case: Case, normalizer: Normalizer | None = None
) -> tuple[Network, Normalizer]:
    """The start network of a session, and how its inputs are normalised.

    Parameters
    ----------
    model
        None or ``"u0"``: the shipped network with dropout. A path: a model file. A module
        ``(N, C, H, W)`` → logits ``(N, K, H, W)``: a copy of it.
    normalizer
        By default that of the model's card where the model fits the case, else one fitted to the
        images of the case.

    Raises
    ------
    LimsupError
        The model claims to fit and does not: its output has another shape, or it stops.
    """
    module = _module(model)
    card: ModelCard | None = getattr(module, "card", None)
    ready = _fits(module, case, card)
    if normalizer is None:
        usable = card is not None and ready
        samples = (image.sample() for image in case.images)
        normalizer = card.normalizer if card and usable else Normalizer.fit(list(samples))
    if ready:
        _try(module, case, normalizer)
    return Network.of(module, ready), normalizer


def shell(start: Network, case: Case) -> nn.Module | None:
    """A module to load the weights of a later network into; None where the file knows its own."""
    if isinstance(start.module, UNet):
        return None
    if start.ready:
        return copy.deepcopy(start.module)
    x = torch.randn(case.channels, 32, 32)
    halves = np.repeat(np.array([1, 2], np.uint8), 512).reshape(32, 32)
    return adapt(start.module, case.channels, len(case.classes), [x], [halves], refit=True)


def _module(model: Model) -> nn.Module:
    if model is None or model == "u0":
        return load_u0(dropout=True)
    if isinstance(model, str | Path):
        return load_model(model)
    if not isinstance(model, nn.Module):
        raise LimsupError(
            "model", got=type(model).__name__, expected="a torch module, a model file or 'u0'"
        )
    return copy.deepcopy(model)


def _fits(module: nn.Module, case: Case, card: ModelCard | None) -> bool:
    """Same channels, same number of classes and, where it has a card, the same names."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    if not convolutions:
        return True  # Nothing to go by: the trial run will tell.
    same_names = card is None or tuple(map(str.casefold, card.classes)) == tuple(
        map(str.casefold, case.classes)
    )
    channels = getattr(module, "in_channels", convolutions[0].in_channels)
    classes = getattr(module, "classes", convolutions[-1].out_channels)
    return same_names and (channels, classes) == (case.channels, len(case.classes))


def _try(module: nn.Module, case: Case, normalizer: Normalizer) -> None:
    """One pass over a corner of the first image: better to hear it now than in a thread."""
    corner = case.images[0].array[:64, :64]
    expected = (len(case.classes), *corner.shape[:2])
    try:
        with torch.no_grad():
            shape = predict(module, normalizer(corner)).shape
    except (RuntimeError, TypeError) as error:
        raise LimsupError(
            "model",
            got=" ".join(str(error).split())[:160],
            expected="a module (N, C, H, W) → (N, K, H, W)",
        ) from error
    if shape != expected:
        raise LimsupError("output of the model", got=shape, expected=expected)
