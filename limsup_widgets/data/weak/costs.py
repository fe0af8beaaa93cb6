"""What a label costs: seconds of an annotator's time, a setting and never a constant.

Published times differ by a factor of twenty for the same kind of label, because tasks differ (20
classes to tag or one, a street scene or an organ). So a cost is a preset to turn, each with its
source, and a kind that a source says nothing about has no cost there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from limsup_widgets.errors import LimsupError

Kind = Literal["tag", "size", "point", "extreme", "box", "scribble", "slice", "dense"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class AnnotationCost:
    """Seconds per image for each kind of label; None where the source is silent.

    Parameters
    ----------
    source
        Where the numbers come from, in words.
    tag
        Present or absent, for **one** class, unless ``source`` says otherwise.
    size
        The size of one object, estimated.
    point, extreme, box, scribble
        Clicks, extreme points, two corners, strokes.
    slice
        A dense mask of one plane of a volume.
    dense
        A dense mask of one image.

    Examples
    --------
    >>> AnnotationCost("a stopwatch", tag=2.0).of("tag")
    2.0
    """

    source: str
    tag: float | None = None
    size: float | None = None
    point: float | None = None
    extreme: float | None = None
    box: float | None = None
    scribble: float | None = None
    slice: float | None = None
    dense: float | None = None

    def of(self, kind: Kind) -> float:
        """Seconds of one image.

        Raises
        ------
        LimsupError
            If the kind is unknown or the source has no number for it.
        """
        known = [k for k in KINDS if getattr(self, k) is not None]
        if kind not in known:
            expected = ", ".join(known) + f" ({self.source})"
            raise LimsupError("kind of label", got=repr(kind), expected=expected)
        return float(getattr(self, kind))


SYNTHETIC = AnnotationCost(
    "limsup's default for its synthetic images: our assumption, not a measurement",
    tag=1.0,
    size=10.0,
    point=5.0,
    extreme=7.0,
    box=10.0,
    scribble=20.0,
    slice=240.0,
    dense=240.0,
)
LECTURE = AnnotationCost(
    "Ben Ayed and Dolz, lecture 2021: 1 s per label and image; a full mask more than 1 h",
    tag=1.0,
    dense=3600.0,
)
CITYSCAPES = AnnotationCost(
    "Cityscapes (Cordts, CVPR 2016), as quoted by the lecture of 2021: 90 min per image on average",
    dense=5400.0,
)
BEARMAN = AnnotationCost(
    "Bearman et al., ECCV 2016, recalled, not looked up: Pascal VOC, all 20 classes of an image",
    tag=20.0,
    point=22.1,
    scribble=34.9,
    dense=239.7,
)
COSTS: Mapping[str, AnnotationCost] = MappingProxyType(
    {"synthetic": SYNTHETIC, "lecture": LECTURE, "cityscapes": CITYSCAPES, "bearman": BEARMAN}
)
"""The presets by name."""


def annotation_seconds(
    kind: Kind, images: int, cost: AnnotationCost = SYNTHETIC, empty: int = 0
) -> float:
    """Seconds to label a number of images in one way.

    Parameters
    ----------
    kind
        One of `KINDS`.
    images
        All images, those without the target included.
    cost
        Seconds per image.
    empty
        How many of the images do not hold the target: they cost a tag only.

    Raises
    ------
    LimsupError
        If ``empty`` is not in 0…images, or the cost has no number for the kind.

    Examples
    --------
    >>> annotation_seconds("dense", 4), annotation_seconds("dense", 4, empty=3)
    (960.0, 243.0)
    """
    if not 0 <= empty <= images:
        raise LimsupError("empty images", got=empty, expected=f"0…{images}")
    return (images - empty) * cost.of(kind) + (empty * cost.of("tag") if empty else 0.0)


def affordable_images(
    kind: Kind, minutes: float, cost: AnnotationCost = SYNTHETIC, at_most: int | None = None
) -> int:
    """Images that so many minutes label in one way, rounded down.

    Parameters
    ----------
    kind, cost
        As for :func:`annotation_seconds`.
    minutes
        Annotator's time.
    at_most
        Images there are.

    Raises
    ------
    LimsupError
        If ``minutes`` is negative or the cost has no number for the kind.

    Examples
    --------
    >>> [affordable_images(kind, minutes=16) for kind in ("dense", "box", "tag")]
    [4, 96, 960]
    """
    if minutes < 0:
        raise LimsupError("minutes of an annotator", got=minutes, expected="0 or more")
    # A hair of slack: 16 minutes buy 4 masks of 240 s however the division rounds.
    number = int(60 * minutes / cost.of(kind) + 1e-9)
    return number if at_most is None else min(number, at_most)
