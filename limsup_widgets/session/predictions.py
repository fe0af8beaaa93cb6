"""Results of networks on images, computed once and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.device import best_device, torch_threads
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.moments import Moments, mc_moments
from limsup_widgets.learn.tiles import Read
from limsup_widgets.session.case import Case
from limsup_widgets.session.networks import Network

R = TypeVar("R")


@contextmanager
def on_best_device(module: nn.Module) -> Iterator[nn.Module]:
    """Lend ``module`` to the accelerator, if there is one, and free its memory afterwards."""
    device = best_device()
    try:
        yield module.to(device)
    finally:
        if device.type != "cpu":
            module.cpu()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def deterministic_moments(prob: NDArray[np.float32]) -> Moments:
    """Moments of a network without dropout: one pass, nothing epistemic."""
    return Moments(prob, prob * (1 - prob), np.zeros_like(prob), 1)


class Predictions:
    """Cached results; a key holds the network's checksum, so none can be stale.

    Parameters
    ----------
    case, normalizer
        The images, and how they become inputs.
    passes, seed
        Of Monte Carlo dropout.
    threads
        CPU threads of torch.
    room
        How many bytes to keep.
    """

    def __init__(
        self,
        case: Case,
        normalizer: Normalizer,
        passes: int = 20,
        seed: int = 0,
        threads: int = 1,
        room: int = 1 << 30,
    ) -> None:
        self.case, self.normalizer = case, normalizer
        self.passes, self.seed, self.threads, self.room = passes, seed, threads, room
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def input(self, image: int) -> Tensor:
        """Normalised image ``(C, H, W)``."""
        return self.normalizer(self.case.images[image].array)

    def reader(self, image: int) -> Read:
        """What gives the normalised input ``(C, h, w)`` of a box of an image."""
        source, normalizer = self.case.images[image], self.normalizer
        return lambda box: normalizer(source.read(box))

    def prob(self, network: Network, image: int) -> NDArray[np.float32]:
        """Probabilities ``(K, H, W)``, read-only; dropout is off."""
        key = ("prob", network.sha256, image)
        return self._get(key, lambda: self._run(network, image, predict))

    def moments(self, network: Network, image: int) -> Moments:
        """Mean and both kinds of uncertainty; one pass where the network has no dropout."""
        if not has_dropout(network.module):
            return deterministic_moments(self.prob(network, image))
        key = self._moments_key(network.sha256, image)
        return self._get(key, lambda: self._run(network, image, self._moments))

    def keep_prob(self, sha256: str, image: int, prob: NDArray[np.float32]) -> None:
        """Take over what was computed elsewhere."""
        self._get(("prob", sha256, image), lambda: prob)

    def keep_moments(self, sha256: str, image: int, moments: Moments) -> None:
        """Take over what was computed elsewhere, if it is of all passes."""
        if moments.passes == self.passes:
            self._get(self._moments_key(sha256, image), lambda: moments)

    def known_prob(self, sha256: str, image: int) -> NDArray[np.float32] | None:
        """Probabilities if they are there; nothing is computed."""
        kept = self._kept.get(("prob", sha256, image))
        return kept[0] if kept else None

    def known_moments(self, sha256: str, image: int) -> Moments | None:
        """Moments if they are there; nothing is computed."""
        kept = self._kept.get(self._moments_key(sha256, image))
        return kept[0] if kept else None

    def _moments_key(self, sha256: str, image: int) -> Hashable:
        return ("moments", sha256, image, self.passes, self.seed)

    def _moments(self, module: nn.Module, x: Tensor) -> Moments:
        return mc_moments(module, x, self.passes, self.seed)

    def _run(self, network: Network, image: int, work: Callable[[nn.Module, Tensor], R]) -> R:
        if not network.ready:
            raise LimsupError(
                "prediction",
                got="a network for other classes",
                do="scribble two classes and tune: the first tune adapts it",
            )
        with torch_threads(self.threads):
            try:
                with on_best_device(network.module) as module:
                    return work(module, self.input(image))
            except torch.OutOfMemoryError:
                pass  # The accelerator is full; ordinary memory is larger.
            return work(network.module, self.input(image))

    def _get(self, key: Hashable, make: Callable[[], R]) -> R:
        if key not in self._kept:
            made = make()
            self._kept[key] = (made, _freeze(made))
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self.room:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key][0]


def _freeze(made: Any) -> int:
    """Make the arrays of a result read-only, as they are shared; their bytes."""
    arrays = [made] if isinstance(made, np.ndarray) else [made.mean, made.aleatoric, made.epistemic]
    for array in arrays:
        array.setflags(write=False)
    return sum(array.nbytes for array in arrays)
