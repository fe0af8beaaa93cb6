"""Losses on partial labels and the weights of scribbled pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

IGNORED = -1


def partial_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Weighted cross-entropy over the labelled pixels only.

    .. math:: L = \sum_x w_x \, (-\log p_{y_x}(x)) \,/\, \sum_x w_x

    Division by the sum of weights keeps the step size independent of how much was scribbled.

    Parameters
    ----------
    logits
        ``(N, K, H, W)``.
    targets
        ``(N, H, W)`` integers, −1 where nothing is known, else 0…K−1.
    weights
        ``(N, H, W)`` non-negative, or none for 1 everywhere.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, when no labelled pixel has weight.

    Notes
    -----
    Source: talk of G. Boracchi (seed 000), "Scribble fine tuning"; the normalisation is ours.
    """
    known = targets != IGNORED
    w = known.to(logits.dtype) if weights is None else weights * known
    loss = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return (w * loss).sum() / w.sum().clamp_min(1e-12)


def soft_dice_loss(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice averaged over classes; pixels with target −1 are left out.

    ``logits (N, K, H, W)``, ``targets (N, H, W)``; sums run over batch and pixels.
    """
    known = (targets != IGNORED)[:, None]
    truth = F.one_hot(targets.clamp_min(0), logits.shape[1]).movedim(-1, 1) * known
    prob = logits.softmax(1) * known
    axes = (0, 2, 3)
    dice = (2 * (prob * truth).sum(axes) + smooth) / (prob.sum(axes) + truth.sum(axes) + smooth)
    return 1 - dice.mean()


def scribble_weights(
    labels: Sequence[NDArray[np.uint8]], classes: int, cap: float = 10.0
) -> NDArray[np.float32]:
    r"""Balancing weight of each class from how much of it was scribbled.

    .. math:: w_c = \min(|S| / C_c,\; K)

    ``|S|`` counts all scribbled pixels of the case, ``C_c`` those of class c. A class that was
    never scribbled has weight 0: it can only be lost.

    Parameters
    ----------
    labels
        Codes 0…K of every image of the case.
    classes, cap
        Number of classes, and the largest weight.

    Returns
    -------
    ndarray
        ``(classes,)``.

    Examples
    --------
    >>> scribble_weights([np.array([[1, 1, 1, 1, 2]])], 3).tolist()
    [1.25, 5.0, 0.0]
    """
    counts = sum(np.bincount(a.ravel(), minlength=classes + 1)[1:] for a in labels)
    counts = np.asarray(counts, dtype=np.float64)
    ratio = counts.sum() / np.maximum(counts, 1)
    return np.where(counts > 0, np.minimum(ratio, cap), 0).astype(np.float32)


def uncertainty_weights(
    mean: NDArray[np.floating],
    labels: NDArray[np.uint8],
    scale: float = 4.0,
    clip: float = 0.8,
) -> NDArray[np.float32]:
    r"""Weight of each scribbled pixel from the total uncertainty of the class scribbled there.

    :math:`w = s\,\bar p_y(1-\bar p_y)`, set to 1 where it exceeds ``clip``, 0 off the scribbles.

    Parameters
    ----------
    mean
        Mean posterior ``(K, H, W)`` of the untuned network.
    labels
        Codes ``(H, W)``.
    scale
        The talk prints no scale, and p(1−p) ≤ 1/4 can never exceed its threshold of 0.8; four maps
        it onto [0, 1]. ``scale=1`` is the rule as printed.
    clip
        Threshold above which a weight becomes 1.

    Notes
    -----
    Source: talk of G. Boracchi (seed 000), "Fine tuning using uncertainty estimates".
    """
    known = labels > 0
    rows, cols = np.nonzero(known)
    p = mean[labels[known].astype(int) - 1, rows, cols]
    w = scale * p * (1 - p)
    weights = np.zeros(labels.shape, np.float32)
    weights[known] = np.where(w > clip, 1.0, w)
    return weights


def class_weights(truths: Sequence[NDArray[Any]], classes: int) -> Tensor:
    """Square root of the inverse share of each class of dense codes 1…K, with mean 1."""
    counts = sum(np.bincount(t.ravel(), minlength=classes + 1)[1:] for t in truths)
    w = 1 / np.sqrt(np.maximum(np.asarray(counts, dtype=np.float64), 1))
    return torch.tensor(w / w.mean(), dtype=torch.float32)
