"""What is going on: one case, its state, its events, the worker that tunes. No GUI in here."""

from limsup_widgets.session.session import Session

__all__ = ["Session"]
