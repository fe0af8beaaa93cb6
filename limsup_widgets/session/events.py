"""What a session tells its views, and how it survives a view with a bug."""

from __future__ import annotations

import logging
from collections import deque

from psygnal import EmitLoopError, Signal, SignalGroup

_log = logging.getLogger("limsup")


class SessionEvents(SignalGroup):
    """Signals of a session; all of them arrive in the thread that made the session.

    Attributes
    ----------
    scribbles, prediction
        Index of the image whose labels, or whose result, changed.
    screen
        Index of the image of which more, or something newer, is on
        :attr:`~limsup_widgets.session.watchable.Watchable.screen`.
    image
        Index of the image that is now the current one.
    window
        Index of the large image of which another part is now worked on.
    progress
        A :class:`~limsup_widgets.learn.tune.TuneStep` after each step of a tune.
    tuning
        ``"started"``, ``"done"``, ``"cancelled"`` or ``"failed"``.
    message
        One line for the user.
    saved
        Whether everything done so far is on disk.
    model
        SHA-256 of the network that is now in use.
    said
        The last lines told to the user, also those that were said before anyone listened.
    """

    scribbles = Signal(int)
    prediction = Signal(int)
    screen = Signal(int)
    image = Signal(int)
    window = Signal(int)
    progress = Signal(object)
    tuning = Signal(str)
    message = Signal(str)
    saved = Signal(bool)
    model = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.said: deque[str] = deque(maxlen=100)

    def tell(self, name: str, *values: object) -> None:
        """Emit the signal ``name``; an error in a listener is logged and goes no further.

        A message that nobody listens to is logged as well, so that a script's user reads it.
        """
        signal = self[name]
        if name == "message":
            self.said.append(str(values[0]))
            if not len(signal):
                _log.warning("%s", values[0])
        try:
            signal.emit(*values)
        except EmitLoopError as error:
            _log.error("a listener of %r failed", name, exc_info=error.__cause__)
