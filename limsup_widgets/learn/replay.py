"""Run a recording again under other masks, with less arithmetic and the same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from limsup_widgets.learn.doubling import CONV_NAMES, Affine, convolve_undoubled, named
from limsup_widgets.learn.tape import JOINS, Mask, Slot, Step

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
RELUS = (F.relu, torch.relu, Tensor.relu)
NORM_NAMES = (
    "input",
    "running_mean",
    "running_var",
    "weight",
    "bias",
    "training",
    "momentum",
    "eps",
)


def replay(steps: Sequence[Step], size: int, output: Slot, masks: Mapping[int, Tensor]) -> Tensor:
    """Output of the network under ``masks``, one ``(B, C, …)`` per dropout layer."""
    memory: list[Any] = [None] * size
    last = {slot: number for number, step in enumerate(steps) for slot in step.slots()}

    def value(noted: Any) -> Any:
        if isinstance(noted, Slot):
            return memory[noted.number]
        return masks[noted.layer] if isinstance(noted, Mask) else noted

    for number, step in enumerate(steps):
        args, kwargs = tree_map(value, (step.args, step.kwargs))
        result = step.call(*args, **kwargs)
        made = [result] if isinstance(result, Tensor) else [t for t in result if t is not None]
        for slot, tensor in zip(step.out, made, strict=True):
            memory[slot] = tensor
        for slot in step.slots():
            if last[slot] == number and slot != output.number:
                memory[slot] = None
    return memory[output.number]


def shorten(steps: Sequence[Step], output: Slot) -> list[Step]:
    """Fold batch normalisation into convolutions, and run their shared input channels once.

    A convolution over a shared and a changing part is the sum of two; the first is a constant.
    Of a map that was doubled in size, it runs on the map as it was before.
    """
    uses = Counter(slot for step in steps for slot in step.slots())
    uses[output.number] += 1
    single = {s.out[0]: s for s in steps if len(s.out) == 1 and uses[s.out[0]] == 1}
    folded = _without_norms(steps, single)
    cheap = [_cheaper(step, single) for step in folded]
    return convolve_undoubled(_without_joins(cheap, single), single)


def _without_norms(steps: Sequence[Step], single: dict[int, Step]) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        conv = step.source(single) if step.call is F.batch_norm else None
        frozen = not named(step, NORM_NAMES).get("training", False)
        if conv is None or conv.call not in CONVOLUTIONS or not frozen:
            kept.append(step)
            continue
        folded = _folded(conv, step)
        kept[next(k for k, s in enumerate(kept) if s is conv)] = folded
        if step.out[0] in single:
            single[step.out[0]] = folded
    return kept


def _without_joins(steps: Sequence[Step], single: Mapping[int, Step]) -> list[Step]:
    short, gone = [], set()
    for step in steps:
        join = step.source(single) if step.call in CONVOLUTIONS else None
        split = _split(step, join) if join is not None and join.call in JOINS.values() else None
        if split is not None:
            gone.add(id(join))
        short.append(split or step)
    return [step for step in short if id(step) not in gone]


def _cheaper(step: Step, single: Mapping[int, Step]) -> Step:
    """A ReLU that overwrites what nobody else reads; a 1×1 convolution as a matrix product."""
    source = step.source(single)
    # Only a convolution's output is surely new: others may hand on what is read elsewhere.
    if step.call in RELUS and source is not None and source.call in CONVOLUTIONS:
        return Step(torch.relu_, step.args[:1], {}, step.out)
    if step.call is F.conv2d and _is_pointwise(c := named(step, CONV_NAMES)):
        call = partial(_pointwise, c["weight"].flatten(1), c.get("bias"))
        return Step(call, (c["input"],), {}, step.out)
    return step


def _is_pointwise(conv: Mapping[str, Any]) -> bool:
    plain = (conv.get("stride", 1), conv.get("padding", 0), conv.get("groups", 1))
    return (
        isinstance(conv["weight"], Tensor)
        and conv["weight"].shape[2:] == (1, 1)
        and plain in (((1, 1), (0, 0), 1), (1, 0, 1))
    )


def _pointwise(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    made = x.permute(0, 2, 3, 1) @ weight.T  # With a bias the product would first copy it out.
    return (made if bias is None else made.add_(bias)).permute(0, 3, 1, 2)


def _folded(conv: Step, norm: Step) -> Step:
    """Convolution and batch normalisation with stored statistics as one convolution."""
    c, n = named(conv, CONV_NAMES), named(norm, NORM_NAMES)
    scale = (n["running_var"] + n.get("eps", 1e-5)).rsqrt()
    if n.get("weight") is not None:
        scale = scale * n["weight"]
    bias = -n["running_mean"] if c.get("bias") is None else c["bias"] - n["running_mean"]
    bias = bias * scale
    if n.get("bias") is not None:
        bias = bias + n["bias"]
    weight = c["weight"] * scale.reshape(-1, *[1] * (c["weight"].ndim - 1))
    return Step(conv.call, (c["input"], weight, bias), _options(c), norm.out)


def _options(conv: Mapping[str, Any]) -> dict[str, Any]:
    return {k: conv[k] for k in ("stride", "padding", "dilation", "groups") if k in conv}


def _split(conv: Step, join: Step) -> Step | None:
    """A convolution of joined channels: the shared ones once, the changing ones in each pass."""
    c = named(conv, CONV_NAMES)
    parts = join.args[0]
    axis = (
        join.args[1] if len(join.args) > 1 else join.kwargs.get("dim", join.kwargs.get("axis", 0))
    )
    ndim = c["weight"].ndim
    shared = [p[:1] for p in parts if isinstance(p, Tensor)]
    if axis not in (1, 1 - ndim) or c.get("groups", 1) != 1 or not shared:
        return None
    if c.get("padding") in ("same", "valid") or len(shared) == len(parts):
        return None
    widths = _widths(parts, c["weight"].shape[1])
    if widths is None:
        return None
    blocks = torch.split(c["weight"], widths, dim=1)
    own = torch.cat([b for p, b in zip(parts, blocks, strict=True) if isinstance(p, Tensor)], 1)
    constant = conv.call(torch.cat(shared, 1), own, c.get("bias"), **_options(c))
    ((part, weight),) = (
        (p, b) for p, b in zip(parts, blocks, strict=True) if not isinstance(p, Tensor)
    )
    call = Affine(partial(conv.call, weight=weight.contiguous(), **_options(c)), constant)
    return Step(call, (part,), {}, conv.out)


def _widths(parts: Sequence[Any], total: int) -> list[int] | None:
    """Channels of each part; unknown for more than one changing part."""
    known = [p.shape[1] if isinstance(p, Tensor) else 0 for p in parts]
    if known.count(0) != 1:
        return None
    known[known.index(0)] = total - sum(known)
    return known
