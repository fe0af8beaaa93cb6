"""Which view a session gets here: a window, a panel in the notebook, or one line saying why not."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from limsup_widgets.errors import LimsupError
from limsup_widgets.view.display import viewer_available

if TYPE_CHECKING:
    from limsup_widgets.session.session import Session

View = Literal["auto", "napari", "panel"]

_views: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
"""Views by kind and case; weak, so that a closed window is held by nobody."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def show(session: Session, view: View = "auto", block: bool | None = None) -> Any:
    """Show a session in the best view there is here.

    Parameters
    ----------
    session
        What to show. A session of the same name, classes and images gets the window that is
        already open, so that a cell may be run twice.
    view
        ``"napari"`` or ``"panel"`` to insist on one; by default napari where there is a display,
        else the panel where there is a notebook.
    block
        Whether to wait until the window is closed. By default only in a plain script, which
        would end at once otherwise.

    Returns
    -------
    NapariView, NotebookPanel or None
        The view; None where neither is possible, which is then said in one line.

    Raises
    ------
    LimsupError
        For another name of a view.
    """
    if view not in ("auto", "napari", "panel"):
        raise LimsupError("view", got=repr(view), expected="'auto', 'napari' or 'panel'")
    available, reason = viewer_available() if view != "panel" else (False, "")
    if available:
        return _show_window(session, block)
    if in_notebook() or view == "panel":
        if reason:
            print(f"No window: {reason}. The panel below does the same.")
        return _show_panel(session)
    print(f"No window: {reason}. Open the session in a notebook: there it gets a panel.")
    return None


def _case_of(session: Session) -> Hashable:
    return session.name, session.classes, tuple(image.sha256 for image in session.images)


def _show_window(session: Session, block: bool | None) -> Any:
    from limsup_widgets.view.napari_view import NapariView, run

    known = _views.get(("napari", _case_of(session)))
    if known is None:
        view = _views["napari", _case_of(session)] = NapariView(session)
    else:
        view = known.show() if known.session is session else known.follow(session)
    scripted = not in_notebook() and not hasattr(sys, "ps1")
    if scripted if block is None else block:
        run()
    return view


def _show_panel(session: Session) -> Any:
    from limsup_widgets.view.panel import NotebookPanel

    known = _views.get(("panel", _case_of(session)))
    if known is not None and known.session is session and known.comm is not None:
        return known
    if known is not None:
        known.close()
    panel = _views["panel", _case_of(session)] = NotebookPanel(session)
    return panel
