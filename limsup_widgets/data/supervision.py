"""The supervision dial as one plain function: what so many minutes of an annotator buy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.weak import (
    BACKGROUND,
    SYNTHETIC,
    AnnotationCost,
    box_labels,
    boxes,
    extreme_points,
    image_tags,
    missing_objects,
    noisy_boundaries,
    points,
    region_sizes,
    scribbles,
    sparse_slices,
)
from limsup_widgets.data.weak.costs import KINDS
from limsup_widgets.errors import LimsupError

Codes = NDArray[np.uint8]
RADIUS, OVERLOOKED = 10.0, 0.5
"""At ``noise=1``: pixels by which borders may be off, and probability to overlook an object."""

_PIXEL_LABELS: dict[str, Callable[..., Codes]] = {
    "point": points,
    "extreme": extreme_points,
    "box": box_labels,
    "scribble": scribbles,
    "slice": sparse_slices,
}


@dataclass(frozen=True)
class Supervision:
    """What a learner gets to see of N masks; arrays cover all N images, in their order.

    Attributes
    ----------
    kind
        As asked for.
    labels
        ``(N, *S)`` codes 0…K, 0 where nothing is known.
    tags
        ``(N, K)`` int8: 1 the image holds the class, 0 it does not, −1 nobody said.
    sizes
        ``(N, K)`` share of the image that each class takes, NaN where nobody said.
    boxes
        Per image ``(n, 1 + 2·ndim)`` as of :func:`~limsup_widgets.data.weak.boxes`, or None.
    labelled, pool
        Indices of the annotated images, in the order of annotation, and of those that are there
        without any label.
    minutes
        What was spent, at most what was given.
    """

    kind: str
    labels: Codes
    tags: NDArray[np.int8]
    sizes: NDArray[np.float64]
    boxes: tuple[NDArray[np.int64] | None, ...]
    labelled: NDArray[np.intp]
    pool: NDArray[np.intp]
    minutes: float

    @property
    def share(self) -> float:
        """Share of the pixels of the annotated images that carry a label."""
        return float((self.labels[self.labelled] > 0).mean())


def supervise(
    mask: ArrayLike,
    kind: str = "scribble",
    minutes: float = 5.0,
    unlabelled: int = 0,
    noise: float = 0.0,
    seed: int = 0,
    *,
    cost: AnnotationCost = SYNTHETIC,
    classes: int | None = None,
    **options: Any,
) -> Supervision:
    """Spend the minutes on images in random order and return what the annotator wrote down.

    Annotators draw what they see. With ``noise`` they see borders displaced by up to
    ``10 · noise`` pixels and overlook each object with probability ``noise / 2``; every kind of
    label follows from that one view, so a tag, a box and a size go wrong together.

    Parameters
    ----------
    mask
        ``(N, H, W)`` or ``(N, D, H, W)`` codes 1…K: the truth of every image there is.
    kind
        ``tag``, ``size``, ``point``, ``extreme``, ``box``, ``scribble``, ``slice`` (volumes only)
        or ``dense``; several joined by ``+`` (``"point+size"``) are all paid for.
    minutes
        Annotator's time. Whole images only: less may be spent.
    unlabelled
        Images that may be used without labels; fewer if not so many are left.
    noise
        0…1.
    seed
        Fixes the order of the images and every stroke. More minutes with the same seed keep what
        fewer minutes bought.
    cost
        Seconds per image of each kind; an image that holds the background alone costs a tag where
        the cost names one, a volume its planes for scribbles and dense masks.
    classes
        K; the largest code in ``mask`` if not given.
    options
        For the generator of a single kind: ``strokes=3``, ``placement="border"``, ``margin=2``…

    Returns
    -------
    Supervision
        Labels, tags, sizes and boxes as far as the kind gives them.

    Raises
    ------
    LimsupError
        If the kind is unknown, ``noise`` outside 0…1, or the minutes do not pay for one image.

    Examples
    --------
    >>> mask = np.ones((6, 20, 20), np.uint8)
    >>> mask[:, 5:15, 5:15] = 2
    >>> dense, clicks = supervise(mask, "dense", 8), supervise(mask, "point", 0.25, unlabelled=9)
    >>> len(dense.labelled), len(clicks.labelled), len(clicks.pool)
    (2, 3, 3)
    """
    truth = np.asarray(mask)
    if truth.ndim not in (3, 4) or not np.issubdtype(truth.dtype, np.integer):
        got = f"{truth.dtype} of shape {truth.shape}"
        raise LimsupError("masks", got=got, expected="integer codes (N, H, W) or (N, D, H, W)")
    if not 0 <= noise <= 1:
        raise LimsupError("noise", got=noise, expected="0…1")
    kinds = _kinds(kind, truth.ndim, options)
    k = classes or int(truth.max())
    order = np.random.default_rng(seed).permutation(len(truth))
    count, spent = _affordable(truth, order, kinds, minutes, cost, options)
    labelled, rest = order[:count], order[count:]
    labels = np.zeros(truth.shape, np.uint8)
    tags = np.full((len(truth), k), -1, np.int8)
    sizes = np.full((len(truth), k), np.nan)
    found: list[NDArray[np.int64] | None] = [None] * len(truth)
    for i in labelled.tolist():
        own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
        seen = _seen(truth[i], noise, own)
        tags[i] = image_tags(seen, k)
        labels[i] = _labels(seen, kinds, own, options)
        if "size" in kinds:
            sizes[i] = region_sizes(seen, k)
        if {"box", "extreme"} & set(kinds):
            found[i] = boxes(seen)
    if kinds == ["size"]:
        tags[labelled] = sizes[labelled] > 0
    pool = rest[: max(0, unlabelled)]
    return Supervision(kind, labels, tags, sizes, tuple(found), labelled, pool, spent / 60)


def _kinds(kind: str, ndim: int, options: dict[str, Any]) -> list[str]:
    kinds = kind.split("+")
    known = [each for each in KINDS if ndim == 4 or each != "slice"]
    if not set(kinds) <= set(known):
        expected = ", ".join(known) + ", or several joined by +"
        raise LimsupError("kind of label", got=repr(kind), expected=expected)
    if options and len(set(kinds) & set(_PIXEL_LABELS)) != 1:
        raise LimsupError("options", got=sorted(options), expected="one kind that takes them")
    return kinds


def _affordable(
    truth: NDArray[Any],
    order: NDArray[np.intp],
    kinds: list[str],
    minutes: float,
    cost: AnnotationCost,
    options: dict[str, Any],
) -> tuple[int, float]:
    """How many images in this order the minutes pay for, and the seconds they take."""
    seconds = np.cumsum([_seconds(truth[i], kinds, cost, options) for i in order])
    # A hair of slack: 4 minutes buy a mask of 240 s however the product rounds.
    count = int(np.searchsorted(seconds, 60 * minutes + 1e-6, side="right"))
    if not count:
        needed = f"at least {seconds[0] / 60:.3g}, the cost of the first image ({cost.source})"
        raise LimsupError("minutes of an annotator", got=minutes, expected=needed)
    return count, float(seconds[count - 1])


def _seconds(
    mask: NDArray[Any], kinds: list[str], cost: AnnotationCost, options: dict[str, Any]
) -> float:
    if cost.tag is not None and (mask == BACKGROUND).all():
        return cost.tag
    planes = len(mask) if mask.ndim == 3 else 1
    times = {"scribble": planes, "dense": planes, "slice": options.get("number", 1)}
    return sum(times.get(kind, 1) * cost.of(kind) for kind in kinds)  # type: ignore[arg-type]


def _seen(mask: NDArray[Any], noise: float, seed: int) -> Codes:
    if not noise:
        return mask.astype(np.uint8)
    kept = missing_objects(mask, OVERLOOKED * noise, seed=seed)
    return noisy_boundaries(kept, RADIUS * noise, seed=seed)


def _labels(seen: Codes, kinds: list[str], seed: int, options: dict[str, Any]) -> Codes:
    """Everything that the kinds say about single pixels; surer kinds go on top."""
    if "dense" in kinds:
        return seen
    labels = np.zeros(seen.shape, np.uint8)
    for kind in ("box", "slice", "scribble", "extreme", "point"):
        if kind in kinds:
            draw = partial(_PIXEL_LABELS[kind], **({"number": 1} if kind == "slice" else {}))
            drawn = draw(seen, **{"seed": seed, **options})
            labels = np.where(drawn > 0, drawn, labels)
    return labels
