"""Learning where each case has masks of some organs only.

In a case that was labelled for the liver alone, a pixel outside its mask is *not liver*. It may
well be spleen. Cross-entropy with "background" teaches the opposite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.losses import IGNORED

BACKGROUND = 0


def allowed_classes(targets: Tensor, known: Tensor) -> Tensor:
    """Which classes a pixel may have, given what was labelled in its case.

    Parameters
    ----------
    targets
        ``(N, H, W)`` integers: 0 outside all masks of the case, 1…K−1 inside one, −1 unread.
    known
        ``(N, K)`` bool: which classes were labelled in a case. Column 0, the background, is not
        used: it may stand wherever no mask is.

    Returns
    -------
    Tensor
        ``(N, K, H, W)`` bool. One class inside a mask; outside, the background and every organ
        that nobody labelled; all of them where the target is −1.

    Raises
    ------
    LimsupError
        If shapes do not fit or a target belongs to a class that the case does not know.

    Examples
    --------
    >>> targets = torch.tensor([[[0, 1, -1]]])
    >>> known = torch.tensor([[False, True, False]])
    >>> allowed_classes(targets, known)[0, :, 0].int().T.tolist()
    [[1, 0, 1], [0, 1, 0], [1, 1, 1]]
    """
    _check(targets, known)
    classes = known.shape[1]
    outside = ~known
    outside[:, BACKGROUND] = True
    inside = torch.nn.functional.one_hot(targets.clamp_min(0), classes).movedim(-1, 1).bool()
    labelled = (targets > BACKGROUND)[:, None]
    allowed = torch.where(labelled, inside, outside[:, :, None, None])
    return allowed | (targets == IGNORED)[:, None]


def marginal_cross_entropy(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    r"""Minus the logarithm of the probability of all classes that a pixel may have, averaged.

    .. math:: L = -\tfrac{1}{|P|}\sum_{p\in P} \log \sum_{c \in A(p)} s^{p,c}

    With every organ known this is cross-entropy; with none, it is 0.

    Parameters
    ----------
    logits
        ``(N, K, H, W)``.
    targets, known
        As in :func:`allowed_classes`.

    Returns
    -------
    Tensor
        A scalar, averaged over the pixels whose target is not −1; 0 if there are none.

    Examples
    --------
    >>> logits = torch.zeros(1, 4, 1, 1)
    >>> liver_only = torch.tensor([[False, True, False, False]])
    >>> loss = marginal_cross_entropy(logits, torch.tensor([[[0]]]), liver_only)
    >>> round(loss.exp().item(), 3)
    1.333
    """
    if logits.shape[:2] != known.shape or logits.shape[2:] != targets.shape[1:]:
        raise LimsupError("logits", got=tuple(logits.shape), expected="(N, K, H, W) as the targets")
    allowed = allowed_classes(targets, known)
    kept = logits.masked_fill(~allowed, float("-inf")).logsumexp(1)
    loss = logits.logsumexp(1) - kept
    read = targets != IGNORED
    return (loss * read).sum() / read.sum().clamp_min(1)


def _check(targets: Tensor, known: Tensor) -> None:
    if targets.ndim != 3 or known.ndim != 2 or len(targets) != len(known):
        raise LimsupError(
            "partial labels",
            got=f"targets {tuple(targets.shape)}, known {tuple(known.shape)}",
            expected="(N, H, W) and (N, K)",
        )
    for n in range(len(targets)):
        stray = [c for c in targets[n].unique().tolist() if c > 0 and not known[n, int(c)]]
        if stray:
            raise LimsupError(
                f"case {n}", got=f"pixels of classes {stray}", expected="known classes only"
            )
