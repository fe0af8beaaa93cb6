"""What is seen: figures, the notebook panel, the napari view, widgets of chapters.

Nothing is loaded before it is asked for: importing this package needs no display.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limsup_widgets.view.dispatch import show as show
    from limsup_widgets.view.display import display_available as display_available
    from limsup_widgets.view.napari_view import NapariView as NapariView
    from limsup_widgets.view.panel import NotebookPanel as NotebookPanel
else:
    _HOMES = {
        "NapariView": "napari_view",
        "NotebookPanel": "panel",
        "display_available": "display",
        "show": "dispatch",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *_HOMES])
