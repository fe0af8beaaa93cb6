"""Seconds of several ways, taken in turn in one run, so that a busy moment hits all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

Way = Callable[[], object]
Seconds = dict[str, list[float]]


def interleaved(
    ways: Mapping[str, Way],
    rounds: int = 5,
    device: str = "cpu",
    warm: Mapping[str, Way] | None = None,
    fewer: Mapping[str, int] | None = None,
) -> Seconds:
    """Seconds of each way in each round.

    Every way runs once unmeasured (or its cheaper stand-in in ``warm``), then all run in each
    round, in turning order, so that none always follows the same neighbour. Ways named in ``fewer``
    take part in so many first rounds only.
    """
    for way in (ways if warm is None else warm).values():
        way()
    seconds: Seconds = {name: [] for name in ways}
    for number in range(rounds):
        gc.collect()
        taking = [name for name in ways if number < (fewer or {}).get(name, rounds)]
        for name in turning(taking, number):
            with clock(device) as spent:
                ways[name]()
            seconds[name] += spent
    return seconds


class Laps:
    """Seconds since the start, noted under the name of each stage as it is reached."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        """Begin again here: what came before was preparation."""
        settle(self.device)
        self.start = time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Note that ``stage`` is reached."""
        settle(self.device)
        self.seconds[stage] = time.perf_counter() - self.start


def staged(
    ways: Mapping[str, Callable[[Laps], object]],
    rounds: int = 5,
    device: str = "cpu",
    warm: Mapping[str, Callable[[Laps], object]] | None = None,
) -> dict[str, Seconds]:
    """Seconds from the start to each stage: way → stage → one number a round.

    A way calls the ``Laps`` that it is given: ``laps.restart()`` after preparations, then
    ``laps("first answer")``, ``laps("tuned")``. Every way runs once unmeasured, or its cheaper
    stand-in in ``warm``.
    """
    for way in (ways if warm is None else warm).values():
        way(Laps(device))
    found: dict[str, Seconds] = {name: {} for name in ways}
    for number in range(rounds):
        gc.collect()
        for name in turning(list(ways), number):
            laps = Laps(device)
            ways[name](laps)
            for stage, value in laps.seconds.items():
                found[name].setdefault(stage, []).append(value)
    return found


def turning(names: Sequence[str], number: int) -> list[str]:
    """The names in order, backwards in every second round."""
    return list(names)[:: -1 if number % 2 else 1]


@contextmanager
def clock(device: str = "cpu") -> Iterator[list[float]]:
    """Seconds of the block, the accelerator's queue included."""
    spent: list[float] = []
    settle(device)
    start = time.perf_counter()
    yield spent
    settle(device)
    spent.append(time.perf_counter() - start)


def settle(device: str) -> None:
    """Wait until the accelerator has done what it was asked."""
    if device == "cuda":
        torch.cuda.synchronize()


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Theirs by ours, round by round, as long as both took part.

    Examples
    --------
    >>> ratios([4.0, 9.0], [2.0, 3.0])
    [2.0, 3.0]
    """
    return [a / b for a, b in zip(theirs, ours, strict=False)]
