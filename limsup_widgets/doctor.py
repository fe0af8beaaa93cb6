"""`limsup doctor`: what this machine has, and what to do about what it has not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from limsup_widgets import __version__
from limsup_widgets.errors import LimsupError

EXTRAS = {"lab": "notebooks", "napari": "the viewer", "book": "building the book"}
LEAST_FREE_GB = 2.0

_PROBE_ERRORS = (
    ImportError,
    OSError,
    RuntimeError,
    ValueError,
    AttributeError,
    TypeError,
    subprocess.SubprocessError,
    PackageNotFoundError,
    InvalidRequirement,
)

# Making the OpenGL context is what aborts a process on a bad display, so it is left to another one.
_GL_PROBE = """
from PySide6.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
context, surface = QOpenGLContext(), QOffscreenSurface()
surface.create()
if not (context.create() and context.makeCurrent(surface)):
    raise SystemExit("no OpenGL context")
form = context.format()
print(f"OpenGL {form.majorVersion()}.{form.minorVersion()}")
"""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    name, detail
        What was looked at and what was found.
    ok
        Whether it is as it should be.
    remedy
        What to do if not.
    required
        Whether limsup can do nothing without it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = False

    def line(self) -> str:
        """The check as one line.

        Examples
        --------
        >>> print(Check("display", False, "none", remedy="work in the notebook").line())
        ✗ display    none. Do: work in the notebook
        """
        mark = "✓" if self.ok else "✗"
        remedy = "" if self.ok or not self.remedy else f". Do: {self.remedy}"
        need = "" if self.ok or not self.required else " (required)"
        return f"{mark} {self.name:<10} {self.detail}{need}{remedy}"


def examine() -> Iterator[Check]:
    """All checks, one after the other; a probe that fails is itself a ✗ and stops nothing."""
    probes: list[tuple[str, Callable[[], Check], bool]] = [
        ("python", check_python, True),
        ("packages", check_packages, True),
        ("network", check_weights, True),
        *((extra, lambda extra=extra: check_extra(extra), False) for extra in EXTRAS),
        ("display", check_display, False),
        ("OpenGL", check_gl, False),
        ("GPU", check_gpu, False),
        ("cache", check_cache, False),
        ("disk", check_disk, False),
    ]
    for name, probe, required in probes:
        try:
            yield probe()
        except _PROBE_ERRORS as error:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            yield Check(
                name, False, f"could not be checked ({reason})", "install limsup again", required
            )


def check_python() -> Check:
    """Python, machine and the version of limsup."""
    detail = (
        f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPU cores, "
        f"limsup {__version__}"
    )
    return Check(
        "python", sys.version_info >= (3, 11), detail, "install Python 3.11 or newer", True
    )


def check_packages() -> Check:
    """The packages that limsup cannot work without, and their versions."""
    bad = _unmet("")
    shown = ", ".join(f"{name} {version(name)}" for name in ("torch", "monai") if _has(name))
    detail = "; ".join(bad) if bad else f"all present ({shown})"
    return Check("packages", not bad, detail, "pip install --upgrade limsup", True)


def check_extra(extra: str) -> Check:
    """The optional packages of one extra."""
    bad = _unmet(extra)
    detail = "; ".join(bad) if bad else f"for {EXTRAS[extra]}: all present"
    return Check(extra, not bad, detail, f"pip install 'limsup[{extra}]'  (for {EXTRAS[extra]})")


def check_weights() -> Check:
    """The networks that are shipped with limsup."""
    from limsup_widgets.learn.weights import load_u0

    try:
        sizes = [sum(p.numel() for p in load_u0(dropout).parameters()) for dropout in (False, True)]
    except LimsupError as error:
        return Check("network", False, str(error), "install limsup again", True)
    return Check("network", True, f"U0 with and without dropout, {sizes[0]:,} parameters", "", True)


def check_display() -> Check:
    """Whether a window can be opened."""
    from limsup_widgets.view.display import display_available

    available, reason = display_available()
    remedy = (
        "use the panel in the notebook (session.show() gives it by itself), log in with ssh -X, "
        "or start a virtual display: xvfb-run -a -s '-screen 0 1400x1000x24' limsup open …"
    )
    return Check("display", available, reason, remedy)


def check_gl() -> Check:
    """Whether Qt gets an OpenGL context on the display, tried in another process."""
    from limsup_widgets.view.display import display_available

    if not display_available()[0]:
        return Check("OpenGL", False, "not tried without a display", "see display")
    if find_spec("PySide6") is None:
        return Check("OpenGL", False, "PySide6 is missing", "pip install 'limsup[napari]'")
    command = [sys.executable, "-c", _GL_PROBE]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if probe.returncode == 0:
        return Check("OpenGL", True, probe.stdout.strip())
    said = (probe.stderr.strip().splitlines() or [f"the probe ended with {probe.returncode}"])[0]
    remedy = (
        "install OpenGL and the libraries Qt needs; on Debian or Ubuntu: apt install libgl1 "
        "libegl1 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 "
        "libxkbcommon-x11-0"
    )
    return Check("OpenGL", False, said[:160], remedy)


def check_gpu() -> Check:
    """The accelerator that torch would use."""
    import torch

    if torch.cuda.is_available():
        return Check("GPU", True, f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
    remedy = "nothing is needed: all works on the CPU; for an NVIDIA GPU install torch with CUDA"
    return Check("GPU", False, f"none that torch {torch.__version__} can use", remedy)


def check_cache() -> Check:
    """Whether the cache of downloaded data can be written."""
    from limsup_widgets.data.manifests import CACHE_VARIABLE, cache_folder

    folder = cache_folder()
    remedy = f"set {CACHE_VARIABLE} to a folder that you may write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check("cache", False, f"{folder}: {error.strerror}", remedy)
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Check("cache", True, f"{folder} ({held / 1e6:.1f} MB)")


def check_disk() -> Check:
    """Free space where sessions are written."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    detail = f"{free:.1f} GB free in {Path.cwd()}"
    return Check("disk", free >= LEAST_FREE_GB, detail, f"free {LEAST_FREE_GB:g} GB")


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _unmet(extra: str) -> list[str]:
    """Requirements of limsup, or of one of its extras, that are missing or too old."""
    bad = []
    for text in requires("limsup") or []:
        need = Requirement(text)
        if need.marker is None and extra:
            continue
        if need.marker and not (extra and need.marker.evaluate({"extra": extra})):
            continue
        if not _has(need.name):
            bad.append(f"{need.name} missing")
        elif not need.specifier.contains(version(need.name), prereleases=True):
            bad.append(f"{need.name} {version(need.name)}, needed {need.specifier}")
    return bad
