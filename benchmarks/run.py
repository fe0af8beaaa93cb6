"""Run the benchmarks, each in a process of its own, and compare them with the last records.

``python benchmarks/run.py [NAME …] [--quick] [--accept]``. New records replace the stored ones,
unless a guarded ratio fell: then the old record stays, the new one waits in ``build/benchmarks/``
and the exit code is 1. ``--accept`` takes it all the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from guard import RESULTS, TOLERANCE, compare, measure, records

NAMES = ("mc_dropout", "scribble_to_screen", "accuracy_per_second", "viewer", "scaling")
ON_A_CARD = ("mc_dropout",)
WAITING = RESULTS.parent.parent / "build" / "benchmarks"
THREADS = "2"


def take(name: str, out: Path, device: str, quick: bool) -> str | None:
    """Run one benchmark; what went wrong, if anything did."""
    if not (RESULTS.parent / f"{name}.py").exists():
        return f"{name}: there is no benchmarks/{name}.py"
    (out / f"{name}-{device}.json").unlink(missing_ok=True)
    start = time.perf_counter()
    code = measure(name, out, "--device", device, *["--quick"] * quick)
    print(f"  [{name}: {time.perf_counter() - start:.0f} s in all]\n", flush=True)
    return f"{name}: exit code {code}" if code else None


def store(names: list[str], device: str, accept: bool) -> list[str]:
    """Put new records in place of the old ones, unless a ratio fell; what fell."""
    before, now = records(RESULTS, device), records(WAITING, device)
    lines = []
    for name in (n for n in names if n in now):
        fell = compare({name: before[name]} if name in before else {}, now, TOLERANCE)
        lines += fell
        if not fell or accept:
            shutil.move(WAITING / f"{name}-{device}.json", RESULTS / f"{name}-{device}.json")
    return lines


def summary(device: str, names: list[str]) -> str:
    """One line a benchmark: ours, the naive way, the ratio, the largest difference."""
    lines = [f"{'':22}{'ours':>10}{'naive':>10}{'ratio':>8}  difference"]
    for name, record in records(RESULTS, device).items():
        if name in names:
            naive = record["peers"].get(record.get("naive"), float("nan"))
            diff = "–" if record["max_abs_diff"] is None else f"{record['max_abs_diff']:.0e}"
            ours = f"{name:22}{record['ours_s']:8.2f} s{naive:8.2f} s"
            lines.append(f"{ours}{record['ratio_vs_naive']:8.2f}  {diff}")
    return "\n".join(lines)


def main() -> int:
    """Run, compare, store, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; by default all")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, nothing is stored")
    parser.add_argument("--accept", action="store_true", help="store what fell, too")
    asked = parser.parse_args()
    asked.names = asked.names or list(NAMES if asked.device == "cpu" else ON_A_CARD)
    os.environ |= {"OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS}
    WAITING.mkdir(parents=True, exist_ok=True)
    problems = [take(name, WAITING, asked.device, asked.quick) for name in asked.names]
    lines = [problem for problem in problems if problem]
    if not asked.quick:
        lines += store(asked.names, asked.device, asked.accept)
        print(summary(asked.device, asked.names))
    print("\n".join(lines) or "all ratios as recorded or better")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
