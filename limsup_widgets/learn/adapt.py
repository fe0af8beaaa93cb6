"""Make a network fit other channels and classes than it was trained on."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import evaluating, prepare
from limsup_widgets.learn.tune import check_labels, last_layer

FIT_PIXELS = 4000
REMEDY = "replace the first and last layer yourself and pass the network as it then is"


def _convolutions(model: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, layer)


def _note(model: nn.Module, name: str, value: int) -> None:
    """Keep the network's own record of its size in step, where it has one."""
    if hasattr(model, name):
        setattr(model, name, value)


def _like(conv: nn.Conv2d, c_in: int, c_out: int) -> nn.Conv2d:
    return nn.Conv2d(
        c_in,
        c_out,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    ).to(conv.weight)


def with_channels(model: nn.Module, in_channels: int) -> nn.Module:
    """Copy of ``model`` for images of ``in_channels`` channels.

    Every new channel gets the mean of the old filters over their channels, scaled so that an image
    with equal channels gives the response that the old network gave to such an image.
    """
    model = copy.deepcopy(model)
    found = _convolutions(model)
    if not found:
        raise LimsupError("network", got="no Conv2d", expected="a 2D segmentation network")
    name, conv = found[0]
    if conv.in_channels == in_channels:
        return model
    if conv.groups != 1:
        raise LimsupError("first layer", got=f"{conv.groups} groups", expected="1")
    first = _like(conv, in_channels, conv.out_channels)
    with torch.no_grad():
        mean = conv.weight.mean(1, keepdim=True) * (conv.in_channels / in_channels)
        first.weight.copy_(mean.expand_as(first.weight))
        if conv.bias is not None and first.bias is not None:
            first.bias.copy_(conv.bias)
    _replace(model, name, first)
    _note(model, "in_channels", in_channels)
    return model


def _features_at(
    model: nn.Module, head: nn.Conv2d, x: Tensor, at: tuple[NDArray[np.intp], ...]
) -> NDArray[np.float32]:
    """What the head sees at pixels ``at``: ``(n, C·k·k)``, the network in eval mode."""
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        with evaluating(model):
            model(prepare(model, x))
    finally:
        handle.remove()
    k, pad = head.kernel_size[0], head.kernel_size[0] // 2
    padded = F.pad(seen[0], (pad,) * 4)[0].cpu().numpy()
    rows, cols = at
    windows = np.stack([padded[:, rows + i, cols + j] for i in range(k) for j in range(k)], axis=-1)
    return windows.transpose(1, 0, 2).reshape(len(rows), -1)


def fit_head(
    model: nn.Module,
    head: nn.Conv2d,
    inputs: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    seed: int = 0,
) -> None:
    """Fit ``head`` in place by multinomial logistic regression on frozen features.

    Features are taken at scribbled pixels with the network in eval mode: in train mode the batch
    statistics of single images would make the head useless afterwards. A class without scribbles
    keeps weight 0 and a bias so low that it is not predicted.
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    present = np.unique(np.concatenate([np.unique(y[y > 0]) for y in labels]))
    if len(present) < 2:
        raise LimsupError("scribbles", got="fewer than two classes", do="scribble a second class")
    # One share for each class, so that a thin one is not lost among the pixels of the others.
    share = max(1, FIT_PIXELS // (len(inputs) * len(present)))
    xs, ys = [], []
    for x, y in zip(inputs, labels, strict=True):
        at = np.concatenate([rng.permutation(np.argwhere(y == c))[:share] for c in present])
        if len(at):
            xs.append(_features_at(model, head, x, tuple(at.T)))
            ys.append(y[tuple(at.T)])
    features, classes = np.concatenate(xs), np.concatenate(ys)
    mean, std = features.mean(0), features.std(0) + 1e-6
    fit = LogisticRegression(C=1.0, max_iter=300).fit((features - mean) / std, classes)
    _write_head(head, fit.coef_ / std, fit.intercept_ - (fit.coef_ / std) @ mean, fit.classes_)


def _write_head(
    head: nn.Conv2d,
    coef: NDArray[np.float64],
    intercept: NDArray[np.float64],
    classes: NDArray[np.uint8],
) -> None:
    if len(classes) == 2:
        coef = np.concatenate([-coef, coef]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    assert head.bias is not None
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(float(intercept.min()) - 20.0)
        rows = torch.from_numpy(classes.astype(np.int64) - 1)
        shape = (len(classes), *head.weight.shape[1:])
        head.weight[rows] = torch.from_numpy(coef.reshape(shape)).to(head.weight)
        head.bias[rows] = torch.from_numpy(intercept).to(head.bias)


def _outputs(model: nn.Module, layer: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What the network returns for ``x``, and what ``layer`` made on the way."""
    made: list[Tensor] = []
    handle = layer.register_forward_hook(lambda *args: made.append(args[-1]))
    try:
        with evaluating(model):
            return model(prepare(model, x)), made
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise LimsupError(type(model).__name__, got=line, do=REMEDY) from error
    finally:
        handle.remove()


def _makes(head: nn.Conv2d, logits: Tensor, made: list[Tensor], sides: torch.Size) -> bool:
    """Whether ``head`` alone makes the logits, pixel by pixel at full resolution."""
    if head.groups != 1 or {*head.stride, *head.dilation} != {1}:
        return False
    full = all(a >= b for a, b in zip(logits.shape[-2:], sides, strict=True))
    return full and bool(made) and torch.equal(made[-1], logits)


def adapt(
    model: nn.Module,
    in_channels: int,
    classes: int,
    inputs: Sequence[Tensor],
    labels: Sequence[NDArray[np.uint8]],
    refit: bool = False,
) -> nn.Module:
    """Copy of ``model`` for ``in_channels`` channels and ``classes`` classes.

    The first convolution is widened or narrowed by :func:`with_channels`. If the number of classes
    differs, or ``refit`` is set because the same number means other classes, the last convolution
    is replaced and fitted on the scribbles by :func:`fit_head`.

    Parameters
    ----------
    model
        Any ``(N, C, H, W)`` → ``(N, K, H, W)``. For other classes its last convolution alone has
        to make the logits, from features at full resolution. Of MONAI's networks ``BasicUNet``
        does so; ``UNet`` ends in a transposed convolution or a residual sum, and is refused.
    inputs, labels
        Normalised images ``(in_channels, H, W)`` and codes ``(H, W)``, for fitting the head.

    Raises
    ------
    LimsupError
        The layers cannot be replaced, labels do not fit, or fewer than two classes are scribbled.
    """
    check_labels(inputs, labels, classes)
    if not inputs:
        raise LimsupError("images", got="none", do="add an image with scribbles")
    model = with_channels(model, in_channels)
    old = last_layer(model)
    logits, made = _outputs(model, old, inputs[0])
    if logits.shape[1] == classes and not refit:
        return model
    if not isinstance(old, nn.Conv2d) or not _makes(old, logits, made, inputs[0].shape[-2:]):
        raise LimsupError(
            type(model).__name__,
            got=f"{type(old).__name__} as last layer, which does not make the logits alone",
            expected="a plain Conv2d at full resolution",
            do=REMEDY,
        )
    name = next(n for n, m in model.named_modules() if m is old)
    head = _like(old, old.in_channels, classes)
    head.bias = nn.Parameter(torch.zeros(classes).to(head.weight))
    _replace(model, name, head)
    _note(model, "classes", classes)
    fit_head(model, head, inputs, labels)
    return model.eval()
