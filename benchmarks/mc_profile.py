"""Where the seconds of a repeated pass go, and how far the machine lets it go."""

from __future__ import annotations

from typing import Any

import torch
from timing import clock
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from limsup_widgets.learn.moments import mc_moments

SHORT, LONG = 4, 14
"""Two numbers of passes: their difference leaves out what happens once."""
KINDS = {
    "convolution": ("conv",),
    "matrix product": ("mm", "linear", "matmul"),
    "ReLU": ("relu", "clamp"),
    "enlarging and padding": ("upsample", "pad"),
    "softmax": ("softmax",),
    "joining and copying": ("copy", "cat", "clone", "fill", "zero"),
    "adding and multiplying": ("add", "sub", "mul", "div"),
    "sums and maxima": ("sum", "max", "mean", "amax", "pow"),
}
"""Kinds of calls, by what their names contain; the first that fits."""
OTHER = "everything else"
ARITHMETIC = ("convolution", "matrix product")
WIDTH = 12
"""Channels of the last level of U0^D."""
GIGA = 1e9
TRIES = 12
Calls = dict[str, float]
"""Name → milliseconds in one repeated pass, without those of the calls inside it."""


def explain(
    fast: nn.Module, slow: nn.Module, x: Tensor, found: dict[str, Any], tries: int
) -> tuple[dict[str, Any], list[str]]:
    """A table of the calls of one repeated pass, and what limits them, in words."""
    device = x.device.type
    ours, whole = (flops(model, x, shared) for model, shared in ((fast, True), (slow, False)))
    calls = calls_of_a_pass(fast, x, device)
    total = sum(calls.values())
    table = {
        "title": "One repeated pass, by kind of call",
        "head": ["kind", "calls that take most of it", "milliseconds", "share"],
        "rows": rows(calls, total),
    }
    return table, words(ours, whole, by_kind(calls), limits(device, tries), found, x[0].numel())


def rows(calls: Calls, total: float) -> list[list[Any]]:
    """A row for each kind that takes a hundredth or more, largest first."""
    gathered = sorted(by_kind(calls).items(), key=lambda item: -item[1])
    found = []
    for kind, ms in gathered:
        members = [n for n, own in calls.items() if kind_of(n) == kind and own >= ms / 4]
        if ms >= total / 100:
            names = ", ".join(name.removeprefix("aten::") for name in members)
            found.append([kind, names, ms, ms / total])
    return found


def kind_of(name: str) -> str:
    """Which of :data:`KINDS` a call is."""
    fitting = (kind for kind, signs in KINDS.items() if any(sign in name for sign in signs))
    return next(fitting, OTHER)


def by_kind(calls: Calls) -> Calls:
    """Milliseconds gathered by :data:`KINDS`.

    Examples
    --------
    >>> by_kind({"aten::add_": 1.0, "aten::mul": 0.5, "aten::conv2d": 3.0})
    {'adding and multiplying': 1.5, 'convolution': 3.0}
    """
    gathered: Calls = {}
    for name, ms in calls.items():
        gathered[kind_of(name)] = gathered.get(kind_of(name), 0.0) + ms
    return gathered


def flops(model: nn.Module, x: Tensor, shared: bool) -> float:
    """Floating-point operations of one pass, those that happen once left out."""
    counted = []
    for passes in (SHORT, LONG):
        with FlopCounterMode(display=False) as counter:
            mc_moments(model, x, passes, shared=shared)
        counted.append(counter.get_total_flops())
    return (counted[1] - counted[0]) / (LONG - SHORT)


def calls_of_a_pass(model: nn.Module, x: Tensor, device: str) -> Calls:
    """What one repeated pass calls, those that happen once left out."""
    seen = []
    for passes in (SHORT, LONG):
        activities = [ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU]
        with profile(activities=activities) as profiler:
            mc_moments(model, x, passes)
        key = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
        averages = profiler.key_averages()
        seen.append({event.key: getattr(event, key) / 1e3 for event in averages})
    few, many = seen
    return {name: (ms - few.get(name, 0.0)) / (LONG - SHORT) for name, ms in many.items()}


def limits(device: str, tries: int) -> dict[str, float]:
    """GFLOP/s of a large matrix product and of convolutions wide and narrow; GB/s of a copy."""
    a = torch.randn(1536, 1536, device=device)
    big = torch.randn(64 * 2**20 // 4, device=device)
    copy = torch.empty_like(big)
    return {
        "product": 2 * 1536**3 / best(lambda: a @ a, device, tries) / GIGA,
        "wide": convolving(64, 256, device, tries),
        "narrow": convolving(WIDTH, 512, device, tries),
        "copy": 2 * 4 * big.numel() / best(lambda: copy.copy_(big), device, tries) / GIGA,
    }


def convolving(channels: int, side: int, device: str, tries: int) -> float:
    """GFLOP/s of a 3×3 convolution, channels_last."""
    x = torch.randn(1, channels, side, side, device=device)
    weight = torch.randn(channels, channels, 3, 3, device=device)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    work = 2 * 9 * channels**2 * side**2
    with torch.no_grad():
        return work / best(lambda: F.conv2d(x, weight, padding=1), device, tries) / GIGA


def best(way: Any, device: str, tries: int) -> float:
    """Shortest seconds of some tries."""
    found: list[float] = []
    for _ in range(tries):
        with clock(device) as spent:
            way()
        found += spent
    return min(found)


def words(
    ours: float,
    whole: float,
    calls: Calls,
    limit: dict[str, float],
    found: dict[str, Any],
    pixels: int,
) -> list[str]:
    """What the numbers say."""
    total = sum(calls.values())
    computing = sum(ms for kind, ms in calls.items() if kind in ARITHMETIC)
    moving, reached = total - computing, ours / GIGA / max(computing / 1e3, 1e-12)
    once = 2 * 4 * WIDTH * pixels / GIGA / limit["copy"] * 1e3
    return [
        f"A whole pass takes {whole / GIGA:.2f} GFLOP, a repeated one {ours / GIGA:.2f}: at equal "
        f"speed per operation that would be {whole / ours:.1f} times as fast. Found were "
        f"{found['ratio_vs_naive']:.1f} times, the layout's share and all that happens once "
        "included.",
        f"Convolutions and matrix products are {100 * computing / total:.0f} % of a repeated pass "
        f"and run at {reached:.0f} GFLOP/s. This machine reaches {limit['product']:.0f} in a large "
        f"matrix product, {limit['wide']:.0f} in a 3×3 convolution with 64 channels, and "
        f"{limit['narrow']:.0f} in one with {WIDTH} channels, which the last level of this network "
        f"has. At that speed the arithmetic of a pass would take "
        f"{ours / GIGA / limit['narrow'] * 1e3:.1f} ms of the {total:.1f} ms measured.",
        f"What remains, {moving:.1f} ms, enlarges, adds, clips and copies maps. Memory copies at "
        f"{limit['copy']:.1f} GB/s here, so that is as long as reading and writing "
        f"{moving / once:.1f} maps of {WIDTH} channels in full size.",
    ]
