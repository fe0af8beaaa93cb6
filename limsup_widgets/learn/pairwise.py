r"""Pairwise losses: similar pixels should get similar probabilities.

Conventions, the same in every function:

- The energy is a sum over *ordered* pairs :math:`p \ne q`, as in :math:`\sum_{p,q}`. A shift names
  each neighbour pair once and so stands for two ordered pairs. There is no diagonal.
- Quadratic: :math:`\tfrac12\sum w_{pq}\|s^p-s^q\|^2`. With this half, quadratic and Potts agree on
  one-hot vectors; without it the quadratic is twice the Potts model.
- Quadratic, Potts and Gini are divided by :math:`\sum w_{pq}` of the image, so that a balance of
  0.1 to 1 means the same for every stencil, bandwidth and image size. The normalised cut is a
  ratio already.
- Weights carry no gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from limsup_widgets.errors import LimsupError

Shift = tuple[int, ...]
Pair = tuple[Tensor, Tensor, Tensor]
STENCILS = ("grid", "dilated", "window")
KINDS = ("quadratic", "potts", "gini", "normalised_cut")
DISTANCES = (1, 2, 4, 8)


def stencil(kind: str = "dilated", dims: int = 2, reach: int = 8) -> list[Shift]:
    """Shifts that name each pair of neighbours once: their first entry that is not 0 is positive.

    Parameters
    ----------
    kind
        ``grid``: all direct neighbours, diagonals included (4 shifts in 2D, 13 in 3D).
        ``dilated``: the same directions at distances 1, 2, 4, 8, up to ``reach``.
        ``window``: every shift up to ``reach`` along each axis. With ``reach`` one less than the
        longest side these are all pairs of the image: the dense form.
    dims
        2 or 3.
    reach
        Longest step along an axis, in pixels; not used by ``grid``.

    Raises
    ------
    LimsupError
        If ``kind`` is unknown or ``reach`` is below 1.

    Examples
    --------
    >>> stencil("grid")
    [(0, 1), (1, -1), (1, 0), (1, 1)]
    >>> len(stencil("dilated")), len(stencil("dilated", dims=3)), len(stencil("window", reach=2))
    (16, 52, 12)
    """
    if kind not in STENCILS:
        raise LimsupError("stencil", got=repr(kind), expected=f"one of {', '.join(STENCILS)}")
    if reach < 1:
        raise LimsupError("reach", got=reach, expected="1 or more")
    if kind == "window":
        return _half(reach, dims)
    far = (1,) if kind == "grid" else tuple(d for d in DISTANCES if d <= reach)
    return [tuple(d * step for step in shift) for d in far for shift in _half(1, dims)]


def edge_weights(image: Tensor, shift: Shift, sigma_xy: float, sigma_i: float) -> Tensor:
    r"""Weight of each pair of pixels that lie ``shift`` apart.

    .. math:: w_{pq} = \exp(-\|x_p-x_q\|^2/2\sigma_{xy}^2 - \|I_p-I_q\|^2/2\sigma_I^2)

    Parameters
    ----------
    image
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
    shift
        Offset from p to q along the last axes.
    sigma_xy, sigma_i
        Bandwidths in pixels and in grey values of ``image``; ``inf`` switches a factor off.

    Returns
    -------
    Tensor
        ``(N, H - |shift|, W - |shift|)``, without gradient, in ``image``'s order from the top left.

    Raises
    ------
    LimsupError
        If a bandwidth is not positive.
    """
    _check_bandwidths(sigma_xy, sigma_i)
    with torch.no_grad():
        p, q = apart(image, shift)
        near = sum(step**2 for step in shift) / (2 * sigma_xy**2)
        return torch.exp(-near - (p - q).square().sum(1) / (2 * sigma_i**2))


def intensity_bandwidth(image: Tensor, factor: float = 1.5) -> float:
    """``factor`` times the median absolute difference of direct neighbours: a sigma_i from noise.

    ``image (N, C, H, W)``; the median runs over everything. The rule is ours.
    """
    near = stencil("grid", image.ndim - 2)
    steps = [(p - q).abs().flatten() for p, q in (apart(image, shift) for shift in near)]
    return float(factor * torch.cat(steps).median())


def pairwise_loss(
    prob: Tensor,
    image: Tensor,
    kind: str = "potts",
    stencil: str | Sequence[Shift] = "dilated",
    sigma_xy: float = 8.0,
    sigma_i: float = 0.1,
) -> Tensor:
    r"""Pairwise energy of a soft segmentation, comparable between stencils and image sizes.

    With sums over ordered pairs, degree :math:`d_p=\sum_q w_{pq}` and class vectors
    :math:`S^c`:

    .. math::
        \text{quadratic} &= \tfrac12\textstyle\sum w_{pq}\|s^p-s^q\|^2 / \sum w_{pq} \\
        \text{potts} &= \textstyle\sum w_{pq}(1-s^p\cdot s^q) / \sum w_{pq} \\
        \text{gini} &= \textstyle\sum_p d_p(1-\|s^p\|^2) / \sum w_{pq} \\
        \text{normalised\_cut} &= \textstyle\sum_c {S^c}^\top W(1-S^c) / d^\top S^c

    and potts = quadratic + gini, in value and gradient.

    Parameters
    ----------
    prob
        Probabilities ``(N, K, H, W)`` or ``(N, K, D, H, W)`` after the softmax, any K.
    image
        ``(N, C, H, W)`` of the same pixels, on the scale of ``sigma_i``.
    kind
        ``quadratic`` (convex, content with grey maps), ``potts`` (bilinear; sharpens),
        ``gini`` (the difference of these two) or ``normalised_cut``.
    stencil
        Name for :func:`stencil`, or own shifts.
    sigma_xy, sigma_i
        Bandwidths, see :func:`edge_weights`.

    Returns
    -------
    Tensor
        A scalar, mean over the N images. Within 0 and 1 but for ``normalised_cut``, at most K,
        where a class without mass adds 0.

    Raises
    ------
    LimsupError
        If ``prob`` is not a probability (logits, say) or does not fit ``image``.

    Notes
    -----
    Source: seed 003, "Laplacian (and CRFs)" (quadratic); the bilinear form is the usual one of
    regularised losses (Tang et al., ECCV 2018), the cut is Shi and Malik's, 2000.

    Examples
    --------
    >>> grey, image = torch.full((1, 2, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    >>> [pairwise_loss(grey, image, kind).item() for kind in KINDS]
    [0.0, 0.5, 0.5, 1.0]
    """
    _check(prob, image, kind)
    return _energy(shifted_pairs(prob, image, stencil, sigma_xy, sigma_i), kind)


def sampled_pairwise_loss(
    prob: Tensor,
    image: Tensor,
    kind: str = "potts",
    partners: int = 16,
    sigma_xy: float = 8.0,
    sigma_i: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The dense form, by chance: every pixel meets ``partners`` random others.

    Offsets are drawn with probability :math:`\propto\exp(-\|x_p-x_q\|^2/2\sigma_{xy}^2)`, so only
    the grey value factor remains as weight. Numerator and :math:`\sum w` are unbiased up to one
    common factor; their ratio tends to the dense one. Draw anew at every step.

    Parameters and errors as in :func:`pairwise_loss`.

    Returns
    -------
    Tensor
        A scalar.
    """
    _check(prob, image, kind)
    return _energy(sampled_pairs(prob, image, partners, sigma_xy, sigma_i, generator), kind)


def energy_density(
    prob: Tensor,
    image: Tensor,
    kind: str = "potts",
    stencil: str | Sequence[Shift] = "dilated",
    sigma_xy: float = 8.0,
    sigma_i: float = 0.1,
) -> Tensor:
    """Where the energy sits: ``(N, H, W)``, each image summing to its own :func:`pairwise_loss`.

    Both pixels of a pair get half. Not for ``normalised_cut``, which is no sum over pairs.
    """
    _check(prob, image, kind)
    if kind == "normalised_cut":
        raise LimsupError("energy density", got=kind, expected="quadratic, potts or gini")
    prob = prob.detach()
    density, total = torch.zeros_like(prob[:, 0]), prob.new_zeros(len(prob))
    for shift in _shifts(stencil, image.ndim - 2):
        w = edge_weights(image, shift, sigma_xy, sigma_i)
        share = w * _costs(*apart(prob, shift), kind) / 2
        for side in apart(density, shift):
            side += share
        total = total + w.flatten(1).sum(1)
    return density / _tall(total, density).clamp_min(1e-12)


def apart(x: Tensor, shift: Shift) -> tuple[Tensor, Tensor]:
    """Two views of ``x``: all p, and all q = p + ``shift``, along the last axes.

    Examples
    --------
    >>> [view.tolist() for view in apart(torch.arange(4), (1,))]
    [[0, 1, 2], [1, 2, 3]]
    """
    p, q = x, x
    for axis, step in enumerate(shift, start=x.ndim - len(shift)):
        length = max(x.shape[axis] - abs(step), 0)
        p = p.narrow(axis, min(max(-step, 0), x.shape[axis]), length)
        q = q.narrow(axis, min(max(step, 0), x.shape[axis]), length)
    return p, q


def shifted_pairs(
    prob: Tensor,
    image: Tensor,
    stencil: str | Sequence[Shift],
    sigma_xy: float,
    sigma_i: float,
) -> Iterator[Pair]:
    """For each shift the vectors of p and of q ``(N, K, M)`` and the weights ``(N, M)``."""
    for shift in _shifts(stencil, image.ndim - 2):
        p, q = apart(prob, shift)
        w = edge_weights(image, shift, sigma_xy, sigma_i)
        yield p.flatten(2), q.flatten(2), w.flatten(1)


def sampled_pairs(
    prob: Tensor,
    image: Tensor,
    partners: int,
    sigma_xy: float,
    sigma_i: float,
    generator: torch.Generator | None = None,
) -> Iterator[Pair]:
    """For each of ``partners`` draws the pairs of all pixels, as :func:`shifted_pairs` does.

    A pair that leaves the image, or of a pixel with itself, has weight 0.
    """
    _check_bandwidths(sigma_xy, sigma_i)
    shape = image.shape[2:]
    here = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij")).flatten(1)
    p, colours = prob.flatten(2), image.flatten(2)
    for _ in range(partners):
        there = here + torch.stack([_offsets(n, here.shape[1], sigma_xy, generator) for n in shape])
        sizes = torch.tensor(shape)[:, None]
        valid = ((there >= 0) & (there < sizes)).all(0) & (there != here).any(0)
        index = torch.where(valid, _flat(there, shape), 0).to(prob.device)
        gap = (colours - colours[:, :, index]).square().sum(1)
        yield p, p[:, :, index], (torch.exp(-gap / (2 * sigma_i**2)) * valid.to(gap)).detach()


def _half(reach: int, dims: int) -> list[Shift]:
    """Half of all steps up to ``reach``: one of each pair of opposite ones."""
    steps = product(range(-reach, reach + 1), repeat=dims)
    return [shift for shift in steps if shift > (0,) * dims]


def _shifts(kind: str | Sequence[Shift], dims: int) -> Sequence[Shift]:
    return stencil(kind, dims) if isinstance(kind, str) else kind


def _energy(pairs: Iterable[Pair], kind: str) -> Tensor:
    """Mean over images of the energy of all pairs."""
    if kind == "normalised_cut":
        return _cut(pairs)
    sums = [((w * _costs(p, q, kind)).sum(1), w.sum(1)) for p, q, w in pairs]
    energy, total = (torch.stack(part).sum(0) for part in zip(*sums, strict=True))
    return (energy / total.clamp_min(1e-12)).mean()


def _costs(p: Tensor, q: Tensor, kind: str) -> Tensor:
    """What one pair costs; vectors along axis 1."""
    if kind == "quadratic":
        return (p - q).square().sum(1) / 2
    if kind == "potts":
        return 1 - (p * q).sum(1)
    return 1 - (p.square() + q.square()).sum(1) / 2


def _cut(pairs: Iterable[Pair]) -> Tensor:
    """Sum over classes of what is cut off, divided by what the class holds, mean over images."""
    sums = []
    for p, q, w in pairs:
        w = w[:, None]
        sums.append(((w * (p * (1 - q) + q * (1 - p))).sum(2), (w * (p + q)).sum(2)))
    cut, held = (torch.stack(part).sum(0) for part in zip(*sums, strict=True))
    return (cut / held.clamp_min(1e-12)).sum(1).mean()


def _offsets(size: int, count: int, sigma: float, generator: torch.Generator | None) -> Tensor:
    """Whole steps below ``size`` either way, with the weights of a Gaussian."""
    steps = torch.arange(1 - size, size)
    chances = torch.exp(-steps.double().square() / (2 * sigma**2))
    return steps[torch.multinomial(chances, count, replacement=True, generator=generator)]


def _flat(places: Tensor, shape: Sequence[int]) -> Tensor:
    """Row-major index of ``places (dims, M)``."""
    index = torch.zeros_like(places[0])
    for axis, size in zip(places, shape, strict=True):
        index = index * size + axis
    return index


def _tall(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _check_bandwidths(sigma_xy: float, sigma_i: float) -> None:
    if not (sigma_xy > 0 and sigma_i > 0):
        raise LimsupError("bandwidths", got=(sigma_xy, sigma_i), expected="positive numbers")


def _check(prob: Tensor, image: Tensor, kind: str) -> None:
    if kind not in KINDS:
        raise LimsupError("kind", got=repr(kind), expected=f"one of {', '.join(KINDS)}")
    if prob.shape[:1] + prob.shape[2:] != image.shape[:1] + image.shape[2:]:
        raise LimsupError(
            "pairwise loss",
            got=f"prob {tuple(prob.shape)} and image {tuple(image.shape)}",
            expected="(N, K, ...) and (N, C, ...) of the same pixels",
        )
    off = (prob.detach().sum(1) - 1).abs().max() > 1e-3
    if off or prob.detach().min() < -1e-6:
        raise LimsupError(
            "prob", got="values that are no probabilities", do="softmax over axis 1 first"
        )
