"""Explanation masks scored against known evidence: ``python results/ws09.py``.

Five classifiers, each with its own training set and eight ill images of its own. One row per
classifier, image and way of making a map. Every map is cut to the true area before it is scored.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from limsup_chapters import ws09
from limsup_widgets.learn.cam import class_activation_map
from limsup_widgets.teach.results import write_result

SEEDS = range(5)
IMAGES, TRAIN, TEST = 8, 300, 1000
GRID = (0.02, 0.045, 0.1)
ENOUGH = 0.8

Row = dict[str, float | int | str | None]
Maps = NDArray[np.float64]


def ill_images(seed: int, shortcut: float | None = None) -> tuple[Tensor, NDArray[np.uint8]]:
    """Eight ill test images ``(N, 1, H, W)`` and their numbered rings ``(N, H, W)``."""
    x, rings, tags = ws09.make_lesions(2 * IMAGES, TEST + seed, shortcut)
    return x[tags == 1], rings[tags.numpy() == 1]


def cam_map(net: nn.Module, x: Tensor) -> Maps:
    """CAM of the ill class at the size of the image, ``(N, H, W)``."""
    cam = class_activation_map(net, x, "features", "head", 1)[:, None]
    size = x.shape[-2:]
    large = F.interpolate(cam, size=size, mode="bilinear", align_corners=False)
    return np.asarray(large[:, 0].numpy(), dtype=float)


def untrained(seed: int) -> nn.Module:
    """A classifier that has learned nothing."""
    torch.manual_seed(seed)
    net: nn.Module = ws09.Classifier()
    return net.eval().requires_grad_(False)


def random_masks(n: int, size: int, seed: int) -> Maps:
    """Smooth random maps ``(N, H, W)`` of the same grid."""
    make = ws09.SmoothMask(size)
    noise = torch.Generator().manual_seed(seed)
    cells = torch.rand((n, 1, make.cells, make.cells), generator=noise)
    return np.asarray(make(cells)[:, 0].numpy(), dtype=float)


def covered(cut: NDArray[np.bool_], rings: NDArray[np.uint8]) -> float | None:
    """Share of the two rings of one image with a third of their pixels in the mask."""
    numbers = [k for k in np.unique(rings) if k]
    if len(numbers) < 2:
        return None
    return float(np.mean([cut[rings == k].mean() >= 1 / 3 for k in numbers]))


def score(arm: str, seed: int, maps: Maps, rings: NDArray[np.uint8], net: nn.Module, x: Tensor):
    """Rows of one way of making maps, image by image."""
    truth = rings > 0
    areas = truth.mean((1, 2))
    cut = ws09.top_area(maps, areas)
    reward = ws09.reward_of(net, x, ws09.blur_pyramid(x))
    kept = reward(torch.from_numpy(cut[:, None]).float())
    agreement = ws09.iou(cut, truth)
    return [
        {
            "seed": seed,
            "arm": arm,
            "image": i,
            "true area": round(float(areas[i]), 5),
            "iou": round(float(agreement[i]), 4),
            "reward": round(float(kept[i]), 4),
            "area": round(float((maps[i] > 0.5).mean()), 5),
            "soft": round(float(4 * (maps[i] * (1 - maps[i])).mean()), 4),
            "marker": round(float(cut[i, 2:5, 2:5].mean()), 4),
            "covered": covered(cut[i], rings[i]),
            "a*": None,
        }
        for i in range(len(maps))
    ]


def smallest_areas(net: nn.Module, x: Tensor, seed: int) -> list[float]:
    """a*: where the reward of the cut mask crosses ``ENOUGH``, between grid areas, ``(N,)``."""
    reward = ws09.reward_of(net, x, ws09.blur_pyramid(x))
    rewards = []
    for area in GRID:
        areas = [area] * len(x)
        cut = ws09.top_area(ws09.explain(net, x, areas, seed=seed), areas)
        rewards.append(reward(torch.from_numpy(cut[:, None]).float()).numpy())
    return [crossing(one) for one in np.transpose(rewards)]


def crossing(rewards: NDArray[np.float64]) -> float:
    """First area of the grid, linearly interpolated, with ``ENOUGH`` reward; its end if none."""
    areas, heights = (0.0, *GRID), (0.0, *rewards)
    for k in range(1, len(areas)):
        if heights[k] >= ENOUGH:
            part = (ENOUGH - heights[k - 1]) / (heights[k] - heights[k - 1])
            return round(float(areas[k - 1] + part * (areas[k] - areas[k - 1])), 5)
    return GRID[-1]


def rows(seed: int) -> list[Row]:
    """Everything about one classifier."""
    images, _, tags = ws09.make_lesions(TRAIN, seed)
    net = ws09.train(images, tags, seed)
    x, rings = ill_images(seed)
    areas, empty = (rings > 0).mean((1, 2)), ws09.blur_pyramid(x)[0]
    blind = untrained(seed)
    found = {
        "vecsort": ws09.explain(net, x, areas, seed=seed),
        "mean area": ws09.explain(net, x, areas, seed=seed, penalty=ws09.mean_area),
        "untrained": ws09.explain(blind, x, areas, seed=seed),
        "gradient": ws09.gradient_map(net, x),
        "gradient x loss": ws09.gradient_times_loss(net, x, empty),
        "occlusion": ws09.occlusion_map(net, x, empty),
        "CAM": cam_map(net, x),
        "random mask": random_masks(len(x), x.shape[-1], seed),
    }
    done = [row for arm, maps in found.items() for row in score(arm, seed, maps, rings, net, x)]
    for row, area in zip(done, smallest_areas(net, x, seed), strict=False):
        row["a*"] = area
    marked_x, marked_rings = ill_images(seed, shortcut=1.0)
    images, _, tags = ws09.make_lesions(TRAIN, seed, 1.0)
    lazy = ws09.train(images, tags, seed)
    for arm, other in (("marked, clean", net), ("marked, lazy", lazy)):
        maps = ws09.explain(other, marked_x, areas, seed=seed)
        done += score(arm, seed, maps, marked_rings, other, marked_x)
    return done


def study() -> None:
    """All classifiers, one after the other, then the result."""
    torch.set_num_threads(1)
    start = time.process_time()
    flat = [row for seed in tqdm(SEEDS) for row in rows(seed)]
    seconds = time.process_time() - start
    seeds = [*SEEDS, *(TEST + s for s in SEEDS)]
    write_result("ws09", flat, command="python results/ws09.py", seeds=seeds, cpu_seconds=seconds)


if __name__ == "__main__":
    sys.exit(study())
