"""A case that any network learns in a few steps: two halves of different colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limsup_widgets.learn.tune import TuneSettings
from limsup_widgets.learn.unet import UNet
from limsup_widgets.session import Session

CLASSES = ("left", "right")
QUICK = TuneSettings(steps=4, batch=2, crop=32, lr=5e-3)


def halves(seed: int = 0, side: int = 64) -> NDArray[np.uint8]:
    """(side, side, 3): dark left, bright right, noise on both."""
    rng = np.random.default_rng(seed)
    image = rng.normal(80, 12, (side, side, 3))
    image[:, side // 2 :] += 90
    return image.clip(0, 255).astype(np.uint8)


def truth(side: int = 64) -> NDArray[np.uint8]:
    codes = np.ones((side, side), np.uint8)
    codes[:, side // 2 :] = 2
    return codes


def tiny(classes: int = 2, in_channels: int = 3, p_drop: float = 0.2) -> UNet:
    """An untrained network of a few thousand parameters, always the same."""
    torch.manual_seed(0)
    places = ("quarter", "half")
    return UNet(in_channels, classes, (8, 8, 8, 8), p_drop=p_drop, dropout_at=places).eval()


def scribble(session: Session, image: int = 0) -> None:
    """One stroke of each class."""
    session.paint(([20] * 10, range(5, 15)), 1, image)
    session.paint(([40] * 10, range(45, 55)), 2, image)


def heard(session: Session, *names: str) -> list[tuple[Any, ...]]:
    """A list that grows with every event of these names."""
    events: list[tuple[Any, ...]] = []

    def listen(name: str) -> Callable[..., None]:
        return lambda value: events.append((name, value))

    for name in names:
        session.events[name].connect(listen(name))
    return events
