"""Features of a frozen network at the resolutions at which it makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from limsup_widgets.learn.infer import evaluating, prepare
from limsup_widgets.learn.logistic import Logistic
from limsup_widgets.learn.rivals import multiscale
from limsup_widgets.learn.tune import last_layer
from limsup_widgets.learn.unet import UNet

FLOOR = -14.0
"""Of a logarithm of a probability: what is less likely counts as this likely."""
DEEPEST = 32
"""Largest step, in pixels, of a level whose features are used."""

Floats = NDArray[np.float32]
Pixels = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Levels:
    """Features of one input at the resolutions at which the network made them.

    Attributes
    ----------
    maps
        ``(1, F_l, H_l, W_l)`` each, of the padded input.
    own
        The network's own logarithms of probabilities ``(1, K, H', W')``, at least ``FLOOR``.
    padded, shape
        Sides of the padded input and of the input.
    """

    maps: tuple[Tensor, ...]
    own: Tensor
    padded: tuple[int, int]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all maps."""
        return sum(f.nbytes for f in (*self.maps, self.own))

    def moments(self) -> Floats:
        """Mean and mean square of each feature over its map, ``(2, F)``."""
        pairs = [torch.stack([f.mean((0, 2, 3)), f.square().mean((0, 2, 3))]) for f in self.maps]
        return torch.cat(pairs, 1).cpu().numpy()

    def at(self, rows: Pixels, cols: Pixels) -> tuple[Floats, Floats]:
        """Bilinear features ``(n, F)``, F = Σ F_l, and own answers ``(n, K)`` of n pixels.

        No map is upsampled.
        """
        grid = torch.from_numpy(np.stack([cols, rows], -1).astype(np.float32)) + 0.5
        grid = grid / torch.tensor([self.padded[1], self.padded[0]]) * 2 - 1
        grid = grid[None, None].to(self.own.device)
        found = [_sampled(f, grid) for f in (*self.maps, self.own)]
        return torch.cat(found[:-1]).T.cpu().numpy(), found[-1].T.cpu().numpy()

    def logits(self, fit: Logistic) -> Tensor:
        r"""Logits ``(K, H, W)``.

        Upsampling is linear, so the classifier goes first, on each level by itself:

        .. math:: z = b + \sum_l \mathrm{up}(W_l f_l)
        """
        coef, total = (torch.from_numpy(p).to(self.own) for p in (fit.coef, fit.intercept))
        total = total[:, None, None].expand(-1, *self.padded)
        parts = coef.split([f.shape[1] for f in self.maps], dim=1)
        for f, part in zip(self.maps, parts, strict=True):
            total = total + _upsampled(F.conv2d(f, part[:, :, None, None]), self.padded)[0]
        if fit.corrects:
            total = total + self.own[0]
        return total[:, : self.shape[0], : self.shape[1]]


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    found = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return found[0, :, 0]


def _upsampled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def levels_of(model: nn.Module, x: Tensor, filters: bool = False) -> Levels:
    """Features of ``x (C, H, W)`` in eval mode.

    Of limsup's U-Net the outputs of its decoder; of any other module the last map that it makes at
    each coarser step, and what its last layer sees. Nothing in the module is changed.

    Parameters
    ----------
    model, x
        Network and normalised input.
    filters
        Whether to add hand-made filters at five scales, as the last level; they are made of ``x``.
    """
    batch = prepare(model, x)
    with evaluating(model):
        maps, out = _decoder(model, batch) if isinstance(model, UNet) else _captured(model, batch)
    if filters:
        maps.append(_filters(batch))
    height, width = batch.shape[-2:]
    own = _upsampled(out.float(), (height, width)).log_softmax(1).clamp_min(FLOOR)
    return Levels(tuple(f.float() for f in maps), own, (height, width), (x.shape[-2], x.shape[-1]))


def _decoder(model: UNet, batch: Tensor) -> tuple[list[Tensor], Tensor]:
    maps = model.features(batch)
    return maps, model.head(maps[-1])


def _filters(batch: Tensor) -> Tensor:
    """Intensity, edges and texture of ``batch (1, C, H, W)`` at σ 0.5…8 px, as in ``rivals``."""
    made = multiscale(batch[0].movedim(0, -1).cpu().numpy())
    return torch.from_numpy(made).movedim(-1, 0)[None].to(batch.device)


def _captured(model: nn.Module, batch: Tensor) -> tuple[list[Tensor], Tensor]:
    """Of any module: the last map made at each coarser step, and what its last layer sees.

    The network's output stands in where the last layer registered is not used as such.
    """
    made: dict[int, Tensor] = {}
    seen: list[Tensor] = []

    def look(_module: nn.Module, _args: object, out: object) -> None:
        step = _step(out, batch)
        if isinstance(out, Tensor) and 1 < step <= DEEPEST:
            made[step] = out

    leaves = [m for m in model.modules() if not list(m.children())]
    handles = [m.register_forward_hook(look) for m in leaves]
    handles.append(last_layer(model).register_forward_pre_hook(lambda _, a: seen.append(a[0])))
    try:
        out = model(batch)
    finally:
        for handle in handles:
            handle.remove()
    fine = [f for f in seen[-1:] if 1 <= _step(f, batch) <= DEEPEST] or [out]
    coarse = [made[step] for step in sorted(made, reverse=True)]
    return [f for f in coarse if f is not fine[0]] + fine, out


def _step(out: object, batch: Tensor) -> int:
    """Pixels of ``batch`` to one of ``out``; 0 if it is no map of the same view."""
    if not isinstance(out, Tensor) or out.ndim != 4 or len(out) != 1 or 0 in out.shape:
        return 0
    steps = {side // small for side, small in zip(batch.shape[-2:], out.shape[-2:], strict=True)}
    return steps.pop() if len(steps) == 1 else 0
