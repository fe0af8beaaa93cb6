"""Convolve a map that was doubled in size, without ever making the doubled map.

Bilinear doubling and a 3×3 convolution are both linear, so that together they are one transposed
convolution of the small map: a quarter of the memory traffic for as many multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from limsup_widgets.learn.tape import Step

CONV_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
INTERPOLATE_NAMES = (
    "input",
    "size",
    "scale_factor",
    "mode",
    "align_corners",
    "recompute_scale_factor",
    "antialias",
)
PLAIN = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": (1, 1)}


@dataclass(frozen=True)
class Affine:
    """A linear map of what changes, plus what does not."""

    linear: Callable[[Tensor], Tensor]
    constant: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Value at ``x``."""
        return self.linear(x).add_(self.constant)


def named(step: Step, names: Sequence[str]) -> dict[str, Any]:
    """Arguments of a call by their names."""
    return dict(zip(names, step.args, strict=False)) | step.kwargs


def convolve_undoubled(steps: Sequence[Step], single: Mapping[int, Step]) -> list[Step]:
    """Steps in which convolutions read maps as they were before they were doubled.

    ``single`` says which step makes a slot that is read once.
    """
    short, gone = [], set()
    for step in steps:
        source = step.source(single)
        call = _undoubled(step) if source is not None and _doubles(source) else None
        if call is None or source is None:
            short.append(step)
            continue
        gone.add(id(source))
        short.append(Step(call, source.args[:1], {}, step.out))
    return [step for step in short if id(step) not in gone]


def _doubles(step: Step) -> bool:
    if step.call is not F.interpolate:
        return False
    a = named(step, INTERPOLATE_NAMES)
    factor = a.get("scale_factor")
    return (
        a.get("mode") == "bilinear"
        and not (a.get("align_corners") or a.get("antialias"))
        and a.get("size") is None
        and (factor == 2 or (isinstance(factor, list | tuple) and set(factor) == {2}))
    )


def _undoubled(step: Step) -> Callable[[Tensor], Tensor] | None:
    """What a 3×3 convolution does to the map before it was doubled; None for other calls."""
    if isinstance(step.call, Affine):
        linear = step.call.linear
        weight = _plain_weight(linear.keywords) if isinstance(linear, partial) else None
        return None if weight is None else Affine(_doubled(weight, None), step.call.constant)
    if step.call is not F.conv2d:
        return None
    c = named(step, CONV_NAMES)
    weight = _plain_weight(c)
    return None if weight is None else _doubled(weight, c.get("bias"))


def _plain_weight(conv: Mapping[str, Any]) -> Tensor | None:
    """Weight of a 3×3 convolution that keeps the size; None for any other."""
    weight = conv["weight"]
    options = (conv.get("stride", 1), conv.get("padding", 0), conv.get("dilation", 1))
    plain = all(option in (1, (1, 1)) for option in options) and conv.get("groups", 1) == 1
    # Measured on CPUs only: an accelerator keeps the kernels it was tried with.
    if not isinstance(weight, Tensor) or weight.device.type != "cpu":
        return None
    return weight if weight.shape[2:] == (3, 3) and plain else None


def _doubled(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    small = doubled_kernel(weight).contiguous(memory_format=torch.channels_last)
    return partial(conv_of_doubled, small, weight, bias)


def doubled_kernel(weight: Tensor) -> Tensor:
    """Kernel ``(C_in, C_out, 6, 6)`` of doubling and a convolution ``(C_out, C_in, 3, 3)`` in one.

    Examples
    --------
    >>> float(doubled_kernel(torch.ones(1, 1, 3, 3)).sum())
    36.0
    """
    line = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=torch.float64, device=weight.device)
    tent = F.pad(torch.outer(line, line), (2, 2, 2, 2))[None, None]
    pairs = weight.double().transpose(0, 1).reshape(-1, 1, 3, 3)
    kernel = F.conv2d(tent, pairs)[0]
    return kernel.reshape(*weight.shape[1::-1], 6, 6).to(weight)


def conv_of_doubled(kernel: Tensor, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """3×3 convolution, zeros around, of ``x (N, C, H, W)`` doubled bilinearly.

    Doubling repeats the border where the convolution sees zeros, so the outermost lines are made
    the plain way, from the two lines of ``x`` that they depend on.

    Parameters
    ----------
    kernel
        :func:`doubled_kernel` of ``weight (C_out, C, 3, 3)``.
    """
    if min(x.shape[2:]) < 2:
        return _plainly(weight, bias, x)
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    made = F.conv_transpose2d(wide, kernel, bias, stride=2, padding=4)
    for axis in (2, 3):
        ends = torch.cat([x.narrow(axis, 0, 2), x.narrow(axis, x.shape[axis] - 2, 2)])
        first, last = _plainly(weight, bias, ends).chunk(2)
        made.select(axis, 0).copy_(first.select(axis, 0))
        made.select(axis, -1).copy_(last.select(axis, -1))
    return made


def _plainly(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    large = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return F.conv2d(large, weight, bias, padding=1)
