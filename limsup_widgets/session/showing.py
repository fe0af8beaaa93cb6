"""The way to the views, which know the session while the session does not know them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def show(session: object, **options: Any) -> Any:
    """Hand ``session`` to ``limsup_widgets.view.show``, looked up when it is needed."""
    return import_module("limsup_widgets.view").show(session, **options)
