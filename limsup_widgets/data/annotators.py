"""Simulated annotators: a few smoothly curved brush strokes per class, as a person draws them.

A stroke starts on a ridge of the class's distance transform (the middle of a tubule, the middle
of a strand of interstitium), walks along that ridge, is smoothed by a spline and painted with a
round brush of constant width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage as ndi
from scipy.interpolate import make_interp_spline

from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError

if TYPE_CHECKING:
    from limsup_widgets.data.kidney import Subject

Floats = NDArray[np.float64]
PLATEAU = 6.0
"""Deeper than this, in pixels, one place of a class is as good as another."""


@dataclass(frozen=True)
class TimeCost:
    """What a stroke costs an annotator; our assumption, not a measurement.

    ``seconds = travel + length / speed``, plus ``class_change`` when the class differs from the
    stroke before. The source states the order of magnitude: under 5 minutes per image.

    Parameters
    ----------
    travel
        Seconds to look, decide and move to the next place.
    speed
        Pixels per second along the stroke.
    class_change
        Seconds to pick another class.
    """

    travel: float = 3.0
    speed: float = 12.0
    class_change: float = 2.0

    def seconds(self, length: float, changed: bool) -> float:
        """Seconds of one stroke, ``length`` in pixels, rounded to 0.01."""
        return round(self.travel + length / self.speed + self.class_change * changed, 2)


@dataclass(frozen=True)
class Style:
    """How somebody scribbles.

    Parameters
    ----------
    strokes_per_class
        Most strokes per class code 1…K (fewer where a class has no fresh place left); a code
        that is missing gets ``other_classes``.
    steps_per_class
        Longest walk along the ridge in steps of about a pixel; missing codes as above.
    other_classes
        ``(strokes, steps)`` of codes that the two mappings do not name.
    width
        Diameter of the brush in pixels; a careful hand takes 1 where a place is narrower.
    margin
        Least distance in pixels from the brush's path to another class, where there is room.
    stray
        Share of strokes that slip, over the border as a rule.
    wobble
        Pixels (SD) by which the hand misses the ridge.
    """

    strokes_per_class: Mapping[int, int]
    steps_per_class: Mapping[int, int]
    other_classes: tuple[int, int] = (5, 18)
    width: float = 3.0
    margin: float = 2.0
    stray: float = 0.0
    wobble: float = 0.0

    def strokes(self, code: int) -> int:
        """Strokes that class ``code`` gets in one image, if it is there."""
        return self.strokes_per_class.get(code, self.other_classes[0])

    def steps(self, code: int) -> int:
        """Longest walk for class ``code``."""
        return self.steps_per_class.get(code, self.other_classes[1])


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "main": Style({1: 14, 2: 14, 3: 4, 4: 5}, {1: 22, 2: 12, 3: 18, 4: 18}),
        "secondary": Style(
            {1: 4, 2: 12, 3: 2, 4: 3},
            {1: 8, 2: 4, 3: 8, 4: 8},
            other_classes=(3, 8),
            margin=1.0,
            stray=0.25,
            wobble=0.6,
        ),
    }
)


def annotate(
    truth: ArrayLike,
    style: Literal["main", "secondary"] | Style = "main",
    fraction: float = 1.0,
    seed: int = 0,
    image: int = 0,
    strokes_per_class: Mapping[int, int] | int | None = None,
    cost: TimeCost = TimeCost(),
) -> list[Stroke]:
    """Scribble one image as a simulated person.

    Parameters
    ----------
    truth
        (H, W) class codes 1…K; 0 is never scribbled. Any number of classes, any size.
    style
        ``"main"`` is careful and generous, ``"secondary"`` sparse and sometimes wrong.
    fraction
        Share of the strokes kept **per class** (whole strokes: neighbouring pixels are
        redundant), rounded up; the kept ones are the same strokes as at ``fraction=1``.
    seed, image
        Seed of the draws; ``image`` is the index written into the strokes.
    strokes_per_class
        Replaces the style's counts: one number for all classes or code → count.
    cost
        Model of the time a stroke takes.

    Returns
    -------
    list of Stroke
        In the order drawn; old codes are right if they are applied in this order to an
        unlabelled image.

    Raises
    ------
    LimsupError
        If ``truth`` is no integer (H, W) array, ``fraction`` not in 0…1 or the style unknown.

    Examples
    --------
    >>> truth = np.ones((40, 40), np.uint8)
    >>> truth[:, 20:] = 2
    >>> strokes = annotate(truth, strokes_per_class=2)
    >>> np.unique(scribble_labels(strokes, truth.shape)).tolist()
    [0, 1, 2]
    """
    codes = _checked(truth, fraction)
    hand = _style(style, strokes_per_class)
    labels = np.zeros(codes.shape, np.uint8)
    drawn: list[Stroke] = []
    author = style if isinstance(style, str) else "simulated"
    for code in np.unique(codes[codes > 0]).tolist():
        rng = np.random.default_rng([seed, image, code])
        paths = _class_paths(codes == code, hand, code, rng)
        changed = True
        for path, width in paths[: int(np.ceil(fraction * len(paths)))]:
            index = _brush(path, width, codes.shape)
            seconds = cost.seconds(_length(path), changed)
            before = labels.flat[index]
            stroke = Stroke.from_pixels(codes.shape, index, before, code, image, seconds, author)
            stroke.apply(labels)
            drawn.append(stroke)
            changed = False
    return drawn


def annotate_subject(
    subject: Subject,
    style: Literal["main", "secondary"] | Style = "main",
    fraction: float = 1.0,
) -> list[Stroke]:
    """Scribble the tuning images of a simulated patient, always the same way.

    Strokes of image i carry ``image=i``; see :func:`annotate`.
    """
    seed = int(np.random.SeedSequence(subject.seed).generate_state(1)[0])
    return [
        stroke
        for i in subject.tune
        for stroke in annotate(subject.truth(i), style, fraction, seed=seed, image=i)
    ]


def scribble_labels(strokes: Iterable[Stroke], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The strokes painted in order on an empty label image (H, W): codes 0…K."""
    labels = np.zeros(shape, np.uint8)
    for stroke in strokes:
        stroke.apply(labels)
    return labels


def _checked(truth: ArrayLike, fraction: float) -> NDArray[np.integer]:
    codes = np.asarray(truth)
    if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
        got = f"{codes.dtype} of shape {codes.shape}"
        raise LimsupError("truth to scribble", got=got, expected="integer codes (H, W)")
    if not 0 <= fraction <= 1:
        raise LimsupError("fraction of strokes", got=fraction, expected="0…1")
    return codes


def _style(style: str | Style, counts: Mapping[int, int] | int | None) -> Style:
    if isinstance(style, str):
        if style not in STYLES:
            raise LimsupError("annotator's style", got=style, expected=" or ".join(STYLES))
        style = STYLES[style]
    if isinstance(counts, int):
        return replace(style, strokes_per_class={}, other_classes=(counts, style.other_classes[1]))
    if counts is not None:
        return replace(style, strokes_per_class=counts)
    return style


def _class_paths(
    region: NDArray[np.bool_], hand: Style, code: int, rng: np.random.Generator
) -> list[tuple[Floats, float]]:
    """``(path (n, 2), width)`` per stroke of one class; starts are spread over the ridge."""
    depth = np.minimum(ndi.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1], PLATEAU)
    ridge = region & (depth >= ndi.maximum_filter(depth, 3) - 0.5)
    roomy = ridge & (depth >= hand.margin)
    candidates = np.argwhere(roomy if roomy.any() else ridge)
    taken = np.zeros(region.shape, bool)
    drawn = []
    for _ in range(hand.strokes(code)):
        free = candidates[~taken[tuple(candidates.T)]]
        if not len(free):
            break
        y, x = free[rng.integers(len(free))].tolist()
        start = (y, x)
        steps = int(rng.integers(hand.steps(code) // 2, hand.steps(code) + 1))
        path = _spline(_walk(depth, start, steps, hand.margin, rng))
        path = path + rng.normal(0, 1, 2) * hand.wobble
        if rng.random() < hand.stray:
            path = _run_on(path, rng)
        elif not hand.wobble:
            path = _inside(path, depth, hand.margin)
        width = hand.width if depth[start] >= (hand.width + 1) / 2 or hand.wobble else 1.0
        taken.flat[_brush(path, 4 * hand.width, region.shape)] = True
        drawn.append((path, width))
    return drawn


def _walk(
    depth: Floats, start: tuple[int, int], steps: int, margin: float, rng: np.random.Generator
) -> Floats:
    """Follow the ridge from ``start``: at every step turn to the deepest place ahead."""
    room = min(margin, float(depth[start]))
    y, x = float(start[0]), float(start[1])
    heading = rng.uniform(0, 2 * np.pi)
    turns = np.linspace(-np.pi, np.pi, 16, endpoint=False)
    path = [(y, x)]
    for _ in range(steps):
        angles = heading + turns
        ys, xs = y + np.sin(angles), x + np.cos(angles)
        ahead = ndi.map_coordinates(depth, [ys, xs], order=1, mode="constant")
        score = ahead - 0.4 * np.abs(turns) + rng.normal(0, 0.15, len(turns))
        best = int(np.argmax(np.where(ahead >= room, score, -np.inf)))
        if ahead[best] < room:
            break
        heading, y, x = float(angles[best]), float(ys[best]), float(xs[best])
        path.append((y, x))
        turns = np.linspace(-0.6, 0.6, 7)
    return np.asarray(path)


def _spline(path: Floats) -> Floats:
    """A cubic spline through every fourth step, sampled every half pixel or so."""
    knots = np.unique(np.append(np.arange(0, len(path), 4), len(path) - 1))
    if len(knots) < 2:
        return path
    curve = make_interp_spline(knots, path[knots], k=min(3, len(knots) - 1))
    return np.asarray(curve(np.linspace(0, len(path) - 1, 2 * len(path))))


def _run_on(path: Floats, rng: np.random.Generator) -> Floats:
    """The hand slips sideways: on for 7 to 14 pixels, whatever lies there."""
    ahead = path[-1] - path[max(0, len(path) - 4)]
    turn = np.arctan2(ahead[0], ahead[1]) + rng.uniform(-1.3, 1.3)
    way = np.array([np.sin(turn), np.cos(turn)])
    return np.vstack([path, path[-1] + way * np.arange(0.5, rng.uniform(7, 14), 0.5)[:, None]])


def _inside(path: Floats, depth: Floats, margin: float) -> Floats:
    """Cut the path where its smoothed curve comes closer to the border than allowed."""
    index = np.round(path).astype(int).T
    index = np.clip(index, 0, np.array(depth.shape)[:, None] - 1)
    room = min(margin, float(depth[tuple(index[:, 0])]))
    close = np.flatnonzero(depth[tuple(index)] < room)
    return path[: close[0]] if len(close) else path


def _length(path: Floats) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def _brush(path: Floats, width: float, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat indices of the pixels that a round brush covers along the path."""
    reach = int(width // 2)
    offsets = np.argwhere(np.ones((2 * reach + 1, 2 * reach + 1))) - reach
    offsets = offsets[(offsets**2).sum(1) <= (width / 2) ** 2]
    spots = (np.round(path).astype(np.int64)[:, None] + offsets).reshape(-1, 2)
    spots = spots[((spots >= 0) & (spots < np.array(shape[:2]))).all(1)]
    return np.unique(spots[:, 0] * shape[1] + spots[:, 1])
