"""How sure predictions are, pixel by pixel and on average, and what being sure is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError

Kind = Literal["shannon", "min", "gini"]


def entropy_map(logits: Tensor, normalise: bool = False) -> Tensor:
    r"""Shannon entropy of the softmax at every point, :math:`-\sum_c s^c\log s^c`.

    Parameters
    ----------
    logits
        ``(N, K, *S)``, also ``(N, K)`` for points without a grid.
    normalise
        Divide by log K, so that the map lies in [0, 1].

    Returns
    -------
    Tensor
        ``(N, *S)`` in nats, in [0, log K].

    Notes
    -----
    Computed from log-softmax: log(s + ε) would bend the value and cut the gradient where s is
    small. Normalised, it is the entropy map of Vu et al. (ADVENT, CVPR 2019).

    Examples
    --------
    >>> entropy_map(torch.zeros(1, 2)), entropy_map(torch.zeros(1, 3), normalise=True)
    (tensor([0.6931]), tensor([1.]))
    """
    log_s = F.log_softmax(_checked(logits), 1)
    entropy = -(log_s.exp() * log_s).sum(1)
    return entropy / torch.log(torch.tensor(float(logits.shape[1]))) if normalise else entropy


def min_entropy_map(logits: Tensor) -> Tensor:
    r"""Rényi entropy of order ∞, :math:`-\log\max_c s^c`: cross-entropy against the own argmax.

    ``(N, K, *S)`` to ``(N, *S)`` in nats. At a tie the first class is taken, so the gradient is
    largest where nothing is known. It never exceeds :func:`entropy_map`.
    """
    return -F.log_softmax(_checked(logits), 1).max(1).values


def gini_map(logits: Tensor) -> Tensor:
    r"""Gini impurity, :math:`1-\sum_c (s^c)^2`, in [0, 1 − 1/K]; ``(N, K, *S)`` to ``(N, *S)``."""
    return 1 - _checked(logits).softmax(1).square().sum(1)


MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "shannon": entropy_map,
    "min": min_entropy_map,
    "gini": gini_map,
}


def confidence_loss(logits: Tensor, kind: Kind = "shannon", where: Tensor | None = None) -> Tensor:
    """Mean uncertainty of predictions; to minimise it is to become confident.

    Parameters
    ----------
    logits
        ``(N, K, *S)`` or ``(N, K)``.
    kind
        ``"shannon"`` (no force at a tie), ``"min"`` (largest force at a tie; hard self-training)
        or ``"gini"``.
    where
        Boolean or non-negative ``(N, *S)``: the points that count, such as unlabelled pixels.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, when no point counts.

    Raises
    ------
    LimsupError
        Unknown kind, or ``where`` of another shape.

    Notes
    -----
    Source: lecture of Ben Ayed and Dolz (seed 003), "Regularization: entropy"; Grandvalet and
    Bengio, NIPS 2005, for Shannon. The target must not be detached: the gradient of
    −Σ sg(s) log s is s − sg(s) = 0.

    Examples
    --------
    >>> logits = torch.tensor([[4.0, 1.0]]).log()
    >>> [round(confidence_loss(logits, kind).item(), 3) for kind in ("shannon", "min", "gini")]
    [0.5, 0.223, 0.32]
    """
    if kind not in MAPS:
        raise LimsupError("kind of confidence", got=kind, expected=" or ".join(MAPS))
    values = MAPS[kind](logits)
    if where is None:
        return values.mean()
    if where.shape != values.shape:
        raise LimsupError("where", got=tuple(where.shape), expected=tuple(values.shape))
    weight = where.to(values.dtype)
    return (weight * values).sum() / weight.sum().clamp_min(1e-12)


def mutual_information(logits: Tensor, per: Literal["image", "batch"] = "batch") -> Tensor:
    r"""Entropy of the mean prediction minus mean entropy of the predictions; to be *maximised*.

    .. math:: I = H(\hat p) - \tfrac1N\sum_p H(s^p), \qquad \hat p_c = \tfrac1N\sum_p s^{p,c}

    Parameters
    ----------
    logits
        ``(N, K, *S)``, or ``(N, K)`` with ``per="batch"``.
    per
        The set whose mean is taken: all points of the batch, or those of each image (then the
        information is averaged over images, which by concavity is never more).

    Returns
    -------
    Tensor
        A scalar in [0, log K] nats.

    Raises
    ------
    LimsupError
        Unknown ``per``, or single points with ``per="image"``.

    Notes
    -----
    Source: lecture of Ben Ayed and Dolz (seed 003); Gomes et al., NIPS 2010.

    Examples
    --------
    >>> mutual_information(torch.tensor([[99.0, 0.0], [0.0, 99.0]]))  # log 2
    tensor(0.6931)
    """
    if per not in ("image", "batch"):
        raise LimsupError("per", got=per, expected="image or batch")
    if per == "image" and logits.ndim == 2:
        raise LimsupError("per", got="image for single points", do="use per='batch'")
    log_s = F.log_softmax(_checked(logits), 1).reshape(*logits.shape[:2], -1)
    if per == "batch":
        log_s = log_s.movedim(1, 0).flatten(1)[None]
    # The mean is taken in log space: the log of a mean of tiny numbers keeps its gradient.
    log_marginal = log_s.logsumexp(-1) - torch.log(torch.tensor(float(log_s.shape[-1])))
    balance = -(log_marginal.exp() * log_marginal).sum(1)
    doubt = -(log_s.exp() * log_s).sum(1).mean(-1)
    return (balance - doubt).mean()


def expected_calibration_error(prob: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Mean gap between how sure the top class is and how often it is right (MONAI bins).

    Parameters
    ----------
    prob
        Probabilities ``(N, K, *S)`` or ``(N, K)``.
    targets
        ``(N, *S)`` integers 0…K−1; points with −1 are left out.
    bins
        Bins of equal width on [0, 1].

    Returns
    -------
    float
        In [0, 1]; nan if no point has a target.

    Notes
    -----
    Guo et al., ICML 2017. MONAI's ``CalibrationErrorMetric`` bins each class on its own, which
    counts the many sure background pixels again in every class; here the top class counts once.

    Examples
    --------
    >>> expected_calibration_error(torch.tensor([[0.9, 0.1]] * 10), torch.zeros(10).long())
    0.1
    """
    from monai.metrics.calibration import calibration_binning

    known = targets >= 0
    if not known.any():
        return float("nan")
    sure, top = prob.max(1)
    pair = (sure[known][None, None], (top == targets)[known][None, None].to(prob.dtype))
    confidence, accuracy, count = (t.double() for t in calibration_binning(*pair, num_bins=bins))
    gap = ((confidence - accuracy).abs() * count).nansum() / count.sum()
    return round(float(gap), 6)


def _checked(logits: Tensor) -> Tensor:
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise LimsupError(
            "logits", got=tuple(logits.shape), expected="(N, K, ...) with at least 2 classes"
        )
    return logits
