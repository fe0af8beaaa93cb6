"""Adaptation of a network to another scanner: ``python results/ws08.py`` writes its JSON.

Drawn heart slices: body, blood pool, muscle ring, and a vessel of about one percent at a fixed
angle. The target's grey levels are bent, darker and noisier. One row per arm, frame and seed; all
arms start from the same source network.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.exposure import match_histograms
from torch import Tensor, nn
from tqdm import tqdm

from limsup_chapters import ws08
from limsup_widgets.data.shift import shift_intensity
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.pseudo import select_pseudo_labels
from limsup_widgets.learn.sizes import proportions
from limsup_widgets.learn.weakly import Batch, Objective, posterior, tiny_net, train_weakly
from limsup_widgets.teach.results import write_result

SEEDS = range(5)
FRAMES = ("upright", "turned over")
SIZE, IMAGES, CLASSES = 40, 30, 4
ROUNDS = (0.2, 0.35, 0.5)
SHIFT = {"gamma": 1.5, "gain": 0.9, "bias": 0.08, "noise": 0.05}

Row = dict[str, float | int | str | None]
Images = NDArray[np.float32]
Masks = NDArray[np.uint8]


def hearts(n: int, seed: int, vessel: float = 1.0) -> tuple[Images, Masks]:
    """Slices ``(n, 1, 40, 40)`` with codes 1 background, 2 blood, 3 muscle, 4 vessel."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    images, masks = np.empty((n, 1, SIZE, SIZE), np.float32), np.ones((n, SIZE, SIZE), np.uint8)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        centre, radius = rng.normal((21, 20), 1.2), rng.uniform(4, 6)
        away = np.hypot(y - centre[0], x - centre[1])
        masks[i][away <= radius + rng.uniform(2.5, 3.5)] = 3
        masks[i][away <= radius] = 2
        above = (centre[0] - radius - 6.5, centre[1] + 4)
        masks[i][np.hypot(y - above[0], x - above[1]) <= vessel * rng.uniform(1.8, 2.6)] = 4
        body = ((y - 20) / 18) ** 2 + ((x - 20) / 16) ** 2 <= 1
        grey = np.array([0.0, 0.25, 0.85, 0.5, 0.7])[masks[i]] * (body | (masks[i] > 1))
        images[i, 0] = grey + rng.normal(0, 0.06, grey.shape)
    return images, masks


@lru_cache(maxsize=1)
def sites(seed: int) -> dict[str, tuple[Images, Masks]]:
    """Source to train on; target to adapt to and to test on."""
    source = hearts(IMAGES, 1000 + seed)
    adapt, test = (hearts(IMAGES, base + seed) for base in (2000, 3000))
    bent = [(shift_intensity(x, seed, **SHIFT), m) for x, m in (adapt, test)]
    return {"source": source, "adapt": bent[0], "test": bent[1]}


@lru_cache(maxsize=1)
def source_network(seed: int) -> nn.Module:
    """Trained on the source's masks."""
    images, masks = sites(seed)["source"]
    return train_weakly(tiny_net(seed, CLASSES), images, masks, steps=160, seed=seed)


def copy_of(net: nn.Module) -> nn.Module:
    """A network of its own with the same weights."""
    other = tiny_net(0, CLASSES)
    other.load_state_dict(net.state_dict())
    return other


def adapt(net: nn.Module, seed: int, new: Images, goal: Objective, steps: int = 40) -> nn.Module:
    """Train on source masks, with the target as the pool."""
    images, masks = sites(seed)["source"]
    both = np.concatenate([images, new])
    labels = np.concatenate([masks, np.zeros((len(new), SIZE, SIZE), np.uint8)])
    pool = np.arange(len(images), len(both))
    return train_weakly(net, both, labels, goal, pool=pool, steps=steps, lr=3e-3, seed=seed)


def self_trained(seed: int, new: Images, balanced: bool, places: Tensor | None) -> nn.Module:
    """Rounds of choosing labels on the target and training on both."""
    net = copy_of(source_network(seed))
    for share in ROUNDS:
        prob = torch.from_numpy(posterior(net, new))
        chosen, _ = select_pseudo_labels(prob, share, places, balanced)

        def goal(z: Tensor, b: Batch, chosen: Tensor = chosen) -> Tensor:
            known = partial_cross_entropy(z, b.targets)
            mine = b.index >= IMAGES
            return known + partial_cross_entropy(z[mine], chosen[b.index[mine] - IMAGES])

        net = adapt(net, seed, new, goal)
    return net


def told(seed: int, new: Images, q: Tensor) -> nn.Module:
    """Trained to reproduce proportions ``q (N, K)`` of each target image."""

    def goal(z: Tensor, b: Batch) -> Tensor:
        mine = b.index >= IMAGES
        p = proportions(z[mine]).clamp(1e-5, 1 - 1e-5)
        wanted = q[b.index[mine] - IMAGES].clamp(1e-4, 1 - 1e-4)
        return partial_cross_entropy(z, b.targets) + ws08.proportion_kl(wanted, p)

    return adapt(copy_of(source_network(seed)), seed, new, goal, steps=40 * len(ROUNDS))


def shares(masks: Masks) -> Tensor:
    """Proportions ``(N, K)`` of each mask."""
    found = [(masks == c).mean((1, 2)) for c in range(1, CLASSES + 1)]
    return torch.tensor(np.stack(found, 1), dtype=torch.float32)


def looks(images: Images) -> Tensor:
    """Simple features ``(N, 9)`` of an image: deciles of its ranks-free grey levels."""
    flat = images.reshape(len(images), -1)
    flat = (flat - flat.mean()) / flat.std()
    return torch.tensor(np.quantile(flat, np.arange(0.1, 1, 0.1), axis=1).T, dtype=torch.float32)


def place_map(masks: Masks) -> Tensor:
    """How usual each class is at each pixel of the source, ``(1, K, H, W)``, mean 1 a class."""
    counts = [(masks == c).mean(0) + 0.01 for c in range(1, CLASSES + 1)]
    smooth = torch.tensor(np.stack(counts), dtype=torch.float32)[None]
    smooth = torch.nn.functional.avg_pool2d(smooth, 5, 1, 2, count_include_pad=False)
    return smooth / smooth.mean((2, 3), keepdim=True)


def iou(codes: Masks, truth: Masks) -> NDArray[np.float64]:
    """Intersection over union of each class, pixels of all images pooled."""
    pairs = [(codes == c, truth == c) for c in range(1, CLASSES + 1)]
    return np.array([(a & b).sum() / max((a | b).sum(), 1) for a, b in pairs])


def row(arm: str, frame: str, seed: int, prob: NDArray[np.floating], truth: Masks) -> Row:
    """One row from the probabilities on the test images."""
    found = iou((prob.argmax(1) + 1).astype(np.uint8), truth)
    mean, aorta = round(float(found.mean()), 4), round(float(found[-1]), 4)
    return {"arm": arm, "frame": frame, "seed": seed, "mean": mean, "aorta": aorta}


def source_row(seed: int) -> Row:
    """The row that the chapter makes again."""
    images, masks = sites(seed)["test"]
    return row("source only", "upright", seed, posterior(source_network(seed), images), masks)


def self_trained_arms(seed: int, new: Images) -> dict[str, nn.Module]:
    """The arms for which the frame of the target matters, and what they are compared with."""
    places = place_map(sites(seed)["source"][1])
    return {
        "source only": source_network(seed),
        "CBST": self_trained(seed, new, True, None),
        "CBST + places": self_trained(seed, new, True, places),
    }


def told_arms(seed: int, new: Images, hidden: Masks) -> dict[str, nn.Module]:
    """Every way to come by proportions, and self-training with one threshold."""
    known, masks = sites(seed)["source"]
    mine = shares(masks)
    told_by = {
        "CDA, mean of source": mine.mean(0).expand(IMAGES, -1),
        "CDA, nearest source": ws08.nearest_shares(looks(new), looks(known), mine),
        "CDA, regressed": ws08.regressed_shares(looks(new), looks(known), mine),
        "CDA, true (oracle)": shares(hidden),
    }
    arms = {name: told(seed, new, q) for name, q in told_by.items()}
    return {"ST": self_trained(seed, new, False, None), **arms}


def untrained_arms(seed: int, test: Images) -> dict[str, NDArray[np.floating]]:
    """The controls that change no weight: probabilities on the test images."""
    known, masks = sites(seed)["source"]
    net = source_network(seed)
    logits = torch.from_numpy(posterior(net, test)).clamp_min(1e-8).log().movedim(1, -1)
    flat = logits.reshape(-1, CLASSES)
    moved = (flat + ws08.logit_shift(flat, shares(masks).mean(0), 50)).reshape(logits.shape)
    reference = known.reshape(-1, SIZE)
    matched = np.stack([match_histograms(image, reference) for image in test[:, 0]])[:, None]
    return {
        "logit shift, source q": moved.movedim(-1, 1).numpy(),
        "histogram matching": posterior(net, matched),
    }


def rows(seed: int, frame: str) -> tuple[list[Row], float]:
    """All arms of one seed in one frame, and their CPU seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    _, (new, hidden), (test, truth) = sites(seed).values()
    if frame == "turned over":
        turned = (np.ascontiguousarray(a[..., ::-1, :]) for a in (new, hidden, test, truth))
        new, hidden, test, truth = turned
    arms = self_trained_arms(seed, new)
    if frame == "upright":
        arms |= told_arms(seed, new, hidden)
    found = [row(arm, frame, seed, posterior(net, test), truth) for arm, net in arms.items()]
    if frame == "upright":
        controls = untrained_arms(seed, test)
        found += [row(arm, frame, seed, prob, truth) for arm, prob in controls.items()]
    return found, time.process_time() - start


def study(processes: int = 2) -> None:
    """Every seed in every frame, then the file."""
    jobs = [(seed, frame) for seed in SEEDS for frame in FRAMES]
    with ProcessPoolExecutor(processes) as pool:
        done = list(tqdm(pool.map(rows, *zip(*jobs, strict=True)), total=len(jobs)))
    flat = [r for found, _ in done for r in found]
    cpu = sum(seconds for _, seconds in done)
    write_result("ws08", flat, command="python results/ws08.py", seeds=list(SEEDS), cpu_seconds=cpu)


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
