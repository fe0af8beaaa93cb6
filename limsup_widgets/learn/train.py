"""Train the base networks U0 and U0^D on simulated controls.

``python -m limsup_widgets.learn.recipe`` makes the shipped files again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from limsup_widgets.data.labels import to_targets
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.losses import IGNORED, class_weights, soft_dice_loss
from limsup_widgets.learn.unet import UNet

Pairs = Sequence[tuple[NDArray[Any], NDArray[np.uint8]]]
"""Images ``(H, W, 3)`` with dense codes ``(H, W)``."""


def random_grid(rng: np.random.Generator, count: int, crop: int, side: tuple[int, int]) -> Tensor:
    """Sampling grids ``(N, crop, crop, 2)``: any rotation, zoom 0.8–1.25, flips, any place."""
    thetas = []
    for _ in range(count):
        angle, zoom = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(-0.223, 0.223))
        flip = rng.choice([-1.0, 1.0])
        scale = np.array([crop / side[1], crop / side[0]]) / zoom
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turn[:, 0] *= flip
        centre = rng.uniform(-1, 1, 2) * np.maximum(0, 1 - scale)
        # Rows scale separately: the grid is in units of half the image, which is not square.
        thetas.append(np.column_stack([turn * scale[:, None], centre]))
    theta = torch.tensor(np.array(thetas), dtype=torch.float32)
    return F.affine_grid(theta, [count, 1, crop, crop], align_corners=False)


def augmented_batch(
    x: Tensor, y: Tensor, rng: np.random.Generator, count: int, crop: int, colour: bool = False
) -> tuple[Tensor, Tensor]:
    """Crops ``(N, C, s, s)`` and targets ``(N, s, s)``; what lies outside the image is −1.

    Gain within 10 % and offset within 0.2 standard deviations, common to all channels; ``colour``
    draws them per channel and three times as wide.
    """
    pick = torch.from_numpy(rng.integers(len(x), size=count))
    grid = random_grid(rng, count, crop, (x.shape[-2], x.shape[-1]))
    image = F.grid_sample(x[pick], grid, padding_mode="border", align_corners=False)
    # Codes are shifted by one, so that grid_sample's zero padding means "ignored".
    codes = F.grid_sample(y[pick, None] + 1, grid, mode="nearest", align_corners=False)
    shape, width = ((count, x.shape[1], 1, 1), 3.0) if colour else ((count, 1, 1, 1), 1.0)
    gain, offset = (
        torch.tensor(rng.uniform(-width * span, width * span, shape), dtype=torch.float32)
        for span in (0.1, 0.2)
    )
    return image * (1 + gain) + offset, codes[:, 0].round().long() - 1


def dense_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus soft Dice; −1 is ignored in both."""
    ce = F.cross_entropy(logits, targets, weight=weights, ignore_index=IGNORED)
    return ce + soft_dice_loss(logits, targets)


def train_unet(
    pairs: Pairs,
    network: UNet,
    normalizer: Normalizer,
    steps: int = 260,
    batch: int = 8,
    crop: int = 96,
    lr: float = 3e-3,
    seed: int = 0,
    colour: bool = False,
    progress: Callable[[int, float], object] | None = None,
) -> UNet:
    """Train ``network`` in place, patch-wise on densely labelled images of one size.

    AdamW (weight decay 1e-4) with a one-cycle rate; rotation, zoom, flips, gain ±10 %, offset
    ±0.2 standard deviations. The talk lists no colour augmentation; ``colour`` adds it, which hides
    most of a change of stain. ``progress`` gets (step, loss).

    Notes
    -----
    Source: talk of G. Boracchi (seed 000), base network U0; optimiser and schedule are ours.
    """
    x = torch.stack([normalizer(image) for image, _ in pairs])
    y = torch.stack([torch.from_numpy(to_targets(truth)) for _, truth in pairs]).float()
    weights = class_weights([truth for _, truth in pairs], network.classes)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, steps, pct_start=0.15)
    network.train()
    for step in range(1, steps + 1):
        crops, targets = augmented_batch(x, y, rng, batch, crop, colour)
        loss = dense_loss(network(crops), targets, weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step, float(loss.detach()))
    return network.eval()


def train_u0(
    pairs: Pairs,
    p_drop: float = 0.0,
    dropout_at: Sequence[str] = ("quarter", "half"),
    seed: int = 0,
    **options: Any,
) -> tuple[UNet, Normalizer]:
    """A U-Net trained on ``pairs``, and the normalisation fitted to their images."""
    normalizer = Normalizer.fit([image for image, _ in pairs])
    torch.manual_seed(seed)
    network = UNet(p_drop=p_drop, dropout_at=dropout_at)
    return train_unet(pairs, network, normalizer, seed=seed, **options), normalizer
