"""One subject: its images, the classes to tell apart and, where known, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.formats.tiff_lazy import LAZY_PIXELS
from limsup_widgets.data.image import Image
from limsup_widgets.data.readers import read_image
from limsup_widgets.errors import LimsupError

Source = Image | NDArray[Any] | str | Path
"""Or anything with `shape`, `dtype` and slices, as zarr, dask and memory maps are."""


@dataclass(frozen=True, eq=False)
class Case:
    """Images of one subject, all flat and with the same channels.

    Attributes
    ----------
    sources
        What was given, as images; some may be volumes.
    images
        What is painted on: the planes of the volumes, the other images as they are.
    classes
        Names of the classes 1…K; K ≥ 2.
    truths
        Codes ``(H, W)`` per image, or None where the truth is not known.
    """

    sources: tuple[Image, ...]
    images: tuple[Image, ...]
    classes: tuple[str, ...]
    truths: tuple[NDArray[np.uint8] | None, ...]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """``(H, W)`` of each image."""
        return [image.shape for image in self.images]

    @property
    def channels(self) -> int:
        """C of every image."""
        return self.images[0].channels

    def groups(self) -> list[tuple[Image, list[int]]]:
        """Each source with the indices of its images."""
        found, start = [], 0
        for source in self.sources:
            count = source.array.shape[0] if source.is_volume else 1
            found.append((source, list(range(start, start + count))))
            start += count
        return found

    def index(self, image: int) -> int:
        """``image`` itself, if there is one of that index."""
        if not 0 <= image < len(self.images):
            raise LimsupError("image", got=image, expected=f"0…{len(self.images) - 1}")
        return int(image)

    def code(self, code: int, least: int = 0) -> int:
        """``code`` itself, if it is a class (0 = none, where ``least`` is 0)."""
        if not least <= code <= len(self.classes):
            named = ", ".join(f"{i} {name}" for i, name in enumerate(self.classes, start=1))
            raise LimsupError("class code", got=code, expected=f"{least}…{named}")
        return int(code)


def make_case(
    images: Source | Sequence[Source],
    classes: Sequence[str],
    truths: Sequence[NDArray[Any] | None] | None = None,
) -> Case:
    """Read and check what a session is about.

    Parameters
    ----------
    images
        One or several images: arrays, :class:`~limsup_widgets.data.image.Image`, or paths. An
        array of 2²⁶ pixels or more is not copied, but read where it is looked at.
    classes
        Names of at least two classes.
    truths
        Codes per image (per plane of a volume), None where not known or the image is a large one.

    Raises
    ------
    LimsupError
        No image, images of different channels, fewer than two classes, a name used twice, or a
        truth of another shape or with a code above K.
    """
    if isinstance(images, Image | np.ndarray | str | Path) or _is_sliced(images):
        images = [cast(Source, images)]
    sources = tuple(_image(source, i) for i, source in enumerate(images))
    flat = tuple(plane for source in sources for plane in source.planes())
    if not flat:
        raise LimsupError("images", got="none", expected="at least one", do="give an image")
    channels = {image.channels for image in flat}
    if len(channels) > 1:
        raise LimsupError(
            "channels of the images", got=sorted(channels), expected="the same number in each"
        )
    return Case(sources, flat, _classes(classes), _truths(truths, flat, len(classes)))


def _image(source: Source, index: int) -> Image:
    if isinstance(source, Image):
        return source
    if isinstance(source, str | Path):
        return read_image(source)
    if _is_large(source):
        return Image.lazy(source, name=f"image{index}")
    return Image.from_array(np.asarray(source), name=f"image{index}")


def _is_sliced(source: object) -> bool:
    return all(hasattr(source, name) for name in ("shape", "dtype", "__getitem__"))


def _is_large(source: Any) -> bool:
    """Whether it is a flat image of so many pixels that it stays where it is."""
    if not _is_sliced(source):
        return False
    flat = len(source.shape) == 2 or (len(source.shape) == 3 and source.shape[2] <= 4)
    return flat and int(source.shape[0]) * int(source.shape[1]) >= LAZY_PIXELS


def _classes(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str):
        raise LimsupError("classes", got=repr(classes), expected="a list of names")
    names = tuple(str(name).strip() for name in classes)
    if not 2 <= len(names) <= 255:
        raise LimsupError(
            "classes", got=len(names), expected="2…255", do="name what is to be told apart"
        )
    if len({*names, ""}) <= len(names):
        raise LimsupError("classes", got=list(names), expected="a different name for each")
    return names


def _truths(
    truths: Sequence[NDArray[Any] | None] | None, images: Sequence[Image], classes: int
) -> tuple[NDArray[np.uint8] | None, ...]:
    if truths is None:
        return (None,) * len(images)
    given = [truths] if isinstance(truths, np.ndarray) and truths.ndim == 2 else list(truths)
    if len(given) != len(images):
        raise LimsupError("truths", got=len(given), expected=f"{len(images)}, one per image")
    return tuple(
        None if truth is None else _codes(truth, image, classes)
        for truth, image in zip(given, images, strict=True)
    )


def _codes(truth: NDArray[Any], image: Image, classes: int) -> NDArray[np.uint8]:
    if image.is_lazy:
        raise LimsupError(
            f"truth of {image.name}",
            got="a truth for an image that stays on the disk",
            expected="None",
            do="give None, and compare the accepted labels with it, part by part",
        )
    array = np.asarray(truth)
    return checked_codes(array, image.shape, classes, f"truth of {image.name}")


def checked_codes(
    array: NDArray[Any], shape: tuple[int, int], classes: int, name: str
) -> NDArray[np.uint8]:
    """``array`` as uint8 codes, if it has this shape and holds whole numbers 0…K only."""
    if array.shape != shape:
        raise LimsupError(name, got=f"shape {array.shape}", expected=shape)
    codes = array.astype(np.uint8)
    if (codes != array).any() or codes.max(initial=0) > classes:
        wrong = array[(codes != array) | (codes > classes)].ravel()[0]
        raise LimsupError(name, got=wrong, expected=f"whole numbers 0…{classes}")
    return codes
