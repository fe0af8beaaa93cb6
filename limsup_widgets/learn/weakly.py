"""One small network and one training loop for all arms of an experiment on weak labels.

Arms must differ in their labels and their loss and in nothing else, so the loop draws the same
batches, in the same order, whatever the loss is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from limsup_widgets.data.labels import from_targets, to_targets
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.metrics import dice_per_class


class TinyNet(nn.Module):
    """Three dilated 3×3 convolutions and a 1×1 head; each pixel sees 15 × 15 pixels.

    Borders are reflected: with zero padding a network can tell where the border is, and uses it.

    Parameters
    ----------
    classes, channels
        K and C.
    width
        Channels of the hidden layers.
    centre, scale
        Images are taken as ``(x - centre) / scale``; the defaults fit grey levels of 0…1.
    """

    def __init__(
        self,
        classes: int = 2,
        channels: int = 1,
        width: int = 12,
        centre: float = 0.4,
        scale: float = 0.2,
    ) -> None:
        super().__init__()
        self.centre, self.scale = centre, scale
        layers: list[nn.Module] = []
        for c, step in ((channels, 1), (width, 2), (width, 4)):
            layers += [
                nn.Conv2d(c, width, 3, padding=step, dilation=step, padding_mode="reflect"),
                nn.ReLU(),
            ]
        self.body, self.head = nn.Sequential(*layers), nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``x (N, C, H, W)`` → logits ``(N, K, H, W)``."""
        return self.head(self.body((x - self.centre) / self.scale))


@dataclass(frozen=True)
class Batch:
    """What an objective sees besides the logits.

    Attributes
    ----------
    images
        ``(B, C, H, W)``.
    targets
        ``(B, H, W)``, −1 where nothing is known, else 0…K−1.
    index
        ``(B,)`` which images these are, to look up what belongs to them (tags, sizes, boxes).
    progress
        Share of the steps done, in [0, 1), for ramps.
    """

    images: Tensor
    targets: Tensor
    index: Tensor
    progress: float


Objective = Callable[[Tensor, Batch], Tensor]


def partial_labels_only(logits: Tensor, batch: Batch) -> Tensor:
    """The objective without any prior: partial cross-entropy."""
    return partial_cross_entropy(logits, batch.targets)


def train_weakly(
    network: nn.Module,
    images: ArrayLike,
    labels: ArrayLike,
    objective: Objective = partial_labels_only,
    *,
    labelled: Sequence[int] | NDArray[np.integer] | None = None,
    pool: Sequence[int] | NDArray[np.integer] = (),
    steps: int = 150,
    batch: int = 4,
    lr: float = 1e-2,
    seed: int = 0,
    progress: Callable[[int, float], object] | None = None,
) -> nn.Module:
    """Train ``network`` in place with Adam and return it in evaluation mode.

    Every step takes ``batch`` labelled images and, if there is a pool, as many unlabelled ones, so
    that an arm with a pool sees as many labels as one without. The learning rate falls to zero
    along a cosine.

    Parameters
    ----------
    network
        Any module ``(N, C, H, W)`` → ``(N, K, H, W)``; build it under a fixed seed
        (:func:`tiny_net`).
    images, labels
        ``(N, C, H, W)`` and codes ``(N, H, W)``, 0 = unlabelled, 1…K.
    objective
        ``objective(logits, batch)`` → scalar; see :class:`Batch`.
    labelled, pool
        Indices to draw from; ``labelled`` defaults to all images that are not in ``pool``.
    steps, batch, lr, seed
        Number of updates, labelled images per update, first learning rate, seed of the batches.
    progress
        Called with (step, loss); an exception raised there ends the work.

    Raises
    ------
    LimsupError
        If shapes do not fit, no image is left to draw from, or the loss is no finite number.
    """
    x = torch.as_tensor(np.asarray(images, np.float32))
    codes = np.asarray(labels)
    if x.ndim != 4 or codes.shape != (len(x), *x.shape[2:]):
        raise LimsupError(
            "training images",
            got=f"images {tuple(x.shape)}, labels {codes.shape}",
            expected="(N, C, H, W) and (N, H, W)",
        )
    y = torch.from_numpy(to_targets(codes))
    own = np.setdiff1d(np.arange(len(x)), pool) if labelled is None else np.asarray(labelled)
    if not len(own):
        raise LimsupError("labelled images", got="none", expected="at least one")
    draws = [_draws(own, batch, seed), _draws(np.asarray(pool, int), batch, seed + 1)]
    optimiser = torch.optim.Adam(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    for step in range(steps):
        index = torch.from_numpy(np.concatenate([next(d) for d in draws]))
        seen = Batch(x[index], y[index], index, step / steps)
        loss = objective(network(seen.images), seen)
        if not torch.isfinite(loss):
            raise LimsupError("loss", got=f"{loss.item()} at step {step}", do="a smaller weight")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, float(loss.detach()))
    return network.eval()


def _draws(index: NDArray[np.integer], batch: int, seed: int) -> Any:
    """Batches without end, each image once before any comes again; empty ones if there is none."""
    rng = np.random.default_rng(seed)
    queue: list[int] = []
    while True:
        while len(queue) < batch and len(index):
            queue += rng.permutation(index).tolist()
        yield np.array(queue[:batch], dtype=np.int64)
        queue = queue[batch:]


def tiny_net(seed: int = 0, classes: int = 2, channels: int = 1, **options: Any) -> TinyNet:
    """A :class:`TinyNet` whose first weights depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyNet(classes, channels, **options)


def posterior(network: nn.Module, images: ArrayLike) -> NDArray[np.float32]:
    """Softmax ``(N, K, H, W)`` of ``images (N, C, H, W)`` in evaluation mode."""
    network.eval()
    with torch.no_grad():
        return network(torch.as_tensor(np.asarray(images, np.float32))).softmax(1).numpy()


def segment(network: nn.Module, images: ArrayLike) -> NDArray[np.uint8]:
    """Most probable class, codes ``(N, H, W)`` of 1…K."""
    return from_targets(posterior(network, images).argmax(1))


def dice_of(network: nn.Module, images: ArrayLike, masks: ArrayLike, code: int = 2) -> float:
    """Dice of class ``code``, pixels of all images pooled; see :func:`dice_per_class`."""
    truth, predicted = np.asarray(masks), segment(network, images)
    classes = max(code, int(truth.max()), int(predicted.max()))
    return float(dice_per_class(list(predicted), list(truth), classes)[code - 1])
