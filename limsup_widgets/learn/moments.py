"""Monte Carlo dropout: the moments of many stochastic passes, from two running sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.dropout import dropout_masks
from limsup_widgets.learn.infer import evaluating, prepare
from limsup_widgets.learn.passes import pass_batches

SHOWN = (2, 4, 8, 16, 32, 64, 128)
"""After how many passes a picture is worth showing again."""
LEAST = 4
"""Passes before a standard error is trusted."""


@dataclass(frozen=True)
class Moments:
    """Mean posterior and its uncertainty, each ``(K, H, W)`` float32.

    Attributes
    ----------
    mean
        Mean over passes, in [0, 1], sums to 1 over classes.
    aleatoric, epistemic
        Mean of p(1−p), and variance of p over passes; in [0, 1/4].
    passes
        T.
    """

    mean: NDArray[np.float32]
    aleatoric: NDArray[np.float32]
    epistemic: NDArray[np.float32]
    passes: int

    @property
    def total(self) -> NDArray[np.float32]:
        """Aleatoric plus epistemic, which is mean · (1 − mean), exactly."""
        return self.mean * (1 - self.mean)

    def kind(self, name: str) -> NDArray[np.float32]:
        """``"A"``, ``"E"`` or ``"V"`` summed over classes, ``(H, W)``; V is at most 1 − 1/K."""
        maps = {"A": self.aleatoric, "E": self.epistemic, "V": self.total}
        if name not in maps:
            raise LimsupError("uncertainty", got=name, expected="A, E or V")
        return maps[name].sum(0)


def mc_passes(model: nn.Module, x: Tensor, passes: int, seed: int = 0) -> Iterator[Tensor]:
    """Posteriors ``(K, H, W)`` of single passes, the whole network each time."""
    batch = prepare(model, x)
    for number in range(passes):
        with evaluating(model), dropout_masks(model, seed, [number]):
            prob = model(batch)[..., : x.shape[-2], : x.shape[-1]].softmax(1)[0]
        yield prob


def shared_passes(
    model: nn.Module, x: Tensor, passes: int, seed: int = 0, batch: int | None = None
) -> Iterator[Tensor]:
    """The same posteriors, with everything before the first dropout run once.

    See :func:`~limsup_widgets.learn.passes.pass_batches`.
    """
    for together in pass_batches(model, x, passes, seed, batch):
        yield from together


def moments_of(
    passes: Iterator[Tensor], progress: Callable[[int], object] | None = None
) -> Moments:
    """Mean, aleatoric and epistemic part from two running sums.

    Summed is what a pass differs by from the first one: these differences are small, so that
    single precision keeps their variance. ``progress`` is called with the number of passes done; an
    exception raised there ends the work.
    """
    *_, last = stream_moments(passes, shown=(), progress=progress)
    return last


def stream_moments(
    passes: Iterator[Tensor],
    shown: Collection[int] = SHOWN,
    tolerance: float = 0.0,
    progress: Callable[[int], object] | None = None,
) -> Iterator[Moments]:
    """Moments while they are refined, and at last those of all passes.

    Parameters
    ----------
    passes
        Posteriors ``(K, H, W)``.
    shown
        After how many passes to give the moments so far.
    tolerance
        End as soon as the standard error of the mean posterior, as root mean square over pixels
        and classes, is not above it; looked at from :data:`LEAST` passes on. 0: take all passes.
    progress
        As for :func:`moments_of`.

    Raises
    ------
    LimsupError
        There is no pass.

    Examples
    --------
    >>> maps = iter(torch.full((9, 2, 4, 4), 0.5))
    >>> [found.passes for found in stream_moments(maps)]
    [2, 4, 8, 9]
    >>> [found.passes for found in stream_moments(iter(torch.rand(99, 2, 8, 8)), tolerance=0.1)]
    [2, 4, 8, 9]
    """
    sums: Sums | None = None
    given = 0
    for prob in passes:
        if sums is None:
            sums = Sums(prob)
        else:
            sums.add(prob)
        if progress is not None:
            progress(sums.count)
        if tolerance and sums.count >= LEAST and sums.standard_error() <= tolerance:
            break
        if sums.count in shown:
            given = sums.count
            yield sums.moments()
    if sums is None:
        raise LimsupError("passes", got=0, expected="at least 1")
    if sums.count != given:
        yield sums.moments()


class Sums:
    """Σ(p − p₁) and Σ(p − p₁)² over passes, where p₁ is the first of them.

    Parameters
    ----------
    first
        Posterior ``(K, H, W)`` of the first pass.

    Attributes
    ----------
    count
        Number of passes so far.
    """

    def __init__(self, first: Tensor) -> None:
        self.count = 1
        self._first = first.to(torch.float32, copy=True)
        self._sum, self._square, self._difference = (
            torch.zeros_like(self._first) for _ in range(3)
        )

    def add(self, prob: Tensor) -> None:
        """Take one more pass ``(K, H, W)``."""
        torch.sub(prob.float(), self._first, out=self._difference)
        self._sum.add_(self._difference)
        self._square.addcmul_(self._difference, self._difference)
        self.count += 1

    def standard_error(self) -> float:
        """Of the mean posterior: root mean square over pixels and classes, in 0…1/2."""
        shift = self._sum / self.count
        variance = (self._square / self.count - shift * shift).mean()
        return math.sqrt(max(0.0, float(variance)) / max(1, self.count - 1))

    def moments(self) -> Moments:
        """Mean and both kinds of uncertainty of the passes so far."""
        shift = self._sum / self.count
        epistemic = (self._square / self.count - shift * shift).clamp_min_(0)
        mean = self._first + shift
        aleatoric = (mean * (1 - mean) - epistemic).clamp_min_(0)
        m, a, e = (part.cpu().numpy() for part in (mean, aleatoric, epistemic))
        return Moments(m, a, e, self.count)


def mc_moments(
    model: nn.Module,
    x: Tensor,
    passes: int = 20,
    seed: int = 0,
    shared: bool = True,
    batch: int | None = None,
    progress: Callable[[int], object] | None = None,
    tolerance: float = 0.0,
) -> Moments:
    r"""Posterior mean, aleatoric and epistemic uncertainty of ``x (C, H, W)``.

    With :math:`m_1=\frac1T\sum_t p_t` and :math:`m_2=\frac1T\sum_t p_t^2`: mean :math:`m_1`,
    aleatoric :math:`m_1-m_2`, epistemic :math:`m_2-m_1^2`.

    Parameters
    ----------
    model
        A module with at least one live dropout; it comes back in the mode in which it was.
    passes, seed
        T, and the seed of the masks.
    shared
        Run what lies before the first dropout once (same numbers, less work).
    batch
        Passes computed together; by default as many as suit the machine.
    progress
        Called with the number of passes done.
    tolerance
        Fewer passes will do once the standard error of the mean is not above it, see
        :func:`stream_moments`.

    Raises
    ------
    LimsupError
        The model has no live dropout, or ``passes`` is below 1.

    Notes
    -----
    Source: Gal and Ghahramani 2016; decomposition as in the talk of G. Boracchi (seed 000).
    """
    run = (
        shared_passes(model, x, passes, seed, batch)
        if shared
        else mc_passes(model, x, passes, seed)
    )
    *_, last = stream_moments(run, (), tolerance, progress)
    return last
