r"""The logarithm of a mean, by mini-batches: its dual form, and a prior on class proportions.

A prior on the *average* prediction of a data set puts a logarithm outside a sum over all images.
The gradient of one batch is then no unbiased estimate of the whole. For ``u > 0``

.. math:: -\log u = \max_{\nu < 0}\; \nu u + 1 + \log(-\nu), \qquad \nu^* = -1/u ,

and on the right the mean enters linearly: batches are unbiased as long as the dual stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.sizes import ratio_loss

FLOOR = 1e-6


def neg_log_bound(u: Tensor, nu: Tensor) -> Tensor:
    r"""Lower bound :math:`\nu u + 1 + \log(-\nu)` of :math:`-\log u`; tight at ``best_dual(u)``.

    Parameters
    ----------
    u, nu
        Means, positive, and duals, negative; any shapes that broadcast.

    Raises
    ------
    LimsupError
        If a dual is not negative: the bound has no meaning there.

    Examples
    --------
    >>> u = torch.tensor(0.13)
    >>> round(neg_log_bound(u, best_dual(u)).item(), 5), round(best_dual(u).item(), 3)
    (2.04022, -7.692)
    """
    if bool((nu >= 0).any()):
        raise LimsupError("dual", got=float(nu.max()), expected="below 0", do="use nu = -exp(a)")
    return nu * u + 1 + torch.log(-nu)


def best_dual(u: Tensor, floor: float = FLOOR) -> Tensor:
    """The dual :math:`-1/u` at which the bound is tight; ``u`` is kept above ``floor``."""
    return -1 / u.clamp_min(floor)


def proportion_kl(q: Tensor, p: Tensor, floor: float = FLOOR) -> Tensor:
    r"""Sum over classes of the Bernoulli divergence :math:`KL(q^c | \hat p^c)`, a scalar.

    Parameters
    ----------
    q, p
        Prior and predicted proportions ``(K,)``, in [0, 1]; ``p`` is kept ``floor`` away from both.

    Notes
    -----
    Source: Zhou et al., "Prior-aware Neural Network for Partially-Supervised Multi-Organ
    Segmentation", ICCV 2019, as expanded in the lecture of seed 003; here with its constant, so
    that the value is 0 at ``p = q``.

    Examples
    --------
    >>> q = torch.tensor([0.9, 0.1])
    >>> round(abs(proportion_kl(q, q).item()), 3), round(proportion_kl(q, 1 - q).item(), 3)
    (0.0, 3.516)
    """
    return ratio_loss(p.clamp(floor, 1 - floor), q, "forward").sum()


class DualProportion(nn.Module):
    r"""A prior on the mean prediction of a whole data set, one mini-batch at a time.

    Each logarithm of :func:`proportion_kl` is replaced by its bound, with a dual for
    :math:`\hat p^c` and one for :math:`1-\hat p^c`:

    .. math:: \sum_c q^c[\nu^c \hat p_B^c + \log(-\nu^c)]
              + (1-q^c)[\mu^c (1-\hat p_B^c) + \log(-\mu^c)] + \mathrm{const}

    Call it on a batch for the loss, and :meth:`update` after the step of the network.

    Parameters
    ----------
    q
        Prior proportions ``(K,)``, in (0, 1).
    decay
        Duals in closed form, :math:`\nu=-1/\bar p`, with :math:`\bar p` the moving average of the
        batches; 0.99 remembers about a hundred of them.
    step
        Gradient ascent instead, on :math:`a` with :math:`\nu=-e^a`, so that the sign cannot
        change: :math:`a \leftarrow a + \mathrm{step}\,(1-e^a \hat p_B)`. The factor :math:`q^c` of
        the gradient is left out, since rare classes would hardly move with it.

    Raises
    ------
    LimsupError
        If ``q`` leaves (0, 1), or ``decay`` or ``step`` its range.

    Notes
    -----
    Source: seed 003, "Stochastic primal-dual gradient (split terms updated independently)". It
    gives no rule for the step: both rules are ours and have the same fixed point.

    Examples
    --------
    >>> prior = DualProportion([0.9, 0.1])
    >>> round(prior(torch.tensor([0.9, 0.1])).item(), 6)
    0.0
    >>> prior.update(torch.tensor([0.5, 0.5]))
    >>> prior.nu.tolist()[1] > -10
    True
    """

    a: Tensor
    b: Tensor
    q: Tensor

    def __init__(
        self, q: Sequence[float] | Tensor, decay: float = 0.99, step: float | None = None
    ) -> None:
        super().__init__()
        prior = torch.as_tensor(q, dtype=torch.float32)
        _check(prior, decay, step)
        self.decay, self.step = decay, step
        self.register_buffer("q", prior)
        self.register_buffer("a", -prior.log())
        self.register_buffer("b", -torch.log1p(-prior))

    @property
    def nu(self) -> Tensor:
        """Duals ``(K,)`` of the proportions."""
        return -self.a.exp()

    @property
    def mu(self) -> Tensor:
        """Duals ``(K,)`` of one minus the proportions."""
        return -self.b.exp()

    def forward(self, p: Tensor) -> Tensor:
        """Lower bound of the divergence, a scalar; ``p (K,)`` is the mean over the batch."""
        q = self.q.to(p)
        inside = q * neg_log_bound(p, self.nu.to(p))
        outside = (1 - q) * neg_log_bound(1 - p, self.mu.to(p))
        return (inside + outside + torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q)).sum()

    @torch.no_grad()
    def update(self, p: Tensor) -> None:
        """Move the duals towards those of ``p (K,)``, the mean over the batch."""
        for dual, u in ((self.a, p), (self.b, 1 - p)):
            u = u.detach().to(dual).clamp_min(FLOOR)
            if self.step is not None:
                dual.add_(self.step * (1 - dual.exp() * u))
            else:
                dual.copy_(-torch.log(self.decay * (-dual).exp() + (1 - self.decay) * u))

    @torch.no_grad()
    def settle(self, p: Tensor) -> None:
        """Set the duals to the best ones for ``p (K,)``, the mean over the whole data set."""
        self.a.copy_(-torch.log(p.clamp_min(FLOOR)))
        self.b.copy_(-torch.log((1 - p).clamp_min(FLOOR)))


def _check(q: Tensor, decay: float, step: float | None) -> None:
    if q.ndim != 1 or bool(((q <= 0) | (q >= 1)).any()):
        raise LimsupError(
            "prior q", got=q.tolist(), expected="numbers between 0 and 1, one a class"
        )
    if not 0 <= decay < 1:
        raise LimsupError("decay", got=decay, expected="at least 0, below 1")
    if step is not None and not 0 < step < 1:
        raise LimsupError("step", got=step, expected="above 0, below 1")
