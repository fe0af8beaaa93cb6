"""From image arrays to what a network eats, and the padding that a U-Net needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError


def unit_float(array: NDArray[Any]) -> NDArray[np.float32]:
    """``(H, W)`` or ``(H, W, C)`` → float32 ``(C, H, W)``; uint8 is divided by 255."""
    if array.ndim not in (2, 3):
        raise LimsupError(
            "image", got=f"shape {array.shape}", expected="(H, W) or (H, W, C)", do="pick one plane"
        )
    array = np.asarray(array)  # reads a lazy image, or says that it is too large
    scaled = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    planes = scaled[None] if array.ndim == 2 else np.moveaxis(scaled, -1, 0)
    return np.ascontiguousarray(planes, dtype=np.float32)


@dataclass(frozen=True)
class Normalizer:
    """Subtract ``mean`` and divide by ``std``, one pair of numbers per channel.

    Examples
    --------
    >>> Normalizer((0.5,), (0.25,))(np.full((2, 2), 255, np.uint8)).flatten().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, arrays: Sequence[NDArray[Any]]) -> Normalizer:
        """Mean and standard deviation per channel over all pixels of ``arrays``."""
        flat = np.concatenate([a.reshape(a.shape[0], -1) for a in map(unit_float, arrays)], axis=1)
        std = np.maximum(flat.std(axis=1, dtype=np.float64), 1e-6)
        return cls(tuple(flat.mean(axis=1, dtype=np.float64).tolist()), tuple(std.tolist()))

    def __call__(self, array: NDArray[Any]) -> Tensor:
        """``(H, W)`` or ``(H, W, C)`` → float32 tensor ``(C, H, W)``."""
        x = unit_float(array)
        if x.shape[0] != len(self.mean):
            raise LimsupError(
                "image channels", got=x.shape[0], expected=len(self.mean), do="adapt the network"
            )
        shape = (-1, 1, 1)
        mean, std = (np.asarray(v, np.float32).reshape(shape) for v in (self.mean, self.std))
        return torch.from_numpy((x - mean) / std)


def pad_to(x: Tensor, divisor: int, least: int = 0) -> Tensor:
    """Repeat the last row and column of ``x (…, H, W)`` until both sides suit the network.

    Sides become multiples of ``divisor`` that are at least ``least`` pixels long.
    """
    grow = [-(-max(side, least) // divisor) * divisor - side for side in x.shape[-2:]]
    if not any(grow):
        return x
    batched = x if x.ndim == 4 else x[None]
    padded = F.pad(batched, (0, grow[1], 0, grow[0]), mode="replicate")
    return padded if x.ndim == 4 else padded[0]
