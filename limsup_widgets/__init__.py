"""limsup: learning with limited supervision in medical imaging.

Ten names are at the top; each is loaded when it is first used, so that ``import limsup_widgets``
costs nothing and needs neither torch nor a display.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from limsup_widgets.data.annotators import annotate as annotate
    from limsup_widgets.data.image import Image as Image
    from limsup_widgets.data.kidney import kidney_cohort as kidney_cohort
    from limsup_widgets.data.readers import read_image as read_image
    from limsup_widgets.errors import LimsupError as LimsupError
    from limsup_widgets.learn.moments import mc_moments as mc_moments
    from limsup_widgets.learn.tune import TuneSettings as TuneSettings
    from limsup_widgets.learn.tune import fine_tune as fine_tune
    from limsup_widgets.learn.weights import load_u0 as load_u0
    from limsup_widgets.session.session import Session as Session
else:
    _HOMES = {
        "Image": "data.image",
        "LimsupError": "errors",
        "Session": "session.session",
        "TuneSettings": "learn.tune",
        "annotate": "data.annotators",
        "fine_tune": "learn.tune",
        "kidney_cohort": "data.kidney",
        "load_u0": "learn.weights",
        "mc_moments": "learn.moments",
        "read_image": "data.readers",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *_HOMES])
