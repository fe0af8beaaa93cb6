"""Frozen batch normalisation as part of the convolution before it, while a network is tuned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from limsup_widgets.learn.infer import evaluating

TOLERANCE = 1e-3
"""Largest difference of logits that counts as rounding."""
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


@contextmanager
def folded_norms(model: nn.Module, x: Tensor) -> Iterator[int]:
    """Inside, convolutions do the work of the frozen norms behind them; gives how many do.

    The function and its gradients stay the same: a frozen norm scales and shifts each channel, and
    scaling the convolution's weights does so for a fraction of the memory traffic. All parameters
    are still those of the network. Where the outputs for ``x`` change, nothing is folded.

    Parameters
    ----------
    model
        In eval mode as long as the block lasts, at least its norms.
    x
        An input ``(1, C, H, W)`` to find out by what follows what.
    """
    with evaluating(model):
        expected = model(x)
        pairs = _pairs(model, x)
        _fold(pairs)
        if pairs and not torch.allclose(model(x), expected, atol=TOLERANCE, rtol=TOLERANCE):
            _unfold(pairs)
            pairs = []
    try:
        yield len(pairs)
    finally:
        _unfold(pairs)


def _pairs(model: nn.Module, x: Tensor) -> list[Pair]:
    """Convolutions and the norms that read what they make; only modules that are called once."""
    calls: Counter[nn.Module] = Counter()
    made: list[tuple[nn.Conv2d, Tensor]] = []
    found: list[Pair] = []

    def note(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        calls[module] += 1
        if type(module) is nn.Conv2d:
            made.append((module, out))
        elif type(module) is nn.BatchNorm2d and module.running_mean is not None:
            found.extend((conv, module) for conv, made_by in made if made_by is args[0])

    handles = [m.register_forward_hook(note) for m in model.modules()]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in found if calls[pair[0]] == calls[pair[1]] == 1]


def _fold(pairs: list[Pair]) -> None:
    for conv, norm in pairs:
        conv.forward = partial(_convolved_and_normed, conv, norm)  # type: ignore[method-assign]
        norm.forward = _as_it_is  # type: ignore[method-assign, assignment]


def _unfold(pairs: list[Pair]) -> None:
    for pair in pairs:
        for module in pair:
            del module.forward


def _convolved_and_normed(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    assert norm.running_var is not None and norm.running_mean is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    shift = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    bias = -shift * scale + norm.bias if norm.affine else -shift * scale
    return conv._conv_forward(x, conv.weight * scale[:, None, None, None], bias)


def _as_it_is(x: Tensor) -> Tensor:
    return x
