"""Bring a virtual environment up to date: ``install.py VENV [EXTRA ...]``.

Standard library only, because it runs before anything is installed. A stamp inside the
environment holds a digest of what was asked for, so a second call returns at once, whatever the
time stamps of a fresh clone say.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = ".limsup.json"
LOG = "limsup-install.log"
SECONDS_BETWEEN_LINES = 20


def digest(root: Path) -> str:
    """Return what decides whether an installation is still the right one."""
    sha = hashlib.sha256(str(root).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        sha.update((root / name).read_bytes())
    return sha.hexdigest()


def installed_extras(venv: Path, wanted_digest: str | None = None) -> set[str] | None:
    """Return the extras the stamp names, or None without a stamp (of that digest)."""
    stamp = venv / STAMP
    if not stamp.is_file():
        return None
    content = json.loads(stamp.read_text())
    if wanted_digest is not None and content["digest"] != wanted_digest:
        return None
    return set(content["extras"])


def pinned_torch(root: Path) -> str:
    """Return the requirement of torch, as in ``torch==2.13.0``."""
    match = re.search(r"^torch==\S+", (root / "constraints.txt").read_text(), re.MULTILINE)
    if match is None:
        raise SystemExit("constraints.txt has no line torch==...; restore it from the repository")
    return match.group()


def python_of(venv: Path) -> Path:
    """Return the interpreter of an environment, which is made if it has none with pip."""
    python = venv / "bin" / "python"
    probe = [python, "-m", "pip", "--version"]
    if not python.exists() or subprocess.run(probe, capture_output=True).returncode:
        print(f"making {venv} with Python {sys.version.split()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    return python


def show(line: str, final: bool = False) -> None:
    """Rewrite one progress line on a terminal; elsewhere print it."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{line[:width]}", end="\n" if final else "", flush=True)
    else:
        print(line, flush=True)


def pip_install(python: Path, what: str, arguments: list[str]) -> None:
    """Run ``pip install`` behind one progress line; on failure show all that pip said."""
    command = [python, "-m", "pip", "install", "--progress-bar", "off", *arguments]
    start = time.monotonic()
    pip = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(pip.stdout), daemon=True)
    reader.start()
    pause = 1 if sys.stdout.isatty() else SECONDS_BETWEEN_LINES
    while reader.is_alive():
        reader.join(pause)
        if reader.is_alive():
            show(f"{what}: {time.monotonic() - start:.0f} s, {last_step(lines)}")
    code = pip.wait()
    with (python.parent.parent / LOG).open("a", encoding="utf-8") as log:
        log.writelines(lines)
    if code:
        show("".join(lines), final=True)
        raise SystemExit(f"{what} failed: pip's own words stand above (network? free disk space?)")
    show(f"{what}: done in {time.monotonic() - start:.0f} s", final=True)


def last_step(lines: list[str]) -> str:
    """Return pip's latest step in two words, such as ``Collecting scipy``."""
    steps = [line.split() for line in lines if line.lstrip().startswith(("Coll", "Down", "Inst"))]
    return " ".join(steps[-1][:2]) if steps else "starting"


def main(venv: Path, extras: set[str]) -> None:
    """Install torch first, alone, then limsup with the extras, all at the pinned versions.

    torch goes first because a resolver that meets it as somebody's dependency may prefer another
    build; one that is already there at the pinned version, CPU build or not, is kept.
    """
    wanted = digest(ROOT)
    current = installed_extras(venv, wanted)
    if current is not None and extras <= current:
        return
    extras |= installed_extras(venv) or set()
    python = python_of(venv)
    index = os.environ.get("TORCH_INDEX")
    torch = pinned_torch(ROOT)
    pip_install(python, f"installing {torch}", [torch, *(["--index-url", index] if index else [])])
    suffix = f"[{','.join(sorted(extras))}]" if extras else ""
    pip_install(python, f"installing limsup{suffix}", ["-c", "constraints.txt", "-e", f".{suffix}"])
    stamp = {"digest": wanted, "extras": sorted(extras)}
    (venv / STAMP).write_text(json.dumps(stamp) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), set(sys.argv[2:]))
