"""Area fractions, their spread over stochastic passes, and intervals that keep their promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.moments import shared_passes


def area_fractions(codes: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Share of the labelled pixels of ``codes`` (0…K) that each class covers, ``(K,)``.

    Examples
    --------
    >>> area_fractions(np.array([[1, 1, 2, 0]]), 2).round(3).tolist()
    [0.667, 0.333]
    """
    counts = np.bincount(codes.ravel(), minlength=classes + 1)[1 : classes + 1]
    return counts / max(1, counts.sum())


def mc_fractions(
    model: nn.Module, x: Tensor, passes: int = 20, seed: int = 0, soft: bool = False
) -> NDArray[np.float64]:
    """Area fractions of each class in each pass, ``(T, K)``.

    ``soft`` averages probabilities, else pixels are counted by their most probable class. The
    spread of these numbers is model noise only: under a shift of domain the error is bias, which
    no number of passes shows. Call it spread, not confidence.
    """
    rows = []
    for prob in shared_passes(model, x, passes, seed):
        k = prob.shape[0]
        if soft:
            rows.append(prob.flatten(1).mean(1).double().cpu().numpy())
        else:
            rows.append(area_fractions(prob.argmax(0).cpu().numpy() + 1, k))
    return np.array(rows)


def conformal_halfwidth(residuals: Sequence[float], coverage: float = 0.9) -> float:
    r"""Half-width that covers a new subject with probability at least ``coverage``.

    The :math:`\lceil (n+1)\,c \rceil`-th smallest absolute residual of n *other* subjects; infinite
    if n is too small to promise it. Valid for subjects exchangeable with those, under the recipe
    that gave the residuals, and for no others.

    Notes
    -----
    Source: split conformal prediction, Lei et al. 2018.

    Examples
    --------
    >>> conformal_halfwidth([0.01, -0.02, 0.03, 0.04], coverage=0.8)
    0.04
    >>> conformal_halfwidth([0.01, 0.02], coverage=0.9)
    inf
    """
    if not 0 < coverage < 1:
        raise LimsupError("coverage", got=coverage, expected="between 0 and 1")
    ordered = np.sort(np.abs(np.asarray(residuals, dtype=np.float64)))
    rank = int(np.ceil((len(ordered) + 1) * coverage - 1e-9))
    return float(ordered[rank - 1]) if rank <= len(ordered) else float("inf")
