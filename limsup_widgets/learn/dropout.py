"""Dropout masks that are a function of (seed, pass, layer), and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def has_dropout(model: nn.Module) -> bool:
    """Whether any dropout layer has a rate above 0."""
    return any(isinstance(m, DROPOUTS) and m.p > 0 for m in model.modules())


def live_dropouts(model: nn.Module) -> list[nn.Module]:
    """Dropout layers with a rate above 0, in the order in which they were registered."""
    found: list[nn.Module] = [m for m in model.modules() if isinstance(m, DROPOUTS) and m.p > 0]
    if not found:
        raise LimsupError("network", got="no live dropout", do="use U0^D, or set a dropout rate")
    return found


def mask(layer: nn.Module, index: int, shape: torch.Size, seed: int, number: int) -> Tensor:
    """Mask of one layer in pass ``number``, scaled by 1/(1−p), for an output ``(1, C, …)``.

    Whole channels for ``Dropout2d`` and ``Dropout3d``, single elements for ``Dropout``. It depends
    on (seed, pass, layer) only, so any way of running the passes meets the same masks.
    """
    rng = np.random.default_rng((seed, number, index))
    whole = not isinstance(layer, nn.Dropout)
    size = (1, shape[1], *(1 for _ in shape[2:])) if whole else (1, *shape[1:])
    keep = 1.0 - float(layer.p)  # type: ignore[arg-type]
    return torch.from_numpy((rng.random(size) < keep).astype(np.float32)) / max(keep, 1e-12)


@contextmanager
def dropout_masks(model: nn.Module, seed: int, passes: Sequence[int]) -> Iterator[None]:
    """Switch on dropout alone: entry n of a batch gets the masks of ``passes[n]``.

    The module stays in eval mode, in which a dropout layer is the identity; a hook multiplies its
    output by the mask. Batch normalisation is never touched.
    """

    def hook(index: int, layer: nn.Module, _: object, out: Tensor) -> Tensor:
        masks = [mask(layer, index, out.shape, seed, number) for number in passes]
        return out * torch.cat(masks).to(out)

    layers = live_dropouts(model)
    handles = [m.register_forward_hook(partial(hook, i)) for i, m in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
