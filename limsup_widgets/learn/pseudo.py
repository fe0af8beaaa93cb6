"""Pseudo-labels: which of its own predictions a network may learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.losses import IGNORED


def select_pseudo_labels(
    prob: Tensor, share: float, prior: Tensor | None = None, balanced: bool = True
) -> tuple[Tensor, Tensor]:
    r"""Keep the most confident predictions as labels, the same share of every class.

    .. math:: \hat y^q = \arg\max_c \frac{\pi^{q,c} s^{q,c}}{\tau_c}
              \quad\text{if that maximum is at least 1, else nothing}

    The threshold :math:`\tau_c` is the confidence at rank ``share`` among the pixels now predicted
    as c. A class that is predicted nowhere has no pixel to rank; its threshold is 1, so it gains
    nothing: balance is by prediction, not by truth.

    Parameters
    ----------
    prob
        ``(N, K, *S)`` probabilities, all pixels of all images ranked together.
    share
        Share of the pixels to keep, above 0, at most 1.
    prior
        Broadcastable to ``prob``: how probable a class is at a place. Weighted predictions are
        normalised over the classes, so that a threshold is a probability.
    balanced
        One threshold a class; else one for all, which is plain self-training.

    Returns
    -------
    targets, thresholds
        ``(N, *S)`` with −1 where nothing is kept, and ``(K,)``.

    Raises
    ------
    LimsupError
        If ``share`` is not in (0, 1] or ``prob`` has no class axis.

    Notes
    -----
    Source: Zou et al., class-balanced self-training, ECCV 2018, as written in the lecture of Ben
    Ayed and Dolz (seed 003) with :math:`e^{-w_c}=\tau_c`; the closed form for
    :math:`\hat y` is derived in chapter ws08.

    Examples
    --------
    >>> prob = torch.tensor([[[0.9, 0.8, 0.7, 0.4], [0.1, 0.2, 0.3, 0.6]]])
    >>> targets, thresholds = select_pseudo_labels(prob, 0.34)
    >>> targets.tolist(), [round(t, 2) for t in thresholds.tolist()]
    ([[0, -1, -1, 1]], [0.9, 0.6])
    """
    if not 0 < share <= 1:
        raise LimsupError("share of pseudo-labels", got=share, expected="above 0, at most 1")
    if prob.ndim < 2 or prob.shape[1] < 2:
        raise LimsupError("probabilities", got=tuple(prob.shape), expected="(N, K, ...), K ≥ 2")
    p = prob.detach()
    if prior is not None:
        p = p * prior
        p = p / p.sum(1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
    confidence, winner = p.max(1)
    if balanced:
        members = [confidence[winner == c] for c in range(p.shape[1])]
    else:
        members = [confidence.flatten()] * p.shape[1]
    tau = torch.stack([_rank(values, share) for values in members])
    ratio, chosen = (p / tau.reshape(1, -1, *[1] * (p.ndim - 2))).max(1)
    return torch.where(ratio >= 1, chosen, IGNORED), tau


def _rank(values: Tensor, share: float) -> Tensor:
    """The value that a ``share`` of them reaches; 1 if there are none."""
    if not values.numel():
        return values.new_ones(())
    count = max(1, round(share * values.numel()))
    return values.flatten().topk(count).values[-1]
