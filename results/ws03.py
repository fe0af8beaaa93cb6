"""Entropy on images: ``python results/ws03.py [--resume]`` writes ``results/ws03.json``.

Part ``uda``: a network of the source domain meets shifted images, by arm. Part ``ssl``: few weak
labels and a pool of unlabelled images, with and without entropy. One row per part, seed, setting
and arm. Weights are fixed beforehand: 0.3 for entropy, 1 for the ratio. ``--resume`` keeps the rows
of seeds that the file already has.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from limsup_chapters import ws03
from limsup_widgets.data.blobs import blobs
from limsup_widgets.data.labels import to_targets
from limsup_widgets.data.shift import shift_intensity
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.confidence import entropy_map, expected_calibration_error
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.weakly import Batch, Objective, tiny_net, train_weakly
from limsup_widgets.teach.results import stored_result, write_result

SEEDS = tuple(range(10))
SHIFTS: dict[str, dict[str, Any]] = {
    "gamma 1.4": {"gamma": 1.4},
    "gamma 1.6": {"gamma": 1.6},
    "gamma 2.5": {"gamma": 2.5},
    "field": {"gamma": 1.7, "bias": 0.2},
    "inverted": {"invert": True},
}
SSL = {"point": 0.5, "scribble": 2.0}
SSL_ARMS: dict[str, tuple[float, str]] = {
    "labels only": (0.0, "shannon"),
    "entropy": (0.3, "shannon"),
}

Row = dict[str, float | int | str | None]


class Domains:
    """Source, target and test images of one seed, and the network of the source."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.source, self.target, self.test = (
            blobs(n, 10 * seed + k) for n, k in ((24, 1), (24, 2), (16, 3))
        )
        self.net = train_weakly(
            ws03.norm_net(seed), self.source.images, self.source.masks, steps=150, seed=seed
        )
        self.labelled = (
            torch.from_numpy(self.source.images),
            torch.from_numpy(to_targets(self.source.masks)),
        )
        self.ratio = float((self.source.masks == 2).mean())

    def shifted(self, shift: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Target and test images after a shift."""
        dials = SHIFTS[shift]
        return (
            shift_intensity(self.target.images, 10 * self.seed + 2, **dials),
            shift_intensity(self.test.images, 10 * self.seed + 3, **dials),
        )


def measure(net: nn.Module, images: NDArray[Any], masks: NDArray[np.uint8]) -> Row:
    """Dice of the object, calibration error, mean entropy, object's predicted over true size."""
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(images))
    prob, codes = logits.softmax(1), logits.argmax(1).numpy().astype(np.uint8) + 1
    targets = torch.from_numpy(to_targets(masks))
    return {
        "dice": round(float(dice_per_class(list(codes), list(masks), 2)[1]), 4),
        "ece": round(expected_calibration_error(prob, targets), 4),
        "entropy": round(float(entropy_map(logits).mean()), 4),
        "size": round(float((codes == 2).sum() / (masks == 2).sum()), 3),
    }


def uda_arm(d: Domains, arm: str, shift: str) -> Row:
    """One arm under one shift."""
    target, test = d.shifted(shift)
    x, net = torch.from_numpy(target), d.net
    if arm == "histogram matching":
        test = ws03.match_grey(test, target, d.source.images)
    if arm == "target statistics":
        net = ws03.target_statistics(net, x)
    free: dict[str, dict[str, Any]] = {
        "entropy": {"source": d.labelled},
        "ratio, no source": {"weight": 0.0, "ratio": d.ratio},
        "entropy + ratio, no source": {"ratio": d.ratio},
    }
    if arm in free:
        net = ws03.adapt(net, x, seed=d.seed, **free[arm])
    return {"part": "uda", "seed": d.seed, "setting": shift, "arm": arm} | measure(
        net, test, d.test.masks
    )


UDA_ARMS = (
    "source only",
    "histogram matching",
    "target statistics",
    "entropy",
    "ratio, no source",
    "entropy + ratio, no source",
)


def objective(weight: float, kind: str) -> Objective:
    """The loss of the page, its entropy growing over the first half."""

    def total(logits: Tensor, batch: Batch) -> Tensor:
        grow = min(1.0, 2 * batch.progress)
        return ws03.ssl_loss(logits, batch.targets, grow * weight, kind)

    return total


def ssl_arm(seed: int, kind: str, arm: str) -> Row:
    """Six images with weak labels, 24 without any; the same network and batches in every arm."""
    train, test = blobs(40, 10 * seed + 5), blobs(16, 10 * seed + 6)
    seen = supervise(train.masks, kind, SSL[kind], unlabelled=24, seed=seed)
    goal = objective(*SSL_ARMS[arm])
    options = {"labelled": seen.labelled, "pool": seen.pool, "seed": seed}
    net = train_weakly(tiny_net(seed), train.images, seen.labels, goal, steps=120, **options)
    return {"part": "ssl", "seed": seed, "setting": kind, "arm": arm} | measure(
        net, test.images, test.masks
    )


def stored() -> tuple[list[Row], float]:
    """Rows and CPU seconds of the file as it is."""
    found = stored_result("ws03")
    return list(found.rows), found.cpu_seconds


def study(resume: bool) -> None:
    """All rows, then the file."""
    torch.set_num_threads(1)
    start = time.process_time()
    rows, before = stored() if resume else ([], 0.0)
    for seed in tqdm(sorted(set(SEEDS) - {row["seed"] for row in rows})):
        domains = Domains(seed)
        rows += [uda_arm(domains, arm, shift) for shift in SHIFTS for arm in UDA_ARMS]
        rows += [ssl_arm(seed, kind, arm) for kind in SSL for arm in SSL_ARMS]
    cpu = before + time.process_time() - start
    write_result("ws03", rows, command="python results/ws03.py", seeds=list(SEEDS), cpu_seconds=cpu)


if __name__ == "__main__":
    study("--resume" in sys.argv[1:])
