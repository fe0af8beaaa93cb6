"""Results of networks on images, computed once and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.device import best_device, torch_threads
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.moments import Moments, mc_moments
from limsup_widgets.learn.tiles import Box, Read, moments_box, predict_box, tiling_of
from limsup_widgets.session.case import Case
from limsup_widgets.session.covered import predicted_tiles
from limsup_widgets.session.gathering import Gathering
from limsup_widgets.session.networks import Network
from limsup_widgets.session.screen import tiles

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

    def reader(self, image: int) -> Read:
        """What gives the normalised input ``(C, h, w)`` of a box of an image."""
        source, normalizer = self.case.images[image], self.normalizer
        return lambda box: normalizer(source.read(box))

    def prob(self, network: Network, image: int, window: Box | None = None) -> NDArray[np.float32]:
        """Probabilities ``(K, h, w)`` of a window, read-only; dropout is off.

        A window that is not the whole image is computed tile by tile.
        """
        box = self._box(image, window)
        key = ("prob", network.sha256, image, box)
        return self._get(key, lambda: self._run(network, partial(self._prob, image, box)))

    def moments(self, network: Network, image: int, window: Box | None = None) -> Moments:
        """Mean and both kinds of uncertainty; one pass where the network has no dropout."""
        if not has_dropout(network.module):
            return deterministic_moments(self.prob(network, image, window))
        box = self._box(image, window)
        key = self._moments_key(network.sha256, image, box)
        return self._get(key, lambda: self._run(network, partial(self._moments, image, box)))

    def tiles(
        self,
        network: Network,
        image: int,
        boxes: Sequence[Box],
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
        """Codes of tiles of an image, one by one; 0 from a network for other classes."""
        if not network.ready:
            for top, left, bottom, right in boxes:
                yield (top, left, bottom, right), np.zeros((bottom - top, right - left), np.uint8)
            return
        shape, read = self.case.images[image].shape, self.reader(image)
        with torch_threads(self.threads), on_best_device(network.module) as module:
            yield from predicted_tiles(module, read, shape, boxes, progress)

    def keep_prob(
        self, sha256: str, image: int, prob: NDArray[np.float32], window: Box | None = None
    ) -> None:
        """Take over what was computed elsewhere."""
        self._get(("prob", sha256, image, self._box(image, window)), lambda: prob)

    def keep_moments(
        self, sha256: str, image: int, moments: Moments, window: Box | None = None
    ) -> None:
        """Take over what was computed elsewhere, if it is of all passes."""
        if moments.passes == self.passes:
            self._get(self._moments_key(sha256, image, self._box(image, window)), lambda: moments)

    def known_prob(
        self, sha256: str, image: int, window: Box | None = None
    ) -> NDArray[np.float32] | None:
        """Probabilities if they are there; nothing is computed."""
        kept = self._kept.get(("prob", sha256, image, self._box(image, window)))
        return kept[0] if kept else None

    def known_moments(self, sha256: str, image: int, window: Box | None = None) -> Moments | None:
        """Moments if they are there; nothing is computed."""
        kept = self._kept.get(self._moments_key(sha256, image, self._box(image, window)))
        return kept[0] if kept else None

    def _box(self, image: int, window: Box | None) -> Box:
        return window or (0, 0, *self.case.images[image].shape)

    def _moments_key(self, sha256: str, image: int, box: Box) -> Hashable:
        return ("moments", sha256, image, box, self.passes, self.seed)

    def _prob(self, image: int, box: Box, module: nn.Module) -> NDArray[np.float32]:
        shape, read = self.case.images[image].shape, self.reader(image)
        if box == (0, 0, *shape):
            return predict(module, read(box))
        halo = tiling_of(module, self.case.channels).halo
        parts = ((t, predict_box(module, read, shape, t, halo)) for t in tiles(shape, box))
        return _joined(box, ((tile, (part,)) for tile, part in parts))[0]

    def _moments(self, image: int, box: Box, module: nn.Module) -> Moments:
        shape, read = self.case.images[image].shape, self.reader(image)
        how = self.passes, self.seed
        if box == (0, 0, *shape):
            return mc_moments(module, read(box), *how)
        halo = tiling_of(module, self.case.channels, passes=True).halo
        parts = ((t, moments_box(module, read, shape, t, halo, *how)) for t in tiles(shape, box))
        mean, aleatoric, epistemic = _joined(box, ((tile, maps_of(part)) for tile, part in parts))
        return Moments(mean, aleatoric, epistemic, self.passes)

    def _run(self, network: Network, work: Callable[[nn.Module], R]) -> R:
        if not network.ready:
            raise LimsupError(
                "prediction",
                got="a network for other classes",
                do="scribble two classes and tune: the first tune adapts it",
            )
        with torch_threads(self.threads):
            try:
                with on_best_device(network.module) as module:
                    return work(module)
            except torch.OutOfMemoryError:
                pass  # The accelerator is full; ordinary memory is larger.
            return work(network.module)

    def _get(self, key: Hashable, make: Callable[[], R]) -> R:
        if key not in self._kept:
            made = make()
            self._kept[key] = (made, _freeze(made))
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self.room:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key][0]


def maps_of(moments: Moments) -> tuple[NDArray[np.float32], ...]:
    """Mean, aleatoric and epistemic."""
    return moments.mean, moments.aleatoric, moments.epistemic


def _joined(
    window: Box, parts: Iterable[tuple[Box, tuple[NDArray[np.float32], ...]]]
) -> tuple[NDArray[np.float32], ...]:
    """Maps ``(K, h, w)`` of a window from those of the tiles that cover it."""
    gathering = Gathering(window)
    *_, found = (gathering.add(tile, maps) for tile, maps in parts)
    assert found is not None
    return found


def _freeze(made: Any) -> int:
    """Make the arrays of a result read-only, as they are shared; their bytes."""
    arrays = [made] if isinstance(made, np.ndarray) else maps_of(made)
    for array in arrays:
        array.setflags(write=False)
    return sum(array.nbytes for array in arrays)
