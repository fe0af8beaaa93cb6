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

SHORT, LONG = 4, 24
"""Two numbers of passes: their difference leaves out what happens once."""
SHOWN = 9
GIGA = 1e9
TRIES = 12


def explain(
    fast: nn.Module, slow: nn.Module, x: Tensor, found: dict[str, Any], tries: int
) -> tuple[dict[str, Any], list[str]]:
    """A table of the calls of one repeated pass, and what limits them, in words."""
    device = x.device.type
    ours, whole = (flops(model, x, shared) for model, shared in ((fast, True), (slow, False)))
    calls = calls_of_a_pass(fast, x, device)
    total = sum(ms for ms, _ in calls.values())
    shown = sorted(calls, key=lambda name: -calls[name][0])[:SHOWN]
    rows = [[name, calls[name][1], calls[name][0], calls[name][0] / total] for name in shown]
    table = {
        "title": "One repeated pass, by kind of call",
        "head": ["call", "calls", "milliseconds", "share"],
        "rows": rows,
    }
    return table, words(ours, whole, calls, limits(device, tries), found)


def flops(model: nn.Module, x: Tensor, shared: bool) -> float:
    """Floating-point operations of one pass, those that happen once left out."""
    counted = []
    for passes in (SHORT, LONG):
        with FlopCounterMode(display=False) as counter:
            mc_moments(model, x, passes, shared=shared)
        counted.append(counter.get_total_flops())
    return (counted[1] - counted[0]) / (LONG - SHORT)


def calls_of_a_pass(model: nn.Module, x: Tensor, device: str) -> dict[str, tuple[float, float]]:
    """Kind of call → (milliseconds, calls) of one repeated pass."""
    seen = []
    for passes in (SHORT, LONG):
        activities = [ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU]
        with profile(activities=activities) as profiler:
            mc_moments(model, x, passes)
        key = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
        averages = profiler.key_averages()
        seen.append({event.key: (getattr(event, key), event.count) for event in averages})
    (few, many), extra = seen, LONG - SHORT
    calls = {}
    for name, (spent, times) in many.items():
        before, fewer = few.get(name, (0.0, 0))
        calls[name] = ((spent - before) / extra / 1e3, (times - fewer) / extra)
    return calls


def limits(device: str, tries: int) -> dict[str, float]:
    """GFLOP/s of a large matrix product and of convolutions wide and narrow; GB/s of a copy."""
    a = torch.randn(1536, 1536, device=device)
    big = torch.randn(64 * 2**20 // 4, device=device)
    copy = torch.empty_like(big)
    return {
        "product": 2 * 1536**3 / best(lambda: a @ a, device, tries) / GIGA,
        "wide": convolving(64, 256, device, tries),
        "narrow": convolving(12, 512, device, tries),
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
    calls: dict[str, tuple[float, float]],
    limit: dict[str, float],
    found: dict[str, Any],
) -> list[str]:
    """What the numbers say."""
    total = sum(ms for ms, _ in calls.values())
    convolving_ms = sum(ms for name, (ms, _) in calls.items() if "conv" in name)
    reached = ours / GIGA / (convolving_ms / 1e3) if convolving_ms else float("nan")
    lines = [
        f"A whole pass takes {whole / GIGA:.2f} GFLOP, a repeated one {ours / GIGA:.2f}: at equal "
        f"speed per operation that would be {whole / ours:.1f} times as fast. Found: "
        f"{found['ratio_vs_naive']:.1f} times.",
        f"Convolutions are {convolving_ms / total:.0%} of a repeated pass and run at {reached:.0f} "
        f"GFLOP/s. This machine reaches {limit['product']:.0f} in a large matrix product, "
        f"{limit['wide']:.0f} in a 3×3 convolution with 64 channels, and {limit['narrow']:.0f} in "
        f"one with the 12 channels that the last level of this network has: few channels leave the "
        f"processor waiting for memory.",
        f"The other {1 - convolving_ms / total:.0%} move maps: a copy runs at {limit['copy']:.1f} "
        f"GB/s here.",
    ]
    return [line.replace("%", " %") for line in lines]
