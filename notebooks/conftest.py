"""For nbval: the quick profile on one thread, and how long each chapter took."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from limsup_widgets.teach.runner import ENVIRONMENT

# Kernels inherit this environment, also through xdist.
os.environ.update(ENVIRONMENT)

_seconds: Counter[str] = Counter()


def pytest_runtest_logreport(report: Any) -> None:
    """Add the time of one cell to its chapter."""
    _seconds[report.nodeid.split("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the time of each chapter."""
    terminalreporter.section("seconds a chapter (quick profile, one thread)")
    for chapter, seconds in sorted(_seconds.items()):
        terminalreporter.write_line(f"{seconds:6.1f}  {chapter}")
