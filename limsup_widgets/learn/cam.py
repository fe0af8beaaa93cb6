"""Where a classifier looks: CAM and Grad-CAM of any torch module, and pseudo-masks from them.

The module is run in eval mode on its own layers; its modes, hooks, gradients and ``requires_grad``
are afterwards what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError

Target = int | Sequence[int] | Tensor
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def class_activation_map(
    model: nn.Module,
    x: Tensor,
    layer: str | nn.Module,
    classifier: str | nn.Module,
    target: Target,
    difference: bool = True,
) -> Tensor:
    r"""Class activation map of a network that ends in global average pooling and a linear layer.

    .. math:: \mathrm{CAM}_c(x,y)=\sum_k w^c_k A_k(x,y), \qquad
              z_c=\mathrm{mean}_{x,y}\,\mathrm{CAM}_c+b_c

    Parameters
    ----------
    model
        Takes ``x``, returns logits ``(N, K)``.
    x
        ``(N, C, H, W)``, or with three spatial axes.
    layer
        The layer that gives the last feature maps A ``(N, D, h, w)``, or its name.
    classifier
        The linear layer (or 1×1 convolution) D → K, or its name.
    target
        Class 0…K−1, one for all images or one for each.
    difference
        With two logits, map the difference to the other logit: a softmax sees nothing else, and a
        vector added to both rows changes w¹ alone but not the classifier. False where the two
        logits are independent sigmoids. A single logit speaks for class 1, its negative for 0.

    Returns
    -------
    Tensor
        ``(N, h, w)`` at the resolution of A, in units of the logit; neither clipped nor scaled.

    Raises
    ------
    LimsupError
        If there is no such layer, or the logits are not mean CAM + bias: then the head is another
        one, and only :func:`grad_cam` applies.

    Notes
    -----
    Source: Zhou et al., Learning deep features for discriminative localization, CVPR 2016.

    Examples
    --------
    >>> head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), *head)
    >>> class_activation_map(net, torch.rand(5, 1, 16, 12), "0", "3", target=1).shape
    torch.Size([5, 8, 6])
    """
    linear = _module(model, classifier)
    with torch.no_grad(), _features(model, layer) as found:
        logits = model(x)
    maps = _single(found, layer)
    weight, bias = _rows(linear, maps.shape[1])
    choose = _chosen(_targets(target, len(x)), len(weight), difference).to(weight)
    cam = torch.einsum("nk,kd,nd...->n...", choose, weight, maps)
    mean = cam.flatten(1).mean(1) + choose @ bias
    if not torch.allclose(mean, _score(logits, choose), rtol=1e-3, atol=1e-3):
        raise LimsupError(
            "head of the network",
            got="logits that are not the mean of the map plus a bias",
            expected="global average pooling of this layer, then this classifier",
            do="name the layer before the pooling, or use grad_cam",
        )
    return cam


def grad_cam(
    model: nn.Module,
    x: Tensor,
    layer: str | nn.Module,
    target: Target,
    difference: bool = True,
) -> Tensor:
    r"""Grad-CAM: feature maps weighted by the mean gradient of the logit, negative values cut.

    .. math:: \mathrm{ReLU}\Big(\sum_k\alpha^c_kA_k\Big), \qquad
              \alpha^c_k=\tfrac1Z\sum_{xy}\partial z_c/\partial A_k(x,y)

    Any head will do. With global average pooling and a linear layer it is ReLU(CAM) / Z, with Z the
    number of positions h·w.

    Parameters
    ----------
    model, x, layer, target, difference
        As for :func:`class_activation_map`.

    Returns
    -------
    Tensor
        ``(N, h, w)`` ≥ 0 at the resolution of A.

    Notes
    -----
    Source: Selvaraju et al., Grad-CAM, ICCV 2017. Gradients are taken with respect to the feature
    maps alone, so frozen weights do not matter and no ``.grad`` is touched.
    """
    with torch.enable_grad(), _features(model, layer) as found:
        logits = model(x)
        maps = _single(found, layer)
        choose = _chosen(_targets(target, len(x)), _classes(logits), difference).to(logits)
        (slope,) = torch.autograd.grad(_score(logits, choose).sum(), maps)
    alpha = slope.flatten(2).mean(2)
    return torch.einsum("nd,nd...->n...", alpha, maps.detach()).relu()


def gated_map(cam: Tensor, tag: Tensor | Sequence[float], size: Sequence[int]) -> Tensor:
    """Upsample a map, cut negative values, divide by the image's maximum, multiply by the tag.

    Division by the maximum turns any map into one that reaches 1, that of an empty image too. Only
    the tag keeps an empty image empty, so it has to be given.

    Parameters
    ----------
    cam
        ``(N, h, w)``, of any sign.
    tag
        ``(N,)`` in [0, 1]: the image-level tag, or the predicted probability where none is known.
    size
        ``(H, W)`` of the image.

    Returns
    -------
    Tensor
        ``(N, H, W)`` in [0, 1]; 0 throughout where no value of the map is positive.

    Raises
    ------
    LimsupError
        If the tags are not one a map, or lie outside [0, 1].

    Examples
    --------
    >>> gated_map(torch.tensor([[[4.0, -1.0]], [[0.1, 0.0]]]), [1, 0], (1, 2)).tolist()
    [[[1.0, 0.0]], [[0.0, 0.0]]]
    """
    tags = torch.as_tensor(tag, dtype=cam.dtype, device=cam.device)
    if tags.shape != cam.shape[:1] or ((tags < 0) | (tags > 1)).any():
        raise LimsupError("tag", got=tag, expected=f"{len(cam)} values from 0 to 1, one a map")
    large = F.interpolate(cam[:, None], size=tuple(size), mode=MODES[cam.ndim - 1])[:, 0].relu()
    shape = (-1, *(1 for _ in large.shape[1:]))
    top = large.flatten(1).amax(1).reshape(shape)
    return large / top.clamp_min(1e-12) * tags.reshape(shape)


def pseudo_labels(values: Tensor, foreground: float = 0.3, background: float = 0.05) -> Tensor:
    """Codes of a gated map: 2 object, 1 background, 0 unlabelled in between.

    Parameters
    ----------
    values
        ``(N, H, W)`` from :func:`gated_map`.
    foreground, background
        Object from ``foreground`` on, background below ``background``. Both are to be fixed before
        any mask is seen: a threshold tuned on masks is supervision by masks.

    Returns
    -------
    Tensor
        uint8 ``(N, H, W)``.

    Raises
    ------
    LimsupError
        Unless 0 < background ≤ foreground ≤ 1.

    Examples
    --------
    >>> pseudo_labels(torch.tensor([[[0.0, 0.1, 0.9]]])).tolist()
    [[[1, 0, 2]]]
    """
    if not 0 < background <= foreground <= 1:
        raise LimsupError(
            "thresholds",
            got=f"foreground {foreground}, background {background}",
            expected="0 < background ≤ foreground ≤ 1",
        )
    return (2 * (values >= foreground) + (values < background)).to(torch.uint8)


@contextmanager
def _features(model: nn.Module, layer: str | nn.Module) -> Iterator[list[Tensor]]:
    """Run in eval mode and catch the layer's output as a leaf of its own graph."""
    found: list[Tensor] = []

    def catch(module: nn.Module, inputs: object, out: Tensor) -> Tensor:
        found.append(out.detach().clone().requires_grad_(torch.is_grad_enabled()))
        # A copy goes on, as the next layer may work in place.
        return found[-1].clone()

    modes = {module: module.training for module in model.modules()}
    handle = _module(model, layer).register_forward_hook(catch)
    model.eval()
    try:
        yield found
    finally:
        handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _module(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    named = dict(model.named_modules())
    known = layer in named if isinstance(layer, str) else any(layer is m for m in named.values())
    if not known:
        raise LimsupError("layer", got=layer, expected=f"one of {', '.join(filter(None, named))}")
    return named[layer] if isinstance(layer, str) else layer


def _single(found: list[Tensor], layer: str | nn.Module) -> Tensor:
    if len(found) != 1 or found[0].ndim < 3:
        got = f"run {len(found)} times" if len(found) != 1 else f"output {tuple(found[0].shape)}"
        raise LimsupError(f"layer {layer}", got=got, expected="maps (N, D, h, w) once a pass")
    return found[0]


def _rows(linear: nn.Module, channels: int) -> tuple[Tensor, Tensor]:
    """Weights ``(K, D)`` and biases ``(K,)``, without their graph."""
    weight = getattr(linear, "weight", None)
    if not isinstance(weight, Tensor) or weight[0].numel() != channels:
        got = type(linear).__name__ if weight is None else f"weights {tuple(weight.shape)}"
        raise LimsupError("classifier", got=got, expected=f"a linear layer on {channels} channels")
    rows, bias = weight.detach().flatten(1), getattr(linear, "bias", None)
    return rows, rows.new_zeros(len(rows)) if bias is None else bias.detach()


def _classes(logits: Tensor) -> int:
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise LimsupError("network", got=f"output {got}", expected="logits (N, K)")
    return logits.shape[1]


def _score(logits: Tensor, choose: Tensor) -> Tensor:
    _classes(logits)
    return (logits * choose).sum(1)


def _targets(target: Target, images: int) -> Tensor:
    targets = torch.as_tensor(target, dtype=torch.long)
    if targets.ndim == 0:
        targets = targets.expand(images)
    if targets.shape != (images,):
        raise LimsupError("target", got=target, expected=f"a class, or {images} classes")
    return targets


def _chosen(targets: Tensor, classes: int, difference: bool) -> Tensor:
    """Weights of the logits ``(N, K)`` that make each image's score."""
    top = max(classes, 2)
    if (targets < 0).any() or (targets >= top).any():
        raise LimsupError("target", got=targets.tolist(), expected=f"classes 0…{top - 1}")
    one = F.one_hot(targets, top).float()
    if classes == 1:
        return one[:, 1:] - one[:, :1]
    return one - one.flip(1) if classes == 2 and difference else one
