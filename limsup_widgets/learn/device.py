"""Where to compute: the accelerator if there is one, and how many CPU threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]
COMPILER_ERRORS = (RuntimeError, ImportError, OSError, AttributeError, TypeError)
"""What a missing or confused compiler raises; torch's own errors of it are RuntimeErrors."""


def best_device() -> torch.device:
    """``LIMSUP_DEVICE`` if set, else CUDA where there is one, else the CPU."""
    wanted = os.environ.get("LIMSUP_DEVICE")
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` CPU threads inside the block.

    The setting belongs to the calling thread: a worker has to enter this block itself.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def half_precision(device: torch.device, wanted: bool = True) -> Iterator[None]:
    """Run convolutions in bfloat16 inside the block, on a CUDA device that has it.

    Weights stay in float32. For tuning only: uncertainty is a difference of close numbers, and is
    promised to be that of the plain loop.
    """
    usable = wanted and device.type == "cuda" and torch.cuda.is_bf16_supported()
    with torch.autocast(device.type, torch.bfloat16, enabled=usable):
        yield


def compiled(model: nn.Module, say: Callable[[str], object] | None = None) -> Forward:
    """The forward pass of ``model`` as ``torch.compile`` makes it, or as it is.

    The first call compiles, which takes half a minute; whatever goes wrong then is said once in
    a line, and the plain forward pass takes over for good. Weights may change afterwards.

    Parameters
    ----------
    say
        Told why the network is not compiled.
    """
    fast: Forward | None = None
    try:
        fast = torch.compile(model)
    except COMPILER_ERRORS as error:
        _not_compiled(error, say)

    def forward(x: Tensor) -> Tensor:
        nonlocal fast
        if fast is not None:
            try:
                return fast(x)
            except torch.OutOfMemoryError:
                raise
            except COMPILER_ERRORS as error:
                _not_compiled(error, say)
                fast = None
        return model(x)

    return forward


def _not_compiled(error: BaseException, say: Callable[[str], object] | None) -> None:
    if say is not None:
        line = " ".join(str(error).split())[:100] or type(error).__name__
        say(f"torch.compile is not usable here ({line}): going on without")
