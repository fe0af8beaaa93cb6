"""Where to compute: the accelerator if there is one, and how many CPU threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
