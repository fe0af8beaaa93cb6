"""Labels and uncertainty of one image by one network, and the table that lists many of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from limsup_widgets.data.image import Image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.biomarker import area_fractions
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.weights import ModelCard, model_sha256
from limsup_widgets.session.predictions import deterministic_moments


@dataclass(frozen=True, eq=False)
class Result:
    """Labels (codes 1…K) and uncertainty of one image, each (H, W) or (D, H, W)."""

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]


def label_image(
    module: nn.Module, image: Image, passes: int = 20, seed: int = 0, progress: bool = False
) -> Result:
    """Most probable class and uncertainty V of an image; a volume plane by plane.

    Parameters
    ----------
    module
        A network with a card, as `load_model` gives it.
    image
        With as many channels as the network was tuned on.
    passes, seed
        Of Monte Carlo dropout; without dropout it is one pass.
    progress
        Show a bar over the planes of a volume.

    Raises
    ------
    LimsupError
        If the network was made for another number of channels.
    """
    card = card_of(module)
    if image.channels != len(card.mean):
        raise LimsupError(
            str(image.path or image.name),
            got=f"{image.channels} channel(s)",
            expected=f"{len(card.mean)} as the network was tuned on",
            do="convert the image, or tune a network on images of this kind",
        )
    hidden = not (progress and image.is_volume)
    planes = tqdm(image.planes(), image.name, leave=False, unit="plane", disable=hidden)
    parts = [_label_plane(module, card, plane, passes, seed) for plane in planes]
    if not image.is_volume:
        return parts[0]
    return Result(
        np.stack([part.labels for part in parts]), np.stack([part.uncertainty for part in parts])
    )


def _label_plane(
    module: nn.Module, card: ModelCard, plane: Image, passes: int, seed: int
) -> Result:
    x = card.normalizer(plane.array)
    prob = predict(module, x)
    live = has_dropout(module)
    moments = mc_moments(module, x, passes, seed) if live else deterministic_moments(prob)
    return Result(codes(prob), moments.kind("V").astype(np.float32))


def card_of(module: nn.Module) -> ModelCard:
    """Card of a network; an error if it has none."""
    card = getattr(module, "card", None)
    if not isinstance(card, ModelCard):
        raise LimsupError("network", got="no card", expected="a file written by limsup")
    return card


class AreaTable:
    """The CSV file of area fractions: written row by row, so a long run may be stopped."""

    def __init__(self, path: Path, network: nn.Module, passes: int) -> None:
        self.classes = card_of(network).classes
        self.passes = passes if has_dropout(network) else 1
        self.model = model_sha256(network)
        self.path = path

    def __enter__(self) -> AreaTable:
        self.file = self.path.open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        head = ("image", "status", *self.classes, "mean_uncertainty", "pixels", "passes", "model")
        self._write(head)
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, path: Path, status: str, result: Result | None) -> None:
        """One image: its fractions, or empty fields if it failed."""
        self._write((path.name, status, *self._numbers(result), self.passes, self.model))

    def _numbers(self, result: Result | None) -> Iterator[Any]:
        if result is None:
            yield from [""] * (len(self.classes) + 2)
            return
        for fraction in area_fractions(result.labels, len(self.classes)):
            yield f"{fraction:.6f}"
        yield f"{result.uncertainty.mean():.6f}"
        yield result.labels.size

    def _write(self, row: Sequence[Any]) -> None:
        self.rows.writerow(row)
        self.file.flush()
