"""Small networks and small images, made on the fly, that the tests of learn share."""

from functools import cache

import numpy as np
import torch
from torch import nn

from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.train import train_unet
from limsup_widgets.learn.unet import UNet

COLOURS = np.array([[120, 120, 120], [190, 90, 90], [90, 90, 190]], np.float64)
"""Of background (code 1), disc (2) and square (3)."""


def fresh_unet(seed=0, **options):
    """A small network as it is before training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet(**{"classes": 3, "widths": (6, 8, 12, 16)} | options)


def tiny_unet(seed=0, **options):
    """A network every level of which counts, with batch statistics unlike those of its inputs."""
    net = fresh_unet(seed, **{"widths": (4, 6, 8, 10)} | options)
    rng = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5, generator=rng)
            module.running_var.uniform_(0.5, 2.0, generator=rng)
        elif isinstance(module, nn.Conv2d) and module is not net.head:
            module.weight.data *= 2
    return net.eval()


def random_input(seed=0, shape=(3, 40, 56)):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def toy_case(seed, images=3, shape=(48, 64), swapped=False):
    """Images (H, W, 3) and truths (H, W): a disc and a square, their colours swapped or not."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    colours = COLOURS[[0, 2, 1]] if swapped else COLOURS
    arrays, truths = [], []
    for number in range(images):
        truth = np.ones(shape, np.uint8)
        left = (number + seed) % 2
        centres = rng.uniform(16, shape[0] - 16, 2), rng.uniform(14, 18, 2)
        centres[1][1] += shape[1] - 32
        y, x = (c[left] for c in centres)
        truth[(rows - y) ** 2 + (cols - x) ** 2 < 11**2] = 2
        y, x = (c[1 - left] for c in centres)
        truth[(abs(rows - y) < 10) & (abs(cols - x) < 10)] = 3
        noisy = colours[truth - 1] + rng.normal(0, 12, (*shape, 3))
        arrays.append(noisy.clip(0, 255).astype(np.uint8))
        truths.append(truth)
    return arrays, truths


def scribble(truth, seed=0, length=8):
    """One short horizontal stroke in each class; codes (H, W), 0 where nothing was painted."""
    rng = np.random.default_rng(seed)
    labels = np.zeros_like(truth)
    for code in np.unique(truth):
        y, x = rng.permutation(np.argwhere(truth == code))[0]
        stroke = labels[y, x : x + length]
        stroke[truth[y, x : x + length] == code] = code
    return labels


@cache
def toy_base():
    """A network trained briefly on the toy, and its normaliser."""
    arrays, truths = toy_case(seed=1, images=6)
    normalizer = Normalizer.fit(arrays)
    pairs = list(zip(arrays, truths, strict=True))
    options = {"steps": 60, "batch": 4, "crop": 48, "lr": 1e-2}
    return train_unet(pairs, fresh_unet(), normalizer, **options), normalizer
