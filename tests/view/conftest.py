"""A display where there is one, a network small enough for every click, and napari's own settings
left alone."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from limsup_widgets.view.display import viewer_available

os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp(prefix="napari-")) / "settings.yaml")

CLASSES = ("dark", "bright")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    available, reason = viewer_available()
    for item in items:
        if item.get_closest_marker("display") and not available:
            item.add_marker(pytest.mark.skip(reason=reason))


def small_network(pause: float = 0.0, error: Exception | None = None):
    """A network that tells two grey levels apart, at a chosen pace, or fails while it learns."""
    import torch
    from torch import nn

    class Small(nn.Module):
        in_channels, classes = 1, 2

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.5))
            self.head = nn.Conv2d(6, 2, 1)

        def forward(self, x):
            if torch.is_grad_enabled():
                time.sleep(pause)
                if error is not None:
                    raise error
            return self.head(self.body(x))

    return Small()


def two_halves(height: int = 60, width: int = 80) -> np.ndarray:
    """Dark left, bright right, with noise."""
    image = np.where(np.arange(width) < width // 2, 60, 190) + np.zeros((height, 1))
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def make_session():
    """Sessions that are closed after the test, whatever happened in it."""
    from limsup_widgets.learn.tune import TuneSettings
    from limsup_widgets.session import Session

    made: list[Session] = []

    def make(images: int = 1, pause: float = 0.0, error=None, steps: int = 12, **options):
        truth = np.where(np.arange(80) < 40, 1, 2).astype(np.uint8) + np.zeros((60, 1), np.uint8)
        session = Session(
            [two_halves() for _ in range(images)],
            CLASSES,
            model=small_network(pause, error),
            truths=[truth] * images,
            settings=TuneSettings(steps=steps, lr=0.03, crop=32),
            passes=4,
            **options,
        )
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def scribbled(make_session):
    """As `make_session`, with a stroke of each class on the first image."""

    def make(**options):
        session = make_session(**options)
        session.paint(np.arange(20 * 80 + 5, 20 * 80 + 30), 1)
        session.paint(np.arange(40 * 80 + 50, 40 * 80 + 75), 2)
        return session

    return make
