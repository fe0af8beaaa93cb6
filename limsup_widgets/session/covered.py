"""Labels of a large image where it was worked on: predicted tile by tile, never all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.data.tiled_labels import TiledLabels
from limsup_widgets.learn.infer import codes
from limsup_widgets.learn.tiles import Box, Read, predict_box, tiling_of
from limsup_widgets.session.screen import area


@dataclass(frozen=True, eq=False)
class Covered:
    """Labels of part of an image.

    Attributes
    ----------
    labels
        Codes of the whole image, 0 outside the boxes.
    boxes
        Tiles, without overlap, that were predicted.
    """

    labels: TiledLabels
    boxes: tuple[Box, ...]

    @property
    def pixels(self) -> int:
        """Pixels that were predicted."""
        return sum(map(area, self.boxes))

    @property
    def share(self) -> float:
        """Share of the image that was predicted, 0…1."""
        height, width = self.labels.shape
        return self.pixels / (height * width)


def covered(shape: tuple[int, int], parts: Iterator[tuple[Box, NDArray[np.uint8]]]) -> Covered:
    """Collect the codes of tiles as they come."""
    labels, boxes = TiledLabels(shape), []
    for box, found in parts:
        labels.put(box, found)
        boxes.append(box)
    return Covered(labels, tuple(boxes))


def predicted_tiles(
    module: nn.Module,
    read: Read,
    shape: tuple[int, int],
    boxes: Iterable[Box],
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Codes 1…K of each box, with the numbers that the whole image would have given.

    See :func:`~limsup_widgets.learn.halo.tiling_of` for the networks for which that holds.
    ``progress`` is called with the number of boxes done.
    """
    halo = tiling_of(module, read((0, 0, 1, 1)).shape[0]).halo
    for number, box in enumerate(boxes, start=1):
        yield box, codes(predict_box(module, read, shape, box, halo))
        if progress is not None:
            progress(number)


def with_strokes(
    parts: Iterator[tuple[Box, NDArray[np.uint8]]], labels: Callable[[Box], NDArray[np.uint8]]
) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Put scribbles on top: where someone painted, that holds."""
    for box, found in parts:
        painted = labels(box)
        yield box, np.where(painted > 0, painted, found).astype(np.uint8)


def report_rows(names: Sequence[str], large: Mapping[int, Covered]) -> Iterator[tuple[object, ...]]:
    """Image, box and its share of the image, for every box that was predicted."""
    for i, part in sorted(large.items()):
        for box in part.boxes:
            height, width = part.labels.shape
            yield (names[i], *box, f"{area(box) / (height * width):.8f}")
