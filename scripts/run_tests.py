"""Run every check, one stage after the other, and close with one line of counts.

``python scripts/run_tests.py [STAGE ...]``. A failing stage does not hide the later ones. All
that the stages write goes into one temporary folder and is removed, with any process they leave.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import xml.etree.ElementTree as ElementTree
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from system_packages import missing

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CACHE = BIN.parent / ".cache"
IN_CI = os.environ.get("CI") == "true"
STAGE_LIMIT_SECONDS = 40 * 60
# No machine of ours that runs these checks unattended has a GPU.
REASONS_ALLOWED_IN_CI = ("GPU", "CUDA")
RUN_MARK = "LIMSUP_TEST_RUN"


@dataclass(frozen=True)
class Stage:
    """One command, or one pytest call (then ``command`` holds pytest's arguments)."""

    name: str
    command: tuple[str, ...]
    pytest: bool = False
    needs: str | None = None


@dataclass
class Counts:
    """How many checks passed, failed and could not run, and why not."""

    passed: int = 0
    failed: int = 0
    could_not_run: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Counts") -> None:
        """Add the counts of one stage."""
        self.passed += other.passed
        self.failed += other.failed
        self.could_not_run += other.could_not_run


def stages(scratch: Path) -> list[Stage]:
    """Return all stages in order; commands are looked up beside the running interpreter."""
    nbval = "--nbval-lax --nbval-current-env --nbval-cell-timeout=180 -n 2 --dist loadfile"
    book = str(scratch / "book")
    return [
        Stage("lint", ("ruff", "check", ".")),
        Stage("format", ("ruff", "format", "--check", ".")),
        Stage("types", ("mypy", "limsup_widgets", "limsup_chapters")),
        Stage("imports", ("lint-imports", "--cache-dir", str(CACHE / "imports"))),
        Stage("unit", ("-n", "2", "-m", "not display and not browser", "tests"), pytest=True),
        Stage("viewer", ("-m", "display", "tests"), pytest=True, needs="viewer"),
        Stage("browser", ("-m", "browser", "tests"), pytest=True, needs="browser"),
        Stage("chapters", (*nbval.split(), "notebooks"), pytest=True),
        Stage("book", ("python", "scripts/build_book.py", book)),
        Stage("links", ("python", "book/check_links.py", f"{book}/_build/html")),
    ]


def environment(scratch: Path, mark: str) -> dict[str, str]:
    """Return the environment of the stages: one thread, no display, no trace in the checkout."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {
        RUN_MARK: mark,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(scratch),
        "OMP_NUM_THREADS": "1",
        "LIMSUP_PROFILE": "quick",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUFF_CACHE_DIR": str(CACHE / "ruff"),
        "MYPY_CACHE_DIR": str(CACHE / "mypy"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
        "NAPARI_CONFIG": str(scratch / "napari.yaml"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "jupyter"),
    }


def command_line(stage: Stage, report: Path) -> list[str]:
    """Return the full command; viewer tests get a virtual screen with OpenGL."""
    if stage.pytest:
        qt = [] if stage.needs == "viewer" else ["-p", "no:pytest-qt"]
        call = ["python", "-m", "pytest", *qt, f"--junitxml={report}", *stage.command]
    else:
        call = list(stage.command)
    call[0] = str(BIN / call[0])
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24 +extension GLX"]
    return screen + call if stage.needs == "viewer" else call


def run(command: list[str], env: dict[str, str]) -> int:
    """Run one command in the repository, within the limit; its own children go with it."""
    process = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True)
    try:
        return process.wait(STAGE_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"stopped after {STAGE_LIMIT_SECONDS / 60:.0f} minutes")
        return 124
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        end_processes(env[RUN_MARK])
        process.wait()


def end_processes(mark: str) -> None:
    """Kill what this run started and left: Linux shows each process's environment."""
    needle = f"{RUN_MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # ended meanwhile, or somebody else's


def read_report(report: Path, code: int) -> Counts:
    """Count the test cases of a junit file; a run that fails without saying where counts as one."""
    counts = Counts()
    cases = ElementTree.parse(report).iter("testcase") if report.is_file() else ()
    for case in cases:
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif skipped is None:
            counts.passed += 1
        elif skipped.get("type") != "pytest.xfail":
            counts.could_not_run[skipped.get("message", "no reason given")] += 1
    if code and not counts.failed:
        counts.failed = 1
    return counts


def count_tests(stage: Stage, env: dict[str, str]) -> int:
    """Return how many tests a stage that cannot run would have had."""
    command = [str(BIN / "python"), "-m", "pytest", "--collect-only", "-q", *stage.command]
    listing = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    return sum("::" in line for line in listing.stdout.splitlines())


def run_stage(stage: Stage, env: dict[str, str], scratch: Path) -> Counts:
    """Run one stage, or say what it lacks."""
    lacking = missing(stage.needs) if stage.needs else []
    if lacking:
        reason = f"not installed: {' '.join(lacking)}"
        return Counts(could_not_run=Counter({reason: count_tests(stage, env)}))
    report = scratch / f"{stage.name}.xml"
    code = run(command_line(stage, report), env)
    return read_report(report, code) if stage.pytest else Counts(code == 0, code != 0)


def left_out(counts: Counts) -> int:
    """Return how many tests were left out for a reason that does not hold in CI."""
    return sum(
        number
        for reason, number in counts.could_not_run.items()
        if not any(word in reason for word in REASONS_ALLOWED_IN_CI)
    )


def main(names: list[str]) -> int:
    """Run the named stages, or all; print the closing line; return the exit status."""
    scratch = Path(tempfile.mkdtemp(prefix="limsup-"))
    env = environment(scratch, uuid.uuid4().hex)
    start = time.monotonic()
    total, failed = Counts(), []
    try:
        for stage in stages(scratch):
            if names and stage.name not in names:
                continue
            print(f"\n=== {stage.name}", flush=True)
            counts = run_stage(stage, env, scratch)
            total.add(counts)
            if counts.failed or (IN_CI and left_out(counts)):
                failed.append(stage.name)
    finally:
        end_processes(env[RUN_MARK])
        shutil.rmtree(scratch, ignore_errors=True)
    print()
    for reason, number in total.could_not_run.items():
        print(f"could not run: {number} × {reason}")
    minutes = (time.monotonic() - start) / 60
    print(
        f"passed {total.passed}, failed {total.failed}, "
        f"could not run {total.could_not_run.total()}, {minutes:.1f} minutes"
        + (f"; failed stages: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


def stop(number: int, _frame: object) -> None:
    """Turn a signal to end into an exception, so that the clean-up runs."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.exit(main(sys.argv[1:]))
