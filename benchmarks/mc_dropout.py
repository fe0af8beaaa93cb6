"""Monte Carlo dropout: limsup's shared passes against the loops that people write.

``python benchmarks/mc_dropout.py [--device cuda] [--side 512] [--passes 50] [--rounds 5]`` prints
a table and writes ``benchmarks/results/mc_dropout-<device>.json``. All ways run in turn in each
round, so that a busy moment hits them alike; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from limsup_widgets.learn.dropout import dropout_masks, live_dropouts
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.passes import pass_batches
from limsup_widgets.learn.weights import load_u0

RESULTS = Path(__file__).resolve().parent / "results"
Way = Callable[[nn.Module, Tensor, int], tuple[Tensor, Tensor]]


def naive(model: nn.Module, x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """The loop as people write it: dropout on, T calls, a stack, mean and variance."""
    model.eval()
    for module in live_dropouts(model):
        module.train()
    with torch.no_grad():
        stack = torch.stack([model(x[None])[0].softmax(0) for _ in range(passes)])
    model.eval()
    return stack.mean(0), stack.var(0, unbiased=False)


def naive_channels_last(model: nn.Module, x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """The same loop with weights and image in the layout that convolutions like."""
    batch = x[None].contiguous(memory_format=torch.channels_last)
    return naive(model.to(memory_format=torch.channels_last), batch[0], passes)


def repeated(model: nn.Module, x: Tensor, passes: int, most: int = 10) -> tuple[Tensor, Tensor]:
    """T copies of the image as a batch, ten at a time, as toolkits do it."""
    model.eval()
    for module in live_dropouts(model):
        module.train()
    rows = []
    with torch.no_grad():
        for start in range(0, passes, most):
            copies = x.expand(min(most, passes - start), *x.shape)
            rows.append(model(copies).softmax(1))
    model.eval()
    stack = torch.cat(rows)
    return stack.mean(0), stack.var(0, unbiased=False)


def ours(model: nn.Module, x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """Shared prefix, split skips, folded norms, two running sums."""
    moments = mc_moments(model, x, passes)
    return torch.from_numpy(moments.mean), torch.from_numpy(moments.epistemic)


def ours_whole(model: nn.Module, x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """Our masks and layout without sharing anything: what the layout alone is worth."""
    image = x[None].contiguous(memory_format=torch.channels_last)
    rows = []
    with torch.no_grad():
        for number in range(passes):
            with dropout_masks(model.eval(), 0, [number]):
                rows.append(model(image)[0].softmax(0))
    stack = torch.stack(rows)
    return stack.mean(0), stack.var(0, unbiased=False)


WAYS: dict[str, Way] = {
    "naive loop": naive,
    "naive loop, channels_last": naive_channels_last,
    "copies in a batch": repeated,
    "limsup, nothing shared": ours_whole,
    "limsup": ours,
}


@contextmanager
def clock(device: str) -> Iterator[list[float]]:
    """Seconds of the block, the accelerator's queue included."""
    spent: list[float] = []
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    yield spent
    if device == "cuda":
        torch.cuda.synchronize()
    spent.append(time.perf_counter() - start)


def peak(device: str, way: Way, model: nn.Module, x: Tensor, passes: int) -> float | None:
    """Largest memory of the accelerator in MiB; None on a CPU."""
    if device != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    way(model, x, passes)
    return torch.cuda.max_memory_allocated() / 2**20


def exactness(model: nn.Module, x: Tensor, passes: int = 8) -> float:
    """Largest difference between shared passes and whole ones under the same masks."""
    shared = torch.cat(list(pass_batches(model, x, passes)))
    with torch.no_grad():
        rows = []
        for number in range(passes):
            with dropout_masks(model.eval(), 0, [number]):
                rows.append(model(x[None]).softmax(1))
    return float((shared - torch.cat(rows)).abs().max())


def machine(device: str) -> str:
    """What it ran on."""
    name = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    return f"{name}; {torch.get_num_threads()} CPU threads; torch {torch.__version__}"


def cpu_name() -> str:
    """Model of the processor, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Time every way in every round, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    model = load_u0(dropout=True).to(options.device).eval()
    x = torch.randn(3, options.side, options.side, device=options.device)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for way in WAYS.values():
        way(model, x, 3)
    for _ in range(options.rounds):
        for name, way in WAYS.items():
            with clock(options.device) as spent:
                way(model, x, options.passes)
            seconds[name] += spent
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    memory = {
        name: peak(options.device, way, model, x, options.passes) for name, way in WAYS.items()
    }
    mine = medians.pop("limsup")
    ratios = sorted(a / b for a, b in zip(seconds["naive loop"], seconds["limsup"], strict=True))
    record = {
        "name": f"mc_dropout, {options.side}×{options.side}×3, T = {options.passes}, U0^D",
        "command": f"python benchmarks/mc_dropout.py --device {options.device} "
        f"--side {options.side} --passes {options.passes} --rounds {options.rounds}",
        "ours_s": round(mine, 4),
        "peers": {name: round(value, 4) for name, value in medians.items()},
        "ratio_vs_naive": round(statistics.median(ratios), 2),
        "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
        "max_abs_diff": exactness(model, x),
        "peak_mib": {name: value and round(value) for name, value in memory.items()},
        "machine": machine(options.device),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"mc_dropout-{options.device}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, value in {**medians, "limsup": mine}.items():
        print(f"{name:28} {value:8.3f} s   {value / mine:5.2f} × limsup")
    print(f"largest difference to whole passes under the same masks: {record['max_abs_diff']:.1e}")


if __name__ == "__main__":
    main()
