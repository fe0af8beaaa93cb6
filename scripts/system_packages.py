"""What viewer and browser tests need besides Python: find it, install it where that is possible.

``python scripts/system_packages.py`` installs what is missing with apt when root on Debian or
Ubuntu; elsewhere it prints one line. With ``CI=true`` a missing piece is an error.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from functools import partial

# Debian package -> a program on the path, or a shared library, that shows it is there.
PIECES = {
    "viewer": {
        "xvfb": "xvfb-run",
        "xauth": "xauth",
        "xdotool": "xdotool",
        "libxcb-icccm4": "libxcb-icccm.so.4",
        "libxcb-keysyms1": "libxcb-keysyms.so.1",
        "libxcb-shape0": "libxcb-shape.so.0",
        "libxcb-xkb1": "libxcb-xkb.so.1",
        "libxkbcommon-x11-0": "libxkbcommon-x11.so.0",
        "libxcb-cursor0": "libxcb-cursor.so.0",
        "libgl1": "libGL.so.1",
        "libegl1": "libEGL.so.1",
    },
    "browser": {"chromium": "chromium", "chromium-driver": "chromedriver"},
}


def present(piece: str) -> bool:
    """Tell whether a program is on the path, or a shared library can be loaded."""
    if ".so." not in piece:
        return shutil.which(piece) is not None
    try:
        ctypes.CDLL(piece)
    except OSError:
        return False
    return True


def missing(group: str) -> list[str]:
    """Return the Debian names of what one group of tests lacks on this machine."""
    return [package for package, piece in PIECES[group].items() if not present(piece)]


def apt_install(packages: list[str]) -> None:
    """Install packages with apt, saying so; a failure is left to the caller's next look."""
    print(f"apt: installing {' '.join(packages)}", flush=True)
    apt = partial(subprocess.run, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    apt(["apt-get", "update", "-qq"], stdout=subprocess.DEVNULL)
    apt(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        stdout=subprocess.DEVNULL,
    )


def main() -> int:
    """Install or name what is missing; return the exit status."""
    can_install = shutil.which("apt-get") and getattr(os, "geteuid", lambda: 1)() == 0
    status = 0
    for group in PIECES:
        packages = missing(group)
        if packages and can_install:
            apt_install(packages)
            packages = missing(group)
        if packages:
            print(
                f"{group} tests cannot run here: install {' '.join(packages)} "
                "(Debian/Ubuntu names; apt install as root)"
            )
            status = 1
    return status if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
