"""Size as supervision: soft sizes, and losses that hold them at a number or between two.

Everything is measured as a *proportion*, a share of the pixels: a penalty in pixels changes with
the image's size by its square.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from limsup_widgets.errors import LimsupError

Over = Literal["image", "batch"]
Bounded = Literal["l2", "l1", "kl", "barrier"]
Ratio = Literal["l2", "forward", "reverse", "mi"]

LOG_FLOOR = 1e-12
"""Smallest argument of a logarithm. Far below 1/N, so that an empty region keeps its gradient."""
PRIOR_FLOOR = 1e-4
"""Prediction-first KL is infinite for a prior of 0 or 1; the prior is kept this far inside."""


def proportions(logits: Tensor, over: Over = "image", inside: Tensor | None = None) -> Tensor:
    r"""Mean softmax of each class, :math:`\hat p_c=\frac1{|\Omega|}\sum_{x\in\Omega}s_c(x)`.

    Parameters
    ----------
    logits
        ``(N, K, H, W)``, or any number of axes behind K.
    over
        ``"image"``: one mean per image; ``"batch"``: one mean over all images together.
    inside
        ``(N, H, W)`` truth values or weights of the pixels that count (a body); default: all.

    Returns
    -------
    Tensor
        ``(N, K)``, or ``(1, K)`` over the batch; entries in [0, 1], rows sum to 1.

    Raises
    ------
    LimsupError
        ``over`` is unknown, or an image has no pixel inside.

    Examples
    --------
    >>> proportions(torch.zeros(2, 4, 8, 8)).tolist()[0]
    [0.25, 0.25, 0.25, 0.25]
    >>> proportions(torch.zeros(2, 4, 8, 8), over="batch").shape
    torch.Size([1, 4])
    """
    prob = logits.softmax(1).flatten(2)
    weight = torch.ones_like(prob[:, 0]) if inside is None else inside.flatten(1).to(prob)
    total, count = (prob * weight[:, None]).sum(2), weight.sum(1, keepdim=True)
    if over == "batch":
        total, count = total.sum(0, keepdim=True), count.sum(0, keepdim=True)
    elif over != "image":
        raise LimsupError("over", got=over, expected="'image' or 'batch'")
    if bool((count <= 0).any()):
        raise LimsupError("inside", got="no pixel", expected="at least one for each mean")
    return total / count


def soft_size(logits: Tensor) -> Tensor:
    r"""Sum of the softmax of each class, :math:`V_c=\sum_x s_c(x)`, in pixels, ``(N, K)``."""
    return proportions(logits) * logits[0, 0].numel()


def size_penalty(
    p: Tensor,
    lower: Tensor | float,
    upper: Tensor | float,
    kind: Bounded = "l2",
    t: float = 5.0,
    relative: bool = False,
) -> Tensor:
    r"""Penalty of proportions outside ``[lower, upper]``, entry by entry.

    With :math:`q` the point of :math:`[a,b]` nearest to :math:`p`:

    - ``"l2"`` :math:`(p-q)^2`, which is :math:`(a-p)^2` below, :math:`(p-b)^2` above, 0 inside;
    - ``"l1"`` :math:`|p-q|`;
    - ``"kl"`` Bernoulli :math:`KL(q\,\|\,p)`: its pull grows like :math:`q/p` where p is empty;
    - ``"barrier"`` :math:`\tilde\psi_t(a-p)+\tilde\psi_t(p-b)`, see :func:`log_barrier`; it also
      acts inside, and pushes away from both ends.

    Equal bounds are an equality constraint. A bound of 0 below, or of 1 above, is no bound for
    all but the barrier, which leaves such a side out.

    Parameters
    ----------
    p
        Proportions in [0, 1], any shape: one column of :func:`proportions`, or all of it.
    lower, upper
        Bounds that broadcast to ``p``; proportions too.
    kind, t
        Form of the penalty, and the barrier's steepness (raise it while training).
    relative
        Measure a distance (not for ``"kl"``) in units of the bound it is from, so that small and
        large organs weigh alike. From a bound of 0 the unit stays the whole image.

    Returns
    -------
    Tensor
        The shape of ``p``.

    Raises
    ------
    LimsupError
        Bounds in the wrong order or outside [0, 1], or an unknown kind.

    Notes
    -----
    Kervadec et al., Constrained-CNN losses for weakly supervised segmentation, MedIA 2019 (there
    in pixels). Source: lecture of Ben Ayed and Dolz 2021 (seed 003).

    Examples
    --------
    >>> outside = size_penalty(torch.tensor([0.05, 0.15, 0.4]), 0.1, 0.2)
    >>> [round(value, 4) for value in outside.tolist()]
    [0.0025, 0.0, 0.04]
    """
    a, b = _bounds(p, lower, upper)
    nearest = torch.minimum(torch.maximum(p.detach(), a), b)
    if kind == "kl":
        return ratio_loss(p, nearest, "forward")
    unit = _units(nearest) if relative else torch.ones_like(p)
    if kind == "l2":
        return ((p - nearest) / unit) ** 2
    if kind == "l1":
        return (p - nearest).abs() / unit
    if kind == "barrier":
        low, high = (_units(a), _units(b)) if relative else (unit, unit)
        below, above = log_barrier((a - p) / low, t), log_barrier((p - b) / high, t)
        return torch.where(a > 0, below, 0.0) + torch.where(b < 1, above, 0.0)
    raise LimsupError("kind", got=kind, expected="'l2', 'l1', 'kl' or 'barrier'")


def log_barrier(z: Tensor, t: float = 5.0) -> Tensor:
    r"""Extended log-barrier of the constraint :math:`z\le0`, entry by entry.

    .. math:: \tilde\psi_t(z)=\begin{cases}-\frac1t\log(-z) & z\le-1/t^2\\
              tz-\frac1t\log\frac1{t^2}+\frac1t & \text{otherwise}\end{cases}

    Value and slope are continuous. Unlike the ordinary barrier it may start from a violated
    constraint, where its slope is t. As t grows it tends to 0 inside and to a wall at 0.

    Notes
    -----
    Kervadec et al., Constrained deep networks: Lagrangian optimization via log-barrier
    extensions, arXiv:1904.04205.

    Examples
    --------
    >>> log_barrier(torch.tensor([-1.0, 0.0]), t=1.0).tolist()
    [-0.0, 1.0]
    """
    if not t > 0:
        raise LimsupError("t", got=t, expected="a positive number")
    edge = 1 / t**2
    # The clamp keeps the unused branch finite: its gradient would turn the other's into NaN.
    inner = -z.clamp_max(-edge).neg().log() / t
    outer = t * z - math.log(edge) / t + 1 / t
    return torch.where(z <= -edge, inner, outer)


def ramp(step: int, steps: int, start: float = 5.0, end: float = 25.0) -> float:
    """A number growing linearly from ``start`` at step 0 to ``end`` at the last step.

    Examples
    --------
    >>> [ramp(k, 5) for k in range(5)]
    [5.0, 10.0, 15.0, 20.0, 25.0]
    """
    return start + (end - start) * min(step / max(steps - 1, 1), 1.0)


def ratio_loss(p: Tensor, q: Tensor | float, kind: Ratio = "forward") -> Tensor:
    r"""Distance of proportions ``p`` from a prior ``q``, one Bernoulli for each entry.

    - ``"forward"``, prior first: :math:`KL(q\|p)=q\log\frac qp+(1-q)\log\frac{1-q}{1-p}`;
    - ``"reverse"``, prediction first: :math:`KL(p\|q)`, with q kept in [1e-4, 1 − 1e-4];
    - ``"l2"``: :math:`(p-q)^2`;
    - ``"mi"``: :math:`\log2-H(p)`, which is ``"reverse"`` with :math:`q=\frac12` whatever ``q``
      is: the balance that mutual information asks for.

    All are 0 only at p = q (``"mi"``: at ½). For equal pixels the pull on a logit is
    :math:`\frac{dD}{dp}\,p(1-p)`. Only for ``"forward"``, where it is :math:`p-q`, does it not
    fade as p goes to 0: an empty region can come back.

    Parameters
    ----------
    p
        Proportions, any shape; sum the result over the classes that should count.
    q
        Prior that broadcasts to ``p``. Gradients flow into ``p`` only if ``q`` has none.
    kind
        See above.

    Raises
    ------
    LimsupError
        ``q`` outside [0, 1] or an unknown kind.

    Notes
    -----
    Sources: lecture of Ben Ayed and Dolz 2021 (seed 003): Gomes et al., NIPS 2010; Zhou et al.,
    ICCV 2019 (sum of ``"forward"`` over the classes).

    Examples
    --------
    >>> p = torch.tensor([1e-4], requires_grad=True)
    >>> slope, = torch.autograd.grad(ratio_loss(p, 0.1, "forward").sum(), p)
    >>> round((slope * p * (1 - p)).item(), 4)
    -0.0999
    """
    prior = torch.as_tensor(q, dtype=p.dtype, device=p.device)
    if bool(((prior < 0) | (prior > 1)).any()):
        raise LimsupError("prior q", got=prior.tolist(), expected="proportions in [0, 1]")
    if kind == "forward":
        return _bernoulli_kl(prior, p)
    if kind == "reverse":
        return _bernoulli_kl(p, prior.clamp(PRIOR_FLOOR, 1 - PRIOR_FLOOR))
    if kind == "l2":
        return (p - prior) ** 2
    if kind == "mi":
        return _bernoulli_kl(p, torch.full_like(p, 0.5))
    raise LimsupError("kind", got=kind, expected="'forward', 'reverse', 'l2' or 'mi'")


def _units(bound: Tensor) -> Tensor:
    return torch.where(bound > 0, bound, 1.0)


def _bernoulli_kl(first: Tensor, second: Tensor) -> Tensor:
    return _term(first, second) + _term(1 - first, 1 - second)


def _term(u: Tensor, v: Tensor) -> Tensor:
    """u log(u/v), 0 where u is 0; both logarithms from :data:`LOG_FLOOR` on."""
    return u * (u.clamp_min(LOG_FLOOR).log() - v.clamp_min(LOG_FLOOR).log())


def _bounds(p: Tensor, lower: Tensor | float, upper: Tensor | float) -> tuple[Tensor, Tensor]:
    a, b = (torch.as_tensor(v, dtype=p.dtype, device=p.device) for v in (lower, upper))
    if not bool(((a >= 0) & (b <= 1)).all()) or not bool((a <= b).all()):
        got = f"{a.tolist()} to {b.tolist()}"
        expected = "0 ≤ lower ≤ upper ≤ 1, as shares of the image"
        raise LimsupError("size bounds", got=got, expected=expected, do="divide pixels by H · W")
    return torch.broadcast_tensors(a.expand_as(p), b.expand_as(p))
