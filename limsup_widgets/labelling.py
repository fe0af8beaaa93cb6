"""Labels and uncertainty of one image by one network, and the table that lists many of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from limsup_widgets.data.image import Image
from limsup_widgets.data.tiled_labels import TiledLabels
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.tiles import Box, tile_plan
from limsup_widgets.learn.weights import ModelCard, model_sha256
from limsup_widgets.session.covered import predicted_tiles
from limsup_widgets.session.predictions import deterministic_moments


@dataclass(frozen=True, eq=False)
class Result:
    """Labels (codes 1…K) and uncertainty of one image, each (H, W) or (D, H, W).

    Of a large image the labels are kept in tiles, and there is no uncertainty.
    """

    labels: NDArray[np.uint8] | TiledLabels
    uncertainty: NDArray[np.float32] | None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels of code 0…255, ``(256,)``."""
        if isinstance(self.labels, TiledLabels):
            return self.labels.counts(255)
        return np.bincount(self.labels.ravel(), minlength=256)


def label_image(
    module: nn.Module, image: Image, passes: int = 20, seed: int = 0, progress: bool = False
) -> Result:
    """Most probable class and uncertainty V of an image; a volume plane by plane.

    A large image that stays on the disk is labelled tile by tile, without uncertainty: 20 passes
    over a slide would take hours.

    Parameters
    ----------
    module
        A network with a card, as `load_model` gives it.
    image
        With as many channels as the network was tuned on.
    passes, seed
        Of Monte Carlo dropout; without dropout it is one pass.
    progress
        Show a bar over the planes of a volume, or the tiles of a large image.

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
    if image.is_lazy:
        return Result(_label_tiles(module, card, image, progress), None)
    hidden = not (progress and image.is_volume)
    planes = tqdm(image.planes(), image.name, leave=False, unit="plane", disable=hidden)
    parts = [_label_plane(module, card, plane, passes, seed) for plane in planes]
    labels, uncertainty = zip(*parts, strict=True)
    if not image.is_volume:
        return Result(labels[0], uncertainty[0])
    return Result(np.stack(labels), np.stack(uncertainty))


def _label_tiles(module: nn.Module, card: ModelCard, image: Image, progress: bool) -> TiledLabels:
    labels, boxes = TiledLabels(image.shape), tile_plan(image.shape)

    def read(box: Box) -> Tensor:
        return card.normalizer(image.read(box))

    bar = tqdm(boxes, image.name, leave=False, unit="tile", disable=not progress)
    for box, found in predicted_tiles(module, read, image.shape, bar):
        labels.put(box, found)
    return labels


def _label_plane(
    module: nn.Module, card: ModelCard, plane: Image, passes: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    x = card.normalizer(plane.array)
    prob = predict(module, x)
    live = has_dropout(module)
    moments = mc_moments(module, x, passes, seed) if live else deterministic_moments(prob)
    return codes(prob), moments.kind("V").astype(np.float32)


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
        counts = result.counts
        found = counts[1 : len(self.classes) + 1]
        for count in found:
            yield f"{count / max(1, found.sum()):.6f}"
        yield "" if result.uncertainty is None else f"{result.uncertainty.mean():.6f}"
        yield int(counts.sum())

    def _write(self, row: Sequence[Any]) -> None:
        self.rows.writerow(row)
        self.file.flush()
