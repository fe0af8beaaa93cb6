"""Time and memory of dropout passes against image side, passes and classes.

``python benchmarks/scaling.py``. Whole images as far as they go; beyond, 512×512 pixels of an image
that is made as it is read. Every point runs once, naive and limsup's way next to each other.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import finish, goal, options, record
from mc_dropout import NAIVE, OURS, naive, network, ours, section
from memory import available, highest, peak_here, peaks
from timing import clock, interleaved
from torch import Tensor, nn

from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.tiles import Box, moments_box, tiling_of
from limsup_widgets.learn.unet import UNet

VIEW = "limsup, 512×512 in view"
SIDES, BEYOND = (256, 512, 1024, 2048, 4096), (8192, 20_000)
NAIVE_SIDES = 1024
"""The naive loop is not taken further: it would need half a minute a point, then two."""
COUNTS, CLASSES = (1, 2, 5, 10, 20, 50), (2, 4, 8, 16)
FEW = 2
SHARE = 0.6
"""Of the memory that is free: what would need more is left out, and the record says so."""
Point = tuple[float, float | None]


def measured(way: Callable[[], object], device: str) -> Point:
    """Seconds, and MiB on top of what was there before."""
    spent: list[float] = []

    def timed() -> None:
        with clock(device) as seconds:
            way()
        spent.extend(seconds)

    memory = peak_here(timed)
    return spent[0], memory


def endless(tile: Tensor) -> Callable[[Box], Tensor]:
    """Reads boxes of an image of any size, which repeats ``tile (C, h, w)``."""

    def read(box: Box) -> Tensor:
        rows, columns = (np.arange(box[i], box[i + 2]) % tile.shape[i + 1] for i in (0, 1))
        return tile[:, rows][:, :, columns]

    return read


def centre(side: int, size: int) -> Box:
    """Box of ``size`` pixels a side in the middle of an image."""
    start = (side - min(side, size)) // 2
    return start, start, start + min(side, size), start + min(side, size)


def by_side(asked: Namespace) -> dict[str, dict[int, Point]]:
    """Each way at each side; sides grow, so that memory of a smaller one hides nothing."""
    found: dict[str, dict[int, Point]] = {NAIVE: {}, OURS: {}, VIEW: {}}
    models = {name: network(name, asked.device) for name in (NAIVE, OURS)}
    halo = tiling_of(models[OURS], 3, passes=True).halo
    tile = section(min(512, asked.side), asked.device)
    read, view = endless(tile), tile.shape[-1]
    for side in (s for s in (*SIDES, *BEYOND) if s <= asked.most):
        shape, box = (side, side), centre(side, view)
        if side >= view:
            found[VIEW][side] = measured(
                lambda s=shape, b=box: moments_box(models[OURS], read, s, b, halo, FEW),
                asked.device,
            )
        if side > SIDES[-1]:
            continue
        x = section(side, asked.device)
        if fits(found[OURS], side):
            found[OURS][side] = measured(lambda x=x: ours(models[OURS], x, FEW), asked.device)
        if side <= NAIVE_SIDES and fits(found[NAIVE], side):
            found[NAIVE][side] = measured(lambda x=x: naive(models[NAIVE], x, FEW), asked.device)
    return found


def fits(points: dict[int, Point], side: int) -> bool:
    """Whether memory will do for ``side``, as the last point grows with the pixels."""
    if not points:
        return True
    last, (_, memory) = list(points.items())[-1]
    return memory is None or memory * (side / last) ** 2 < SHARE * available()


def by_passes(asked: Namespace, x: Tensor) -> dict[str, dict[int, Point]]:
    """Each way with each number of passes."""
    models = {name: network(name, asked.device) for name in (NAIVE, OURS)}
    ours(models[OURS], x, 2)
    return {
        name: {
            count: measured(lambda m=models[name], w=way, c=count: w(m, x, c), asked.device)
            for count in COUNTS
            if count <= asked.passes
        }
        for name, way in ((NAIVE, naive), (OURS, ours))
    }


def by_classes(asked: Namespace, x: Tensor, passes: int = 5) -> dict[str, dict[int, Point]]:
    """Each way with each number of classes; first weights, as only the seconds count."""
    found: dict[str, dict[int, Point]] = {NAIVE: {}, OURS: {}}
    for classes in CLASSES:
        torch.manual_seed(0)
        model: nn.Module = UNet(3, classes, p_drop=0.2).to(asked.device).eval()
        for name, way in ((OURS, ours), (NAIVE, naive)):
            way(model, x, 2)
            found[name][classes] = measured(lambda w=way, m=model: w(m, x, passes), asked.device)
    return found


def figures(found: dict[str, dict[int, Point]], what: str, title: str) -> list[dict[str, Any]]:
    """Seconds and memory against ``what``."""
    drawn = []
    for place, unit in enumerate(("seconds", "peak MiB")):
        series = [
            {"name": name, "x": list(points), "y": [p[place] for p in points.values()]}
            for name, points in found.items()
            if all(p[place] is not None for p in points.values())
        ]
        axes = {"x": what, "y": unit, "x_log": True, "y_log": True}
        drawn.append({"kind": "lines", "title": f"{title}: {unit}", "series": series, **axes})
    return drawn


def view_alone(asked: Namespace) -> None:
    """Look at the middle of the largest image in this process, and print all its memory."""
    model, side = network(OURS, asked.device), asked.most
    tile, halo = section(min(512, side), asked.device), tiling_of(model, 3, passes=True).halo
    moments_box(model, endless(tile), (side, side), centre(side, tile.shape[-1]), halo, FEW)
    print(highest())


def box_difference(model: nn.Module, side: int = 416) -> float:
    """Largest difference between a box alone and the same box of the whole image."""
    x = section(side, "cpu")
    shape, box = (side, side), centre(side, 96)
    part = moments_box(model, endless(x), shape, box, tiling_of(model, 3, passes=True).halo, FEW)
    whole = mc_moments(model, x, FEW)
    inside = (slice(None), slice(box[0], box[2]), slice(box[1], box[3]))
    pairs = ((part.mean, whole.mean[inside]), (part.epistemic, whole.epistemic[inside]))
    return max(float(abs(a - b).max()) for a, b in pairs)


def main() -> None:
    """Measure along the three axes, draw, write."""
    asked = options(__doc__, side=(512, 64), most=(20_000, 256), passes=(50, 4), rounds=(2, 1))
    if asked.only:
        view_alone(asked)
        return
    x = section(asked.side // 2, asked.device)
    models = {name: network(name, asked.device) for name in (NAIVE, OURS)}
    ways = {
        NAIVE: lambda: naive(models[NAIVE], x, asked.passes),
        OURS: lambda: ours(models[OURS], x, asked.passes),
    }
    warm = {NAIVE: lambda: naive(models[NAIVE], x, 2), OURS: lambda: ours(models[OURS], x, 2)}
    seconds = interleaved(ways, asked.rounds, asked.device, warm)
    more: dict[str, Any] = {}
    if not asked.ratios_only:
        more = axes(asked, x)
    title = f"{asked.passes} dropout passes, {x.shape[-1]}×{x.shape[-1]}×3, U0^D"
    diff = box_difference(network(OURS, "cpu"))
    found = record(
        "scaling",
        title,
        seconds,
        ours=OURS,
        naive=NAIVE,
        options=asked,
        max_abs_diff=diff,
        **more,
    )
    finish(found, asked)


def axes(asked: Namespace, x: Tensor) -> dict[str, Any]:
    """Figures, promises and remarks about the three axes."""
    sides = by_side(asked)
    side, (seconds, _) = list(sides[VIEW].items())[-1]
    left_out = [s for s in SIDES if s <= asked.most and s not in sides[OURS]]
    resident = peaks([VIEW], ["--most", str(asked.most), "--threads", str(asked.threads)])[VIEW]
    what = f"MiB of the whole process that looks at a part of {side:,}×{side:,} pixels"
    goals = [] if resident is None else [goal(what, resident, at_most=2048)]
    notes = [
        f"Beyond {SIDES[-1]:,} pixels a side the whole image is not computed: what is in view is "
        f"read with its halo, and takes {seconds:.2f} s at {side:,} pixels a side.",
        f"{FEW} passes at each side, so that the largest fits the time; what happens once weighs "
        "more than it does with many.",
        *(
            f"Whole images of {s:,} pixels a side are left out: they would need more than "
            f"{100 * SHARE:.0f} % of the memory that was free."
            for s in left_out
        ),
        "The largest difference is that of a box alone to the same box of the whole image.",
    ]
    return {
        "goals": goals,
        "notes": notes,
        "figures": [
            *figures(sides, "pixels a side", f"{FEW} passes"),
            *figures(by_passes(asked, x), "passes", f"{x.shape[-1]}×{x.shape[-1]} pixels"),
            *figures(by_classes(asked, x), "classes", f"{x.shape[-1]}×{x.shape[-1]}, 5 passes")[:1],
        ],
    }


if __name__ == "__main__":
    main()
