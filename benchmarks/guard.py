"""Did a speed-up get lost? Runs the guarded ratios again and compares them with the records.

``python benchmarks/guard.py [NAME …]`` prints a line for every ratio that fell below its record by
more than the tolerance, and then ends with exit code 1. Ratios are paired within a run, so they say
the same on a slow and on a fast machine, which seconds do not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
TOLERANCE = 0.25
"""Ratios of one machine repeat to a tenth; other processors and busy moments need more room."""


def fallen(
    recorded: Mapping[str, Any], found: Mapping[str, Any], tolerance: float = TOLERANCE
) -> list[str]:
    """A line for each recorded ratio that is now missing, or lower by more than the tolerance.

    A record may ask for more room with a ``tolerance`` of its own.

    Examples
    --------
    >>> old = {"name": "mc_dropout", "ratios": {"naive / ours": 4.0}}
    >>> fallen(old, {"ratios": {"naive / ours": 3.2}})
    []
    >>> fallen(old, {"ratios": {"naive / ours": 2.9}})
    ['mc_dropout: naive / ours fell from 4 to 2.9, more than 25 %']
    """
    lines, tolerance = [], max(tolerance, recorded.get("tolerance", 0.0))
    for ratio, before in recorded.get("ratios", {}).items():
        now = found.get("ratios", {}).get(ratio)
        if now is None:
            lines.append(f"{recorded['name']}: {ratio} was {before:g}, now it is not measured")
        elif now < (1 - tolerance) * before:
            fell = f"fell from {before:g} to {now:g}, more than {tolerance:.0%}"
            lines.append(f"{recorded['name']}: {ratio} {fell}".replace("%", " %"))
    return lines


def records(folder: Path, device: str = "cpu") -> dict[str, dict[str, Any]]:
    """All records of a device in a folder, by name."""
    files = sorted(folder.glob(f"*-{device}.json"))
    return {file.stem.removesuffix(f"-{device}"): json.loads(file.read_text()) for file in files}


def measure(name: str, out: Path, *arguments: str) -> int:
    """Run one benchmark in a process of its own, its record going to ``out``; the exit code."""
    command = [sys.executable, str(HERE / f"{name}.py"), "--out", str(out), *arguments]
    return subprocess.run(command, cwd=HERE.parent).returncode


def compare(before: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> list[str]:
    """All that fell, over several records by name; one that is missing now fell as well."""
    lines = []
    for name, old in before.items():
        lines += fallen(old, now[name], tolerance) if name in now else [f"{name}: no record"]
    return lines


def main() -> int:
    """Measure again, compare, say what fell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="benchmarks, by default all with a record")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    asked = parser.parse_args()
    before = records(RESULTS, asked.device)
    before = {n: r for n, r in before.items() if r.get("ratios") and n in (asked.names or before)}
    with tempfile.TemporaryDirectory() as folder:
        for name in before:
            measure(name, Path(folder), "--ratios-only", "--device", asked.device)
        lines = compare(before, records(Path(folder), asked.device), asked.tolerance)
    print("\n".join(lines) or f"as fast as recorded: {', '.join(before) or 'no record to guard'}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
