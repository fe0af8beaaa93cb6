"""All losses of the part on one data set and one network: ``python results/ws.py [PROCESSES]``.

Writes ``results/ws.json``, one row per method, kind of label, minutes, condition and seed. Weights
of the terms were chosen on another cohort: ``python results/ws.py --choose`` prints the grid.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from limsup_widgets.data.blobs import Toy, blobs
from limsup_widgets.data.supervision import Supervision, supervise
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.cam import class_activation_map, gated_map, pseudo_labels
from limsup_widgets.learn.confidence import confidence_loss, mutual_information
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.pairwise import pairwise_loss
from limsup_widgets.learn.primal_dual import DualProportion
from limsup_widgets.learn.pseudo import select_pseudo_labels
from limsup_widgets.learn.sizes import proportions, ratio_loss, size_penalty
from limsup_widgets.learn.weakly import Batch, Objective, dice_of, tiny_net, train_weakly
from limsup_widgets.teach.results import write_result

COMMAND = "python results/ws.py"
HARD = {"size": 32, "distractors": 2, "hole": True, "noise": 0.15, "empty": 0.2}
IMAGES, TEST, STEPS = 120, 40, 120
SEEDS, CHOICE_SEEDS = range(5), range(100, 103)
MINUTES = (2, 8, 32)
POOL, NOISE = 24, 0.2
RAMP = 0.2

Row = dict[str, float | int | str | None]
Term = Callable[[Tensor, Batch, "Setting"], Tensor]


@dataclass(frozen=True)
class Setting:
    """What the terms may know: the cohort's size range from atlas, the annotator's sizes."""

    seen: Supervision
    lower: float
    upper: float
    mean: float
    duals: DualProportion


@lru_cache(maxsize=2)
def cohort(seed: int) -> tuple[Toy, Toy]:
    """Images to train on and others to test on."""
    return blobs(IMAGES, 1000 + seed, **HARD), blobs(TEST, 5000 + seed, **HARD)


def weights_of(kind: str, stencil: str) -> Term:
    """A pairwise term on softmax maps."""
    return lambda z, b, s: pairwise_loss(z.softmax(1), b.images, kind, stencil, sigma_i=0.15)


def common_bounds(kind: str) -> Term:
    """One range for every image: the atlas's where an object is tagged, none where none is."""

    def term(z: Tensor, b: Batch, s: Setting) -> Tensor:
        p = proportions(z)[:, 1]
        holds = torch.from_numpy(s.seen.tags[b.index.numpy(), 1])
        lower = torch.where(holds == 1, s.lower, 0.0)
        t = 5 + 20 * b.progress
        bounded = size_penalty(p, lower, s.upper, kind, t=t, relative=True)
        return torch.where(holds == 0, p**2, bounded).mean()

    return term


def own_size(kind: str) -> Term:
    """The annotator's estimate of each image; images without one are left out."""

    def term(z: Tensor, b: Batch, s: Setting) -> Tensor:
        q = torch.from_numpy(s.seen.sizes[b.index.numpy(), 1]).float()
        known = ~q.isnan()
        if not known.any():
            return z.sum() * 0
        return ratio_loss(proportions(z)[known, 1], q[known], kind).mean()

    return term


def cohort_ratio(z: Tensor, b: Batch, s: Setting) -> Tensor:
    """The mean proportion of the whole cohort, by the primal-dual form."""
    p = proportions(z, over="batch")[0]
    loss = s.duals(p)
    s.duals.update(p)
    return loss


def self_training(balanced: bool) -> Term:
    """Cross-entropy on the surest third of the present predictions."""

    def term(z: Tensor, b: Batch, s: Setting) -> Tensor:
        targets, _ = select_pseudo_labels(z.softmax(1), 0.33, balanced=balanced)
        return partial_cross_entropy(z, targets)

    return term


TERMS: dict[str, Term] = {
    "Laplacian": weights_of("quadratic", "dilated"),
    "Potts, grid": weights_of("potts", "grid"),
    "Potts, dilated": weights_of("potts", "dilated"),
    "normalised cut": weights_of("normalised_cut", "dilated"),
    "entropy": lambda z, b, s: confidence_loss(z, "shannon"),
    "min-entropy": lambda z, b, s: confidence_loss(z, "min"),
    "mutual information": lambda z, b, s: -mutual_information(z, "batch"),
    "cohort ratio (KL, dual)": cohort_ratio,
    "common bounds (L2)": common_bounds("l2"),
    "common bounds (barrier)": common_bounds("barrier"),
    "self-training": self_training(False),
    "class-balanced self-training": self_training(True),
}
SIZE_TERMS: dict[str, Term] = {
    "own size (KL)": own_size("forward"),
    "own size (L2)": own_size("l2"),
}
PLAIN = "partial cross-entropy"
FULL, CAM = "full supervision", "CAM pseudo-masks"
VARIED = (PLAIN, "Potts, dilated", "self-training")
GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
WEIGHT = {
    "Laplacian": 3.0,
    "Potts, grid": 3.0,
    "Potts, dilated": 1.0,
    "normalised cut": 0.3,
    "entropy": 1.0,
    "min-entropy": 1.0,
    "mutual information": 0.03,
    "cohort ratio (KL, dual)": 0.3,
    "common bounds (L2)": 1.0,
    "common bounds (barrier)": 0.03,
    "self-training": 0.1,
    "class-balanced self-training": 0.03,
    "own size (KL)": 10.0,
    "own size (L2)": 10.0,
}
"""Best of ``GRID`` on the cohorts of ``CHOICE_SEEDS``; the printed grid shows by how much."""


def objective(term: Term | None, weight: float, setting: Setting) -> Objective:
    """Partial cross-entropy, and after a fifth of the steps the term."""

    def total(z: Tensor, b: Batch) -> Tensor:
        loss = partial_cross_entropy(z, b.targets)
        if term is None or b.progress < RAMP:
            return loss
        return loss + weight * term(z, b, setting)

    return total


def setting_of(seen: Supervision) -> Setting:
    """Priors from an atlas of twelve dense masks that are in no other set."""
    atlas = blobs(12, 9000, **HARD).masks
    shares = (atlas == 2).mean((1, 2))
    present, mean = shares[shares > 0], float(shares.mean())
    lower, upper = 0.8 * float(present.min()), 1.2 * float(present.max())
    return Setting(seen, lower, upper, mean, DualProportion([1 - mean, mean], decay=0.9))


class Classifier(nn.Module):
    """Four convolutions, global average pooling, one logit: a CAM network at 1/4 resolution."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((1, 8, 1), (8, 16, 2), (16, 16, 2), (16, 16, 1))
        layers: list[nn.Module] = []
        for a, b, stride in sizes:
            layers += [nn.Conv2d(a, b, 3, stride, 1), nn.BatchNorm2d(b), nn.ReLU()]
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 1, H, W)`` → logits ``(N, 1)``."""
        return self.classifier(self.features(x).mean((2, 3)))


def train_classifier(train: Toy, seen: Supervision, seed: int) -> Classifier:
    """Train on the tags that were paid for."""
    torch.manual_seed(seed)
    net = Classifier().train()
    x = torch.from_numpy(train.images[seen.labelled])
    y = torch.from_numpy(seen.tags[seen.labelled, 1:2]).float()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        pick = torch.from_numpy(rng.integers(len(x), size=16))
        loss = F.binary_cross_entropy_with_logits(net(x[pick]), y[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def cam_labels(train: Toy, seen: Supervision, seed: int) -> np.ndarray:
    """Pseudo-masks of the tagged images, thresholds fixed beforehand."""
    net = train_classifier(train, seen, seed)
    x = torch.from_numpy(train.images[seen.labelled])
    maps = class_activation_map(net, x, "features", "classifier", 1)
    tags = torch.from_numpy(seen.tags[seen.labelled, 1]).float()
    made = pseudo_labels(gated_map(maps, tags, x.shape[2:])).numpy()
    labels = np.zeros_like(train.masks)
    labels[seen.labelled] = made
    return labels


def run(method: str, kind: str, minutes: float, pool: int, noise: float, seed: int,
        weight: float | None = None) -> Row | None:  # fmt: skip
    """One job; None if the minutes do not pay for one image."""
    torch.set_num_threads(1)
    train, test = cohort(seed)
    try:
        seen = supervise(train.masks, kind, minutes, pool, noise, seed)
    except LimsupError:
        return None
    labels = cam_labels(train, seen, seed) if method == CAM else seen.labels
    term = (TERMS | SIZE_TERMS).get(method)
    weight = WEIGHT.get(method, 0.0) if weight is None else weight
    goal = objective(term, weight, setting_of(seen))
    options = {"labelled": seen.labelled, "pool": seen.pool if term else (), "seed": seed}
    net = train_weakly(tiny_net(seed), train.images, labels, goal, steps=STEPS, **options)
    return {
        "method": method,
        "kind": kind,
        "minutes": minutes,
        "unlabelled": pool,
        "noise": noise,
        "seed": seed,
        "images": len(seen.labelled),
        "weight": weight,
        "dice": round(dice_of(net, test.images, test.masks), 4),
    }


def timed(job: tuple) -> tuple[Row | None, float]:
    """A job and its CPU seconds."""
    start = time.process_time()
    return run(*job), time.process_time() - start


def jobs() -> list[tuple]:
    """Every row of the study."""
    pixel = ("point", "scribble")
    all_arms = product((PLAIN, *TERMS), pixel, MINUTES, (POOL,), (0.0,), SEEDS)
    sized = product((PLAIN, *SIZE_TERMS), ("point+size",), MINUTES, (POOL,), (0.0,), SEEDS)
    alone = product(VARIED, pixel, MINUTES, (0,), (0.0,), SEEDS)
    spoilt = product(VARIED, pixel, MINUTES, (POOL,), (NOISE,), SEEDS)
    full = product((FULL,), ("dense",), MINUTES, (0,), (0.0, NOISE), SEEDS)
    tags = product((CAM,), ("tag",), MINUTES, (0,), (0.0, NOISE), SEEDS)
    return [*all_arms, *sized, *alone, *spoilt, *full, *tags]


def work(todo: list[tuple], processes: int) -> tuple[list[Row], float]:
    """Run jobs side by side, with a bar; what the minutes do not pay for is left out."""
    with ProcessPoolExecutor(processes) as pool:
        done = list(tqdm(pool.map(timed, todo, chunksize=4), total=len(todo)))
    return [row for row, _ in done if row], sum(seconds for _, seconds in done)


def choose(processes: int) -> None:
    """Mean Dice of each term over the grid of weights, on cohorts of their own."""
    kinds = {**dict.fromkeys(TERMS, "scribble"), **dict.fromkeys(SIZE_TERMS, "point+size")}
    todo = [
        (m, k, 8, POOL, 0.0, s, w) for m, k in kinds.items() for w in GRID for s in CHOICE_SEEDS
    ]
    rows, _ = work(todo, processes)
    for method in kinds:
        means = [
            np.mean([r["dice"] for r in rows if (r["method"], r["weight"]) == (method, w)])
            for w in GRID
        ]
        print(f"{method:30}", *(f"{w:g}: {m:.3f} " for w, m in zip(GRID, means, strict=True)))


if __name__ == "__main__":
    count = next((int(a) for a in sys.argv[1:] if a.isdigit()), 2)
    if "--choose" in sys.argv[1:]:
        choose(count)
    else:
        found, cpu = work(jobs(), count)
        write_result("ws", found, command=COMMAND, seeds=list(SEEDS), cpu_seconds=cpu)
