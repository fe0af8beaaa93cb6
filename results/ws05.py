"""Maps, pseudo-masks and segmenters from tags: ``python results/ws05.py`` → ``results/ws05.json``.

Rows of ``part``: *mask* (pseudo-masks of training images with tag 1, settings of the generator),
*erase* (second network after erasing), *segmenter* (labels and what a segmenter made of them),
*zoo* (classifiers of several strides), *dial* (minutes of an annotator against test Dice).
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from limsup_chapters import ws05
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.weakly import Batch, Objective, segment, tiny_net, train_weakly
from limsup_widgets.teach.results import write_result

SEEDS = range(5)
SETTINGS: dict[str, dict[str, Any]] = {
    "organ alike": {},
    "organ only in tag 1": {"alike": False},
    "marker": {"marker": 0.95},
    "decoy touches": {"decoy": 4.0},
    "decoy apart": {"decoy": 9.0},
    "long": {"long": True},
}
TAUS = (0.1, 0.2, 0.3, 0.5, 0.7)
ZOO = {"1/2": (2, 1, 1, 1), "1/4": (1, 2, 2, 1), "1/8": (2, 2, 2, 1)}
DIAL = (("tag", 1.0), ("tag", 4.0), ("dense", 4.0))
TRAIN, TEST = 240, 100

Row = dict[str, float | int | str | None]
COLUMNS = (
    *("part", "setting", "seed", "arm", "accuracy", "dice", "precision", "recall"),
    *("label dice", "method", "kind", "minutes", "unlabelled", "noise"),
)


def row(part: str, setting: str, seed: int, arm: str, **values: Any) -> Row:
    """One flat row; what does not apply stays empty."""
    numbers = {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
    return {
        **dict.fromkeys(COLUMNS),
        "part": part,
        "setting": setting,
        "seed": seed,
        "arm": arm,
        **numbers,
    }


def quality(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Dice, precision, recall as entries of a row."""
    dice, precision, recall = map(float, ws05.scores(found, truth))
    return {"dice": dice, "precision": precision, "recall": recall}


def sets(setting: str, seed: int) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Training and test set."""
    options = SETTINGS[setting]
    return ws05.tag_set(TRAIN, seed, **options), ws05.tag_set(TEST, 1000 + seed, **options)


@torch.no_grad()
def accuracy(network: torch.nn.Module, data: SimpleNamespace) -> float:
    """Share of tags that the classifier gets right."""
    return float((network(data.images).argmax(1).numpy() == data.tags).mean())


def present_of(data: SimpleNamespace) -> tuple[NDArray[np.bool_], Tensor, NDArray[np.bool_]]:
    """Which images have tag 1, those images, and where their object is."""
    present = data.tags == 1
    return present, data.images[present], data.masks[present] == 2


def values_of(network: torch.nn.Module, data: SimpleNamespace) -> NDArray[np.float32]:
    """Gated maps of the images with tag 1."""
    return ws05.gated(ws05.cam(network, data.images), data.tags)[data.tags == 1]


def masks(setting: str, seed: int) -> list[Row]:
    """All pseudo-masks of one setting, from one classifier."""
    train, test = sets(setting, seed)
    network = ws05.train_classifier(train.images, train.tags, seed)
    rows = simple_masks(setting, seed, network, train, accuracy(network, test))
    if setting in ("organ alike", "long"):
        rows += erasing(setting, seed, network, (train, test))
    if setting == "organ alike":
        rows += segmenters(seed, network, train)
    return rows


def simple_masks(
    setting: str, seed: int, network: torch.nn.Module, train: SimpleNamespace, right: float
) -> list[Row]:
    """Thresholds, saliency and splits by features."""
    _, images, truth = present_of(train)
    values = values_of(network, train)
    found = {f"CAM {tau}": values >= tau for tau in TAUS}
    regions = ws05.salient(images)
    found["saliency alone"] = regions
    found["CAM + saliency"] = ws05.touched(regions, values >= 0.5)
    if setting == "organ alike":
        found["split by grey"] = ws05.split_by_features(ws05.grey_features(images), values)
        found["split by network"] = split_by_network(network, images, values)
    return [
        row("mask", setting, seed, arm, accuracy=right, **quality(m, truth))
        for arm, m in found.items()
    ]


@torch.no_grad()
def split_by_network(
    network: torch.nn.Module, images: Tensor, values: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Discriminator on the features of the classifier's second block, at half resolution."""
    features = network.body[:6](images)
    small = F.interpolate(torch.from_numpy(values)[:, None], features.shape[2:], mode="area")
    split = ws05.split_by_features(features, small[:, 0].numpy())
    return np.kron(split, np.ones((2, 2))) > 0


def erasing(
    setting: str, seed: int, first: torch.nn.Module, both: tuple[SimpleNamespace, SimpleNamespace]
) -> list[Row]:
    """Union of two rounds for each kind of hole, and the CAM grown to the same area."""
    train, _ = both
    _, _, truth = present_of(train)
    start = values_of(first, train) >= 0.5
    rows = []
    for holes in ws05.HOLES:
        covered, fresh = (ws05.erased(data, first, holes) for data in both)
        second = ws05.train_classifier(covered.images, train.tags, seed + 100)
        union = start | (values_of(second, covered) >= 0.5)
        known = {"accuracy": accuracy(second, fresh)}
        same_area = ws05.grown(start, union.sum((1, 2)))
        for arm, found in {"union": union, "grown": same_area}.items():
            rows.append(
                row("erase", setting, seed, f"{arm}, {holes}", **known, **quality(found, truth))
            )
    return rows


def tags_of(batch: Batch) -> Tensor:
    """The segmenter sees images with tag 1 only."""
    return torch.ones(len(batch.index), dtype=torch.long)


def objectives() -> dict[str, Objective]:
    """Losses of the segmenter on seeds."""

    def seed(z: Tensor, b: Batch) -> Tensor:
        return ws05.seed_loss(z, b.targets)

    def expand(z: Tensor, b: Batch) -> Tensor:
        return ws05.expand_loss(z.softmax(1), tags_of(b))

    def constrain(z: Tensor, b: Batch) -> Tensor:
        return ws05.constrain_loss(z, b.images)

    return {
        "seed": seed,
        "seed + expand": lambda z, b: seed(z, b) + expand(z, b),
        "seed + constrain": lambda z, b: seed(z, b) + constrain(z, b),
        "seed + expand + constrain": lambda z, b: seed(z, b) + expand(z, b) + constrain(z, b),
    }


def segmenters(seed: int, network: torch.nn.Module, train: SimpleNamespace) -> list[Row]:
    """Segmenters on labels and losses of all kinds; scores on the training images."""
    present, images, truth = present_of(train)
    values = values_of(network, train)
    hard = values >= 0.3
    sure, only = ws05.codes(values), objectives()["seed"]
    arms = {
        "CAM 0.3": (1 + hard.astype(np.uint8), only),
        "as many random errors": (1 + ws05.scattered(truth, hard != truth).astype(np.uint8), only),
        "full masks": (train.masks[present], only),
        **{name: (sure, loss) for name, loss in objectives().items()},
    }
    rows = []
    for arm, (labels, loss) in arms.items():
        net = train_weakly(tiny_net(seed), images, labels, loss, steps=100, seed=seed)
        found = quality(segment(net, images) == 2, truth)
        before = float(ws05.scores(labels == 2, truth)[0])
        rows.append(row("segmenter", "organ alike", seed, arm, **found, **{"label dice": before}))
    return rows


def zoo(name: str, seed: int) -> list[Row]:
    """Accuracy on many test images and Dice of the map, for one kind of classifier."""
    train, _ = sets("organ alike", seed)
    test = ws05.tag_set(300, 2000 + seed)
    network = ws05.train_classifier(train.images, train.tags, seed, strides=ZOO[name])
    values = ws05.gated(ws05.cam(network, test.images), test.tags)[test.tags == 1]
    found = quality(values >= 0.3, test.masks[test.tags == 1] == 2)
    return [row("zoo", "organ alike", seed, name, accuracy=accuracy(network, test), **found)]


def dial(kind: str, minutes: float, seed: int) -> list[Row]:
    """What minutes of tagging or of drawing buy: Dice on test images with tag 1, tags known."""
    train, test = sets("organ alike", seed)
    if kind == "dense":  # nobody draws on an image that holds nothing
        train.images, train.masks = (a[train.tags == 1] for a in (train.images, train.masks))
    seen = supervise(train.masks, kind, minutes, seed=seed)
    images, labels = train.images[seen.labelled], seen.labels[seen.labelled]
    if kind == "tag":
        tags = (seen.tags[seen.labelled, 1] == 1).astype(int)
        epochs = round(8 * TRAIN / len(tags))
        network = ws05.train_classifier(images, tags, seed, epochs=epochs)
        hard = ws05.gated(ws05.cam(network, images), tags)[tags == 1] >= 0.3
        images, labels = images[tags == 1], 1 + hard.astype(np.uint8)
    net = train_weakly(tiny_net(seed), images, labels, steps=100, seed=seed)
    present = test.tags == 1
    found = quality(segment(net, test.images[present]) == 2, test.masks[present] == 2)
    method = "CAM, then a segmenter" if kind == "tag" else "full supervision"
    position = {"method": method, "kind": kind, "minutes": minutes}
    position |= {"noise": 0.0, "unlabelled": 0}
    return [row("dial", "organ alike", seed, method, **found, **position)]


def jobs() -> list[tuple[Any, ...]]:
    """Everything, as independent pieces."""
    todo: list[tuple[Any, ...]] = [(masks, name, s) for name in SETTINGS for s in SEEDS]
    todo += [(zoo, name, s) for name in ZOO for s in SEEDS]
    todo += [(dial, *position, s) for position in DIAL for s in SEEDS]
    return todo


def timed(job: tuple[Any, ...]) -> tuple[list[Row], float]:
    """Rows of one job and its CPU seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    return job[0](*job[1:]), time.process_time() - start


def study(processes: int = 2) -> None:
    """Run all jobs, then write the result."""
    todo = jobs()
    with ProcessPoolExecutor(processes) as pool:
        done = list(tqdm(pool.map(timed, todo), total=len(todo)))
    rows = [r for made, _ in done for r in made]
    write_result(
        "ws05",
        rows,
        command="python results/ws05.py",
        seeds=list(SEEDS),
        cpu_seconds=sum(seconds for _, seconds in done),
    )


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
