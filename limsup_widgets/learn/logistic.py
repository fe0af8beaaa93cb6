"""Multinomial logistic regression as a correction: the ridge pulls towards an answer given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RIDGE, BIAS_RIDGE = 30.0, 1.5
"""Penalties of a correction, for standardised features and the sum over pixels.

They are large, as the pixels of a stroke are anything but independent, and the intercept has one
too: the classes' shares among strokes are not their shares in the image."""
FREE_RIDGE = 10.0
"""Penalty where there is nothing to correct; ``C=0.1`` in scikit-learn's terms."""
ITERATIONS, TOLERANCE = 100, 1e-4

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fit, for features as they come.

    Attributes
    ----------
    coef, intercept
        ``(K, F)`` and ``(K,)``; an intercept of −∞ is that of a class nobody has shown.
    corrects
        Whether its logits are to be added to the answer given.
    """

    coef: Floats
    intercept: Floats
    corrects: bool

    def logits(self, xs: Floats, own: Floats) -> Floats:
        """``xs (n, F)`` and the answers given ``(n, K)`` → ``(n, K)``."""
        logits = xs @ self.coef.T + self.intercept
        return np.asarray(logits + own if self.corrects else logits)


def fit_logistic(
    xs: Floats,
    codes: NDArray[np.uint8],
    classes: int,
    own: Floats | None = None,
    scale: tuple[Floats, Floats] | None = None,
    start: Logistic | None = None,
) -> Logistic:
    r"""Minimise the cross-entropy of a softmax plus a ridge.

    .. math:: -\sum_i \log p_{y_i}(x_i) + \tfrac12 \lambda \lVert W \rVert^2
        + \tfrac12 \lambda_b \lVert b \rVert^2,\qquad
        p = \mathrm{softmax}(o_i + W z_i + b)

    with z the standardised features, o the answer given, or 0.

    Parameters
    ----------
    xs, codes
        Features ``(n, F)`` and codes 1…K ``(n,)``.
    classes
        K.
    own
        Answers given, as logits ``(n, K)``. With them all classes stay possible; without, only
        those in ``codes``.
    scale
        Mean and standard deviation ``(F,)`` to standardise by; those of ``xs`` by default. The
        larger the deviation given, the dearer the use of a feature.
    start
        Where to start from, the last fit as a rule.

    Notes
    -----
    All products are torch's: it keeps to the threads that the calling thread was given, while those
    of NumPy wait for each other where two threads of the program are busy.
    """
    mean, std = scale or (xs.mean(0), xs.std(0))
    std = np.where(std > 1e-6, std, 1)
    shown = np.arange(classes) if own is not None else np.unique(codes) - 1
    z = torch.from_numpy(np.column_stack([(xs - mean) / std, np.ones(len(xs))])).double()
    targets = torch.from_numpy(codes[:, None] - 1 == shown).double()
    ridge = torch.full((z.shape[1],), RIDGE if own is not None else FREE_RIDGE).double()
    ridge[-1] = BIAS_RIDGE if own is not None else 0
    given = torch.zeros(1) if own is None else torch.from_numpy(own)
    first = torch.from_numpy(_start(start, shown, std, mean, own is not None))
    w = _minimised(first, z, targets, ridge, given.double()).numpy()
    coef, intercept = np.zeros((classes, xs.shape[1])), np.full(classes, -np.inf)
    coef[shown] = w[:, :-1] / std
    intercept[shown] = w[:, -1] - coef[shown] @ mean
    return Logistic(coef, intercept, own is not None)


@torch.no_grad()
def _minimised(first: Tensor, z: Tensor, targets: Tensor, ridge: Tensor, given: Tensor) -> Tensor:
    """The best ``w (K, F + 1)`` from ``first`` on, by L-BFGS with the gradient written out."""
    w = first.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [w], max_iter=ITERATIONS, tolerance_grad=TOLERANCE, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        with torch.no_grad():  # The optimiser switches gradients on.
            logs = (given + z @ w.T).log_softmax(1)
            w.grad = ((logs.exp() - targets).T @ z + ridge * w) / len(z)
            return (0.5 * (ridge * w**2).sum() - (targets * logs).sum()) / len(z)

    optimiser.step(loss)
    return w.detach()


def _start(
    old: Logistic | None, shown: NDArray[Any], std: Floats, mean: Floats, corrects: bool
) -> Floats:
    """The old fit in the new standardised features ``(shown, F + 1)``; zeros for new classes."""
    first = np.zeros((len(shown), len(mean) + 1))
    if old is not None and old.corrects == corrects and len(old.coef) > max(shown):
        known = np.isfinite(old.intercept[shown])
        coef = old.coef[shown][known]
        first[known] = np.column_stack([coef * std, old.intercept[shown][known] + coef @ mean])
    return first
