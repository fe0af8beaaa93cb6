"""How the error of the maps falls with the seconds spent, against a reference of many passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timing import clock
from torch import Tensor, nn

from limsup_widgets.learn.moments import mc_moments

COUNTS = (2, 5, 10, 20, 50)
PASSES = 20
"""Few passes are tried so often that they come to this many: their error is a matter of luck."""
SEED = 10**6
"""Masks of the reference; no way that is measured uses them."""
Maps = tuple[Tensor, Tensor]


def error_curves(
    ways: Mapping[str, Callable[[Tensor, int], Maps]], model: nn.Module, x: Tensor, passes: int
) -> list[dict[str, Any]]:
    """Two figures: RMS error of the mean and of the epistemic map against seconds.

    ``passes`` is the reference's T; the counts that are tried stay below a tenth of it. Each point
    is the mean of its tries, each with masks of its own; one try where passes are many.
    """
    moments = mc_moments(model, x, passes, seed=SEED)
    reference = (torch.from_numpy(moments.mean), torch.from_numpy(moments.epistemic))
    counts = [count for count in COUNTS if count <= passes // 10]
    series: dict[str, list[list[float]]] = {name: [] for name in ways}
    for way in ways.values():
        way(x, COUNTS[0])
    for count in counts:
        for name, way in ways.items():
            tries = [point(way, x, count, reference) for _ in range(repeats(count))]
            series[name].append([sum(values) / len(tries) for values in zip(*tries, strict=True)])
    side, many = x.shape[-1], f"{passes:,} passes"
    what = ("mean", "epistemic map")
    return [
        figure(f"RMS error of the {what[i]} to {many}, {side}×{side}", series, i + 1, counts)
        for i in range(2)
    ]


def repeats(count: int) -> int:
    """How often ``count`` passes are tried.

    Examples
    --------
    >>> [repeats(count) for count in (2, 10, 100)]
    [10, 2, 1]
    """
    return max(1, PASSES // count)


def point(
    way: Callable[[Tensor, int], Maps], x: Tensor, count: int, reference: Maps
) -> list[float]:
    """Seconds, error of the mean, error of the epistemic map of one try."""
    with clock(x.device.type) as spent:
        found = way(x, count)
    pairs = zip(found, reference, strict=True)
    errors = [float((a.cpu() - b).square().mean().sqrt()) for a, b in pairs]
    return [spent[0], *errors]


def figure(
    title: str, series: Mapping[str, list[list[float]]], which: int, counts: list[int]
) -> dict[str, Any]:
    """One figure for ``plots``; a point is (seconds, error of the mean, error of the map)."""
    lines = [
        {"name": name, "x": [p[0] for p in points], "y": [p[which] for p in points]}
        for name, points in series.items()
    ]
    told = ", ".join(map(str, counts))
    axes = {"x": f"seconds ({told} passes)", "y": "RMS error", "x_log": True, "y_log": True}
    return {"kind": "lines", "title": title, "series": lines, **axes}
