"""Crops around labelled pixels, with the augmentation that tuning uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.inputs import pad_to


class CropSampler:
    """Draw batches of crops from the labelled images of one case.

    Image, codes and weights of a crop are one piece of one tensor, which stays where :meth:`to` put
    it: a batch is made on the device on which it is used.

    Parameters
    ----------
    inputs
        Normalised images ``(C, H, W)``; sizes may differ.
    labels
        Codes ``(H, W)`` for each image, 0 = unlabelled.
    weights
        Pixel weights ``(H, W)`` for each image.
    size
        Side of a crop in pixels, a multiple of the network's divisor.
    sampling
        ``"class"`` centres a crop on a labelled pixel of a class drawn uniformly from the classes
        present; ``"uniform"`` draws image and place blindly (a rare class may then be missed).
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        labels: Sequence[NDArray[np.uint8]],
        weights: Sequence[NDArray[np.float32]],
        size: int,
        sampling: str,
        rng: np.random.Generator,
    ) -> None:
        self.size, self.sampling, self.rng = size, sampling, rng
        self.device = torch.device("cpu")
        self.inputs: tuple[Tensor, ...] = ()
        self.stacks: list[Tensor] = []
        self.relabel(inputs, labels, weights)

    def relabel(
        self,
        inputs: Sequence[Tensor],
        labels: Sequence[NDArray[np.uint8]],
        weights: Sequence[NDArray[np.float32]],
    ) -> None:
        """Take over new labels; an image that is the same tensor as before is not copied again."""
        known = {id(x): stack for x, stack in zip(self.inputs, self.stacks, strict=True)}
        self.places = self._places(labels, weights)
        stacks = [known[id(x)] if id(x) in known else self._stack(x) for x in inputs]
        for stack, y, w in zip(stacks, labels, weights, strict=True):
            stack[-2, : y.shape[0], : y.shape[1]] = torch.from_numpy(y.astype(np.float32))
            stack[-1, : w.shape[0], : w.shape[1]] = torch.from_numpy(w.astype(np.float32))
        self.inputs, self.stacks = tuple(inputs), stacks

    def to(self, device: torch.device) -> CropSampler:
        """Move everything that is drawn from to ``device``; the sampler itself."""
        self.device = device
        self.stacks = [stack.to(device) for stack in self.stacks]
        return self

    def _stack(self, x: Tensor) -> Tensor:
        """``(C + 2, H', W')``: the padded image, and planes for codes and weights, zero so far."""
        image = pad_to(x, 1, self.size)
        stack = torch.zeros(len(image) + 2, *image.shape[1:], device=self.device)
        stack[:-2] = image
        return stack

    @staticmethod
    def _places(
        labels: Sequence[NDArray[np.uint8]], weights: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.intp]]:
        found = [
            np.column_stack([np.full(len(at), i), at, y[tuple(at.T)]])
            for i, (y, w) in enumerate(zip(labels, weights, strict=True))
            for at in [np.argwhere((y > 0) & (w > 0))]
        ]
        everywhere = np.concatenate(found) if found else np.empty((0, 4), int)
        if not len(everywhere):
            raise LimsupError("scribbles", got="none", do="paint a stroke of two classes first")
        return [everywhere[everywhere[:, 3] == c][:, :3] for c in np.unique(everywhere[:, 3])]

    def _corner(self) -> tuple[int, int, int]:
        if self.sampling == "uniform":
            image = int(self.rng.integers(len(self.stacks)))
            free = [side - self.size + 1 for side in self.stacks[image].shape[-2:]]
            return image, int(self.rng.integers(free[0])), int(self.rng.integers(free[1]))
        places = self.places[self.rng.integers(len(self.places))]
        image, *centre = places[self.rng.integers(len(places))].tolist()
        sides = self.stacks[image].shape[-2:]
        y, x = (
            int(np.clip(c - self.size // 2, 0, side - self.size))
            for c, side in zip(centre, sides, strict=True)
        )
        return image, y, x

    def _one(self) -> Tensor:
        image, y, x = self._corner()
        crop = self.stacks[image][:, y : y + self.size, x : x + self.size]
        crop = torch.rot90(crop, int(self.rng.integers(4)), (1, 2))
        return crop.flip(2) if self.rng.random() < 0.5 else crop

    def batch(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images ``(N, C, s, s)``, targets ``(N, s, s)`` of −1…K−1, weights ``(N, s, s)``.

        Quarter turns, a flip, gain within 5 % and an offset within 0.1 standard deviations.
        """
        stack = torch.stack([self._one() for _ in range(count)])
        shape = (count, 1, 1, 1)
        drawn = self.rng.uniform(0.95, 1.05, shape), self.rng.uniform(-0.1, 0.1, shape)
        gain, offset = (torch.as_tensor(d, dtype=torch.float32).to(self.device) for d in drawn)
        return stack[:, :-2] * gain + offset, stack[:, -2].long() - 1, stack[:, -1]


@dataclass
class CropStore:
    """Keeps the images of one tune for the next, so that a stroke rewrites labels only.

    Give the same store to each :func:`~limsup_widgets.learn.tune.tune_steps` of a case. It holds
    memory on the device of the last tune until it is dropped.
    """

    sampler: CropSampler | None = None
