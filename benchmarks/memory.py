"""Peak memory of one way, in a process of its own: what earlier ways touched would hide it."""

from __future__ import annotations

import ctypes
import gc
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_here(way: Callable[[], object]) -> float | None:
    """MiB that this process grows by at most while ``way`` runs; None where Linux is not.

    ``ru_maxrss`` will not do: a new process inherits the figure of the one that started it. The
    high-water mark in ``/proc`` can be set back.
    """
    if not CLEAR.exists():
        return None
    _give_back()
    CLEAR.write_text("5")
    before = _mib("VmRSS")
    way()
    return _mib("VmHWM") - before


def resident() -> float | None:
    """MiB of this process in memory now."""
    return _mib("VmRSS") if STATUS.exists() else None


def highest() -> float | None:
    """MiB that this process has had in memory at most, since it began or since ``peak_here``."""
    return _mib("VmHWM") if STATUS.exists() else None


def available() -> float:
    """MiB that the machine can still give; infinite where Linux is not."""
    info = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s*(\d+) kB", info.read_text()) if info.exists() else None
    return int(found[1]) / 1024 if found else float("inf")


def peaks(names: list[str], arguments: list[str]) -> dict[str, float | None]:
    """Peak MiB of each way: the script that runs now is called again, ``--only NAME``."""
    commands = [[sys.executable, sys.argv[0], *arguments, "--only", name] for name in names]
    with ThreadPoolExecutor(2) as pool:  # no seconds are measured
        return dict(zip(names, pool.map(_ask, commands), strict=True))


def _ask(command: list[str]) -> float | None:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    last = done.stdout.split()[-1]
    return None if last == "None" else float(last)


def _give_back() -> None:
    """Hand freed memory back to the system: it would be used again and not be counted."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _mib(field: str) -> float:
    found = re.search(rf"{field}:\s*(\d+) kB", STATUS.read_text())
    return int(found[1]) / 1024 if found else float("nan")
