"""Class probabilities of a whole image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.data.labels import from_targets
from limsup_widgets.learn.inputs import pad_to


def device_of(model: nn.Module) -> torch.device:
    """Device of the first parameter."""
    return next(model.parameters()).device


def prepare(model: nn.Module, x: Tensor) -> Tensor:
    """``x (C, H, W)`` → padded batch ``(1, C, H', W')`` on the model's device."""
    divisor = int(getattr(model, "divisor", 32))
    return pad_to(x[None].to(device_of(model)), divisor)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; every submodule gets back the mode in which it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def predict(model: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """Probabilities ``(K, H, W)`` of ``x (C, H, W)`` in eval mode; the mode is put back.

    Sides are padded to ``model.divisor`` (32 where the model does not say) by repeating the border.
    """
    with evaluating(model):
        logits = model(prepare(model, x))[0, :, : x.shape[-2], : x.shape[-1]]
        return logits.softmax(0).cpu().numpy()


def codes(prob: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Most probable class of ``prob (K, H, W)`` as codes 1…K."""
    return from_targets(prob.argmax(0))
