"""How far a network looks, and whether a part of an image can stand for the whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from limsup_widgets.learn.infer import device_of, evaluating

LIMIT = 512
"""A network that looks further than this many pixels counts as one that sees everything."""
FALLBACK = 128
"""Halo in pixels where tiles are approximate whatever the halo."""
TOLERANCE = 1e-5
_KNOWN: dict[tuple[Hashable, ...], tuple[int | None, str]] = {}
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class Tiling:
    """How far a tile is grown, and whether its core then equals the whole image's result.

    Attributes
    ----------
    halo
        Pixels on each side.
    exact
        Equal to the whole image's result within 1e-5.
    why
        In words, what makes tiles approximate; empty where they are exact.
    """

    halo: int
    exact: bool
    why: str = ""


def divisor_of(model: nn.Module) -> int:
    """The step of the pooling grid: ``model.divisor``, 32 where the model does not say."""
    return int(getattr(model, "divisor", 32))


def tiling_of(model: nn.Module, channels: int, passes: bool = False) -> Tiling:
    """Halo for ``model``, and whether tiles are exact.

    Parameters
    ----------
    model
        ``(1, C, H, W)`` → ``(1, K, H, W)``.
    channels
        C.
    passes
        Of Monte Carlo dropout too. Masks of whole channels are the same in a tile as in the image;
        those of single elements (``nn.Dropout``) are not, so the tile is another draw.
    """
    halo, why = _measured(model, channels, LIMIT)
    if halo is None:
        step = divisor_of(model)
        return Tiling(-(-FALLBACK // step) * step, False, f"{why}: tiles are approximate")
    if passes and any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules()):
        why = "nn.Dropout draws every element anew: uncertainty of tiles is approximate"
        return Tiling(halo, False, why)
    return Tiling(halo, True)


def halo_of(model: nn.Module, channels: int, limit: int = LIMIT) -> int | None:
    """Pixels by which a tile must be grown so that its core equals the whole image's result.

    Rows of NaN go through the network, then columns: every output that becomes NaN depends on
    them, as NaN survives a weight of zero, a ReLU and a maximum. How far that reaches, rounded up
    to the pooling grid, is the halo. One tile of noise is then compared with the whole, so that a
    network that knows where in the image it is does not pass.

    Parameters
    ----------
    model
        Any module ``(1, C, H, W)`` → ``(1, K, H, W)``; it is run in eval mode, which is put back.
    channels
        C.
    limit
        Farthest that is looked, in pixels.

    Returns
    -------
    int or None
        A multiple of the pooling grid; None if no halo within ``limit`` is enough (instance or
        group norm, global pooling, attention, absolute positions).

    Examples
    --------
    >>> halo_of(nn.Conv2d(1, 2, 3, padding=1), channels=1)
    32
    """
    return _measured(model, channels, limit)[0]


class _NotLocal(Exception):
    """Why no halo is enough, in words."""


class _Diverged(Exception):
    """The network gives NaN or infinity whatever comes in."""


def _measured(model: nn.Module, channels: int, limit: int) -> tuple[int | None, str]:
    """Halo and, if there is none, why; remembered per kind of network.

    Weights cannot change the answer, so that a tuned network need not be measured again; a layer
    put in another's place can, so the key holds the kinds of all modules and what they print.
    """
    kinds = tuple(type(module) for module in model.modules())
    known, key = _KNOWN, (kinds, channels, limit, divisor_of(model), repr(model))
    if key not in known:
        try:
            known[key] = _measure(model, channels, limit), ""
        except _NotLocal as reason:
            known[key] = None, str(reason)
        except _Diverged:
            return None, "it gives NaN or infinity"
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            line = " ".join(str(error).split())[:100] or type(error).__name__
            known[key] = None, f"it takes no image of another size ({line})"
    return known[key]


@contextmanager
def _plainly(model: nn.Module) -> Iterator[None]:
    """Eval mode without cuDNN, whose transforms spread NaN over a block and whose TF32 rounds.

    One measurement at a time: cuDNN's switch is the whole process's, and two that put it back in
    turn would leave it off.
    """
    with _ONE_AT_A_TIME, evaluating(model), torch.backends.cudnn.flags(enabled=False):
        yield


def _measure(model: nn.Module, channels: int, limit: int) -> int:
    step = divisor_of(model)
    with _plainly(model):
        reach = max(_reach(model, channels, limit, axis) for axis in (0, 1))
        halo = -(-reach // step) * step
        if not all(_same_in_a_window(model, channels, halo, axis) for axis in (0, 1)):
            raise _NotLocal("the result depends on where in the image a tile lies")
    return halo


def _reach(model: nn.Module, channels: int, limit: int, axis: int) -> int:
    """How many outputs beyond itself a block of NaN, one step of the grid long, touches."""
    step = divisor_of(model)
    before = (-(-limit // step) + 1) * step  # beyond the limit, so that an end is never in doubt
    x = _strip(model, channels, 2 * before + step, axis)
    clean = model(x)
    if not clean.isfinite().all():
        raise _Diverged
    if clean.shape[2:] != x.shape[2:]:
        raise _NotLocal("the result has another size than the image")
    x.narrow(2 + axis, before, step).fill_(torch.nan)
    touched = model(x)[0].isnan().any(0).any(1 - axis).nonzero().flatten().tolist()
    if not touched:
        raise _NotLocal("it hides NaN, so how far it looks cannot be seen")
    far = max(0, before - touched[0], touched[-1] + 1 - before - step)
    if far > limit:
        raise _NotLocal(_sees_everything(model, limit))
    return far


def _strip(model: nn.Module, channels: int, length: int, axis: int) -> Tensor:
    """Noise ``(1, C, H, W)``, long along ``axis`` and two steps of the grid wide.

    One axis at a time: the reach is the same as in a square, for a fraction of the work.
    """
    size = [2 * divisor_of(model)] * 2
    size[axis] = length
    noise = np.random.default_rng(0).normal(size=(1, channels, *size))
    return torch.from_numpy(noise.astype(np.float32)).to(device_of(model))


def _same_in_a_window(model: nn.Module, channels: int, halo: int, axis: int) -> bool:
    """Whether a window in the middle, an odd number of steps from the start, gives the same."""
    step = divisor_of(model)
    start, length = 3 * step, 2 * halo + step
    x = _strip(model, channels, length + 6 * step, axis)
    whole = model(x).softmax(1).narrow(2 + axis, start + halo, step)
    window = model(x.narrow(2 + axis, start, length).contiguous()).softmax(1)
    return torch.allclose(window.narrow(2 + axis, halo, step), whole, rtol=0, atol=TOLERANCE)


def _sees_everything(model: nn.Module, limit: int) -> str:
    """The layers that normalise or pool over the whole image, where it has such; else the fact."""
    names = sorted({type(m).__name__ for m in model.modules() if _is_global(m)})
    if names:
        return f"{' and '.join(names)} {'see' if len(names) > 1 else 'sees'} the whole image"
    return f"a pixel of the result depends on pixels more than {limit} away"


def _is_global(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return not module.track_running_stats
    return isinstance(module, (nn.GroupNorm, nn.AdaptiveAvgPool2d, nn.MultiheadAttention))
