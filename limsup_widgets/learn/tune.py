"""Fine-tuning on scribbles, one step at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.crops import CropSampler, CropStore
from limsup_widgets.learn.device import compiled, half_precision
from limsup_widgets.learn.dropout import dropout_masks, has_dropout
from limsup_widgets.learn.folding import folded_norms
from limsup_widgets.learn.infer import device_of
from limsup_widgets.learn.losses import partial_cross_entropy, scribble_weights
from limsup_widgets.learn.stopping import Watch, watched_crops

Network = TypeVar("Network", bound=nn.Module)
NORMS = (nn.modules.batchnorm._BatchNorm,)


@dataclass(frozen=True)
class TuneSettings:
    """How to tune; the defaults are the live loop's.

    They were chosen by ``results/ls02.json``: with class-centred crops, flat weights are level with
    balanced and ahead of uncertainty weights on the first cohort, level with both on the second,
    and need no constant. Forty steps are level with eighty and half as long.

    Parameters
    ----------
    steps, lr, batch, crop
        Optimiser steps, Adam's rate, crops per step, side of a crop in pixels.
    warm_steps
        Optimiser steps for each new stroke, with ``decay``, where a live session tunes on and the
        network has learnt all classes; ``steps`` in full where that is not less. Mean Dice of 20
        strokes against forty steps each: −0.001 ± 0.010 over 20 patients; ten steps: −0.011 ±
        0.015; twenty without decay: −0.025 ± 0.015 over ten (``results/live.json``).
    decay
        Whether Adam's rate falls linearly to nothing.
    weighting
        ``"flat"``: 1 on every scribbled pixel; ``"balanced"``: see
        :func:`~limsup_widgets.learn.losses.scribble_weights`; ``"uncertainty"``: weights are given
        by the caller, see :func:`~limsup_widgets.learn.losses.uncertainty_weights`.
    cap
        Largest balancing weight, the talk's K.
    bn
        ``"frozen"`` keeps the batch statistics; ``"train"`` updates them.
    sampling
        ``"class"`` or ``"uniform"``, see :class:`~limsup_widgets.learn.crops.CropSampler`.
    trainable
        ``"all"`` layers or the last one, ``"head"``.
    dropout
        Whether dropout layers are live during tuning.
    seed
        Of crops, augmentation and dropout.
    hold_out
        Whether a session holds strokes out (:func:`~limsup_widgets.learn.holdout.split_strokes`) to
        stop early and to compare the tuned network with the quick answer. Off: over ten patients
        early stopping changed the Dice of rounds three to five by −0.015 ± 0.03
        (``results/holdout.json``), which is no gain.
    look, patience
        Where strokes are held out: steps between looks at them, and looks without gain after which
        tuning ends, see :class:`~limsup_widgets.learn.stopping.Watch`.
    bf16
        Whether convolutions run in bfloat16 on an accelerator that has it; CPUs keep float32.
    compile
        Whether ``torch.compile`` makes the forward pass, where no dropout is live. It takes longer
        than a tune of 40 steps: for long ones on an accelerator.
    """

    steps: int = 40
    lr: float = 4e-4
    batch: int = 4
    crop: int = 96
    warm_steps: int = 20
    decay: bool = False
    weighting: Literal["flat", "balanced", "uncertainty"] = "flat"
    cap: float = 10.0
    bn: Literal["frozen", "train"] = "frozen"
    sampling: Literal["class", "uniform"] = "class"
    trainable: Literal["all", "head"] = "all"
    dropout: bool = True
    seed: int = 0
    hold_out: bool = False
    look: int = 10
    patience: int = 2
    bf16: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TuneSettings).items():
            value, allowed = getattr(self, name), get_args(kind)
            if allowed and value not in allowed:
                raise LimsupError(name, got=repr(value), expected=" or ".join(map(repr, allowed)))
        least_of = {"steps": 0, "warm_steps": 0, "batch": 1, "crop": 1, "look": 1, "patience": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise LimsupError(name, got=getattr(self, name), expected=f"at least {least}")


FOREIGN = TuneSettings(steps=120, warm_steps=120)
"""For classes that the network was not trained on: its new head starts from a fit, and the layers
below it have further to go. Half as many steps for a stroke more are not known to be level there:
−0.016 ± 0.049 over four annotators (``results/live.json``)."""


@dataclass(frozen=True)
class TuneStep:
    """Report after one optimiser step.

    Attributes
    ----------
    step, total
        Its number from 1, and how many there are at most.
    loss
        On the crops of this step.
    held_out
        Loss on held-out strokes, where they were looked at after this step.
    """

    step: int
    total: int
    loss: float
    held_out: float | None = None


def set_tuning_mode(model: nn.Module, settings: TuneSettings) -> None:
    """Eval mode, except for batch statistics where ``settings`` wants them updated."""
    model.eval()
    for module in model.modules():
        if isinstance(module, NORMS):
            module.train(settings.bn == "train")


def last_layer(model: nn.Module) -> nn.Module:
    """The layer that makes the logits: the last convolution or linear layer registered."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    found = [m for m in model.modules() if isinstance(m, kinds)]
    if not found:
        raise LimsupError("network", got="no convolution", expected="a segmentation network")
    return found[-1]


def pixel_weights(
    labels: Sequence[NDArray[np.uint8]], classes: int, settings: TuneSettings
) -> list[NDArray[np.float32]]:
    """Weights ``(H, W)`` of each image under the flat or the balanced rule."""
    table = np.ones(classes + 1, np.float32)
    if settings.weighting == "balanced":
        table[1:] = scribble_weights(labels, classes, settings.cap)
    table[0] = 0
    return [table[y] for y in labels]


def check_labels(
    inputs: Sequence[Tensor], labels: Sequence[NDArray[np.uint8]], classes: int
) -> None:
    """Complain unless there are labels ``(H, W)`` in 0…K for every image ``(C, H, W)``."""
    if len(inputs) != len(labels):
        raise LimsupError("labels", got=f"{len(labels)} arrays", expected=len(inputs))
    for i, (x, y) in enumerate(zip(inputs, labels, strict=True)):
        if tuple(x.shape[-2:]) != y.shape:
            raise LimsupError(f"labels of image {i}", got=y.shape, expected=tuple(x.shape[-2:]))
        if y.size and int(y.max()) > classes:
            raise LimsupError(f"labels of image {i}", got=int(y.max()), expected=f"0…{classes}")


def _check_weights(
    weights: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.uint8]]
) -> None:
    shapes, expected = [w.shape for w in weights], [y.shape for y in labels]
    if shapes != expected:
        raise LimsupError("weights", got=f"shapes {shapes}", expected=expected)


def tune_steps(
    model: nn.Module,
    inputs: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    settings: TuneSettings | None = None,
    weights: Sequence[NDArray[np.float32]] | None = None,
    classes: int | None = None,
    held_out: Sequence[NDArray[np.uint8]] | None = None,
    store: CropStore | None = None,
) -> Iterator[TuneStep]:
    """Tune ``model`` in place on the scribbled pixels of one case, yielding after each step.

    Parameters
    ----------
    model
        Any module ``(N, C, H, W)`` → logits ``(N, K, H, W)``. Left in eval mode.
    inputs, labels
        Normalised images ``(C, H, W)`` and their codes ``(H, W)`` with 0…K.
    settings
        See :class:`TuneSettings`.
    weights
        Pixel weights ``(H, W)`` per image; required by ``weighting="uncertainty"``.
    classes
        K; ``model.classes`` by default.
    held_out
        Codes ``(H, W)`` of each image that are looked at and not learnt from; with them tuning ends
        early and goes back to the weights that were best on them. See
        :func:`~limsup_widgets.learn.holdout.split_strokes`.
    store
        Where images stay between the tunes of a case.

    Raises
    ------
    LimsupError
        At the first step: no scribble, a code above K, shapes that differ, weights missing, a crop
        that does not suit the network, or a network of fewer than K classes.

    Notes
    -----
    Source: talk of G. Boracchi (seed 000), "Scribble fine tuning". The talk leaves optimiser, rate
    and steps open; these values were chosen on one simulated cohort and confirmed on another
    (chapter ls02).
    """
    settings = settings or TuneSettings()
    classes = (
        classes
        or int(getattr(model, "classes", 0))
        or max((int(y.max()) for y in labels), default=0)
    )
    check_labels(inputs, labels, classes)
    if weights is None and settings.weighting == "uncertainty":
        raise LimsupError("weights", got=None, do="pass uncertainty_weights(...) of each image")
    if weights is None:
        weights = pixel_weights(labels, classes, settings)
    _check_weights(weights, labels)
    if settings.crop % getattr(model, "divisor", 1):
        raise LimsupError("crop", got=settings.crop, expected=f"a multiple of {model.divisor}")
    sampler = _sampler(model, inputs, labels, weights, settings, store)
    watch = None
    if held_out is not None:
        check_labels(inputs, held_out, classes)
        crops = watched_crops(inputs, held_out, settings.crop)
        watch = Watch(model, crops, settings.patience) if crops else None
    layer = model if settings.trainable == "all" else last_layer(model)
    _lay_out(model, torch.channels_last)
    optimiser = torch.optim.Adam(layer.parameters(), lr=settings.lr, fused=True)
    sample = sampler.stacks[0][None, :-2, : settings.crop, : settings.crop]
    frozen = settings.bn == "frozen" and not settings.compile
    try:
        with folded_norms(model, sample) if frozen else nullcontext():
            yield from _optimise(model, sampler, optimiser, settings, classes, watch)
    finally:
        model.eval()
        _lay_out(model, torch.contiguous_format)  # as files hold weights


def _lay_out(model: nn.Module, form: torch.memory_format) -> None:
    """Layout of the weights: convolutions run a fifth faster with channels last."""
    model.to(memory_format=form)  # type: ignore[call-overload]


def _sampler(
    model: nn.Module,
    inputs: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    weights: Sequence[NDArray[np.float32]],
    settings: TuneSettings,
    store: CropStore | None,
) -> CropSampler:
    """A sampler on the model's device; with a store, the one of the last tune with new labels."""
    rng, device = np.random.default_rng(settings.seed), device_of(model)
    kept = store.sampler if store else None
    if kept is None or (kept.size, kept.device) != (settings.crop, device):
        kept = CropSampler(inputs, labels, weights, settings.crop, settings.sampling, rng)
        kept = kept.to(device)
    else:
        kept.relabel(inputs, labels, weights)
        kept.sampling, kept.rng = settings.sampling, rng
    if store is not None:
        store.sampler = kept
    return kept


def _optimise(
    model: nn.Module,
    sampler: CropSampler,
    optimiser: torch.optim.Optimizer,
    settings: TuneSettings,
    classes: int,
    watch: Watch | None,
) -> Iterator[TuneStep]:
    live = settings.dropout and has_dropout(model)
    set_tuning_mode(model, settings)
    # Dropout masks hang on the network from step to step; a compiler may keep those of the first.
    device, forward = device_of(model), compiled(model) if settings.compile and not live else model
    rate = LinearLR(optimiser, 1.0, 0.0 if settings.decay else 1.0, settings.steps)
    for step in range(1, settings.steps + 1):
        x, y, w = sampler.batch(settings.batch)
        draws = range(step * settings.batch, (step + 1) * settings.batch)
        masks = dropout_masks(model, settings.seed, draws) if live else nullcontext()
        with masks, half_precision(device, settings.bf16):
            logits = forward(x).float()
        if logits.shape[1] < classes:
            raise LimsupError("network", got=f"{logits.shape[1]} classes", expected=classes)
        loss = partial_cross_entropy(logits, y, w)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        rate.step()
        seen = watch.look() if watch and step % settings.look == 0 else None
        yield TuneStep(step, settings.steps, float(loss.detach()), seen)
        if watch and watch.patience == 0:
            break
    if watch:
        watch.restore()


def fine_tune(
    model: Network,
    inputs: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    settings: TuneSettings | None = None,
    weights: Sequence[NDArray[np.float32]] | None = None,
) -> Network:
    """A tuned copy of ``model``, which itself stays as it was; see :func:`tune_steps`."""
    tuned = copy.deepcopy(model)
    for _ in tune_steps(tuned, inputs, labels, settings, weights):
        pass
    return tuned
