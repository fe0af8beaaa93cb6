"""Is there a screen to open a viewer on? Asked without Qt, which aborts the process if not."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_UNUSABLE_PLATFORMS = ("offscreen", "minimal", "vnc", "linuxfb")
_XCB_ERRORS = {
    1: "the display {display} does not answer",
    5: "no display is set (DISPLAY is empty)",
}


class _ExtensionReply(ctypes.Structure):
    """Head of xcb_query_extension_reply_t: all that is needed of it."""

    _fields_ = (
        ("response_type", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
        ("sequence", ctypes.c_uint16),
        ("length", ctypes.c_uint32),
        ("present", ctypes.c_uint8),
    )


class _Cookie(ctypes.Structure):
    _fields_ = (("sequence", ctypes.c_uint),)


def _load_xcb() -> ctypes.CDLL | None:
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return None
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    xcb.xcb_connection_has_error.argtypes = (ctypes.c_void_p,)
    xcb.xcb_disconnect.argtypes = (ctypes.c_void_p,)
    xcb.xcb_query_extension.restype = _Cookie
    xcb.xcb_query_extension.argtypes = (ctypes.c_void_p, ctypes.c_uint16, ctypes.c_char_p)
    xcb.xcb_query_extension_reply.restype = ctypes.POINTER(_ExtensionReply)
    xcb.xcb_query_extension_reply.argtypes = (ctypes.c_void_p, _Cookie, ctypes.c_void_p)
    return xcb


def _probe_x11() -> tuple[bool, str]:
    """Connect to the X server and ask for GLX: a server without it segfaults on drawing."""
    xcb = _load_xcb()
    if xcb is None:
        return False, "the library libxcb is missing"
    connection = xcb.xcb_connect(None, None)
    try:
        error = xcb.xcb_connection_has_error(connection)
        if error:
            text = _XCB_ERRORS.get(error, "the display {display} refused the connection")
            return False, text.format(display=os.environ.get("DISPLAY", ""))
        cookie = xcb.xcb_query_extension(connection, 3, b"GLX")
        reply = xcb.xcb_query_extension_reply(connection, cookie, None)
        if not reply or not reply.contents.present:
            return False, "the display has no OpenGL (GLX extension)"
        return True, f"X display {os.environ['DISPLAY']}"
    finally:
        xcb.xcb_disconnect(connection)


def _probe_wayland() -> tuple[bool, str]:
    """Look for the compositor's socket."""
    socket = Path(os.environ.get("XDG_RUNTIME_DIR", "/")) / os.environ["WAYLAND_DISPLAY"]
    if socket.is_socket():
        return True, f"Wayland display {socket.name}"
    return False, f"the Wayland socket {socket} does not exist"


def _within(seconds: float) -> tuple[bool, str]:
    """Run the X11 probe in a thread, because a remote or frozen server can hang a connection."""
    answers: list[tuple[bool, str]] = []
    thread = threading.Thread(target=lambda: answers.append(_probe_x11()), daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    display = os.environ.get("DISPLAY", "")
    return False, f"the display {display} did not answer within {seconds:g} s"


def display_available(timeout: float = 5.0) -> tuple[bool, str]:
    """Say whether a window with OpenGL can be opened, without loading Qt.

    Parameters
    ----------
    timeout
        Longest wait for an answer of the X server, in seconds. It usually takes 1 ms.

    Returns
    -------
    available, reason
        The reason names the display found or what is missing, for a one-line message.

    Examples
    --------
    >>> available, reason = display_available()
    >>> isinstance(reason, str)
    True
    """
    platform = os.environ.get("QT_QPA_PLATFORM", "").split(":")[0]
    if platform in _UNUSABLE_PLATFORMS:
        return False, f"QT_QPA_PLATFORM={platform} draws no OpenGL"
    if not sys.platform.startswith("linux"):
        return True, f"the desktop of {sys.platform}"
    if os.environ.get("DISPLAY"):
        return _within(timeout)
    if os.environ.get("WAYLAND_DISPLAY"):
        return _probe_wayland()
    return False, _XCB_ERRORS[5]


def _fatal_qt() -> str:
    """Name the Qt binding that ends the process, if that is the one installed; else empty."""
    # PySide6 6.12.0 releases a reference to None at each call. None has a count of references up
    # to Python 3.11: after some ten thousand calls, minutes of an open window, Python aborts.
    if sys.version_info >= (3, 12):
        return ""
    try:
        found = version("PySide6_Essentials")
    except PackageNotFoundError:
        return ""
    return found if found == "6.12.0" else ""


def viewer_available() -> tuple[bool, str]:
    """Say whether the napari view can be opened: its packages, then the display.

    Returns
    -------
    available, reason
        As `display_available`.
    """
    missing = [name for name in ("napari", "qtpy", "PySide6") if find_spec(name) is None]
    if missing:
        return False, f"{missing[0]} is not installed (pip install 'limsup[napari]')"
    if fatal := _fatal_qt():
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        remedy = "pip install 'PySide6-Essentials<6.12'"
        return False, f"PySide6 {fatal} crashes Python {python} ({remedy})"
    return display_available()
