"""What the buttons and keys of a view do to its session, free of any GUI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError
from limsup_widgets.session.screen import is_large
from limsup_widgets.view import status

if TYPE_CHECKING:
    from limsup_widgets.session.compare import Comparison
    from limsup_widgets.session.regions import Region
    from limsup_widgets.session.session import Session

Kind = Literal["A", "E", "V"]


class Controls:
    """Actions of one view on one session; a mistake becomes a line for the user.

    Parameters
    ----------
    session
        The session acted on.
    say
        Shows one line to the user.

    Attributes
    ----------
    kind
        Kind of uncertainty on view.
    regions
        Places worth a stroke, as last ranked.
    place
        Index into `regions` of the place jumped to, -1 before the first jump.
    """

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        self.session, self.say = session, say
        self.kind: Kind = "V"
        self.regions: list[Region] = []
        self.place = -1
        self._reset_armed = False

    def act(self, name: str) -> object:
        """Do what `name` says: a method of this class or of the session.

        Returns
        -------
        object
            What the method returned; None if it refused, which the user was then told.
        """
        if name != "reset":
            self._reset_armed = False
        own = getattr(self, name, None)
        return self.guard(own if own is not None else getattr(self.session, name))

    def guard(self, action: Callable[..., object], *arguments: object) -> object:
        """Call `action`; a `LimsupError` goes to the user in one line."""
        try:
            return action(*arguments)
        except LimsupError as error:
            self.say(str(error))
            return None

    def tune(self) -> None:
        """Start tuning in the background."""
        self.session.start_tune()

    def tune_afresh(self) -> None:
        """Start tuning from the network that the session began with."""
        self.session.start_tune(afresh=True)

    def undo(self) -> None:
        """Take the last stroke back."""
        if self.session.undo() is None:
            self.say("nothing to undo")

    def redo(self) -> None:
        """Draw the last stroke taken back again."""
        if self.session.redo() is None:
            self.say("nothing to redo")

    def accept(self) -> None:
        """Write labels and uncertainty of all images, and say where."""
        self.say("writing labels and uncertainty …")
        self.say(f"accepted: files are in {self.session.accept()}")

    def reset(self) -> bool:
        """Go back to the start; the first call only asks, any other action in between cancels it.

        Returns
        -------
        bool
            Whether it was done.
        """
        if not self._reset_armed:
            self._reset_armed = True
            self.say("Back to the start: all strokes and tuning go. Once more to confirm.")
            return False
        self._reset_armed = False
        self.session.reset()
        self.forget_places()
        return True

    def rank_places(self, n: int = 5) -> list[Region]:
        """Rank the places of the current image worth a stroke, best first."""
        self.regions = list(self.session.where_next(n=n))
        self.place = -1
        return self.regions

    def next_region(self) -> Region | None:
        """Jump to the next place of the list, ranking anew when there is none or at its end."""
        if self._must_look_first():
            self.session.look(unsure=True)
            self.say("uncertainty of this part is being computed; once it is there, press again")
            return None
        if self.place + 1 >= len(self.regions):
            self.rank_places()
        if not self.regions:
            self.say("nothing left that is uncertain and not yet covered by a stroke")
            return None
        self.place += 1
        return self.regions[self.place]

    def _must_look_first(self) -> bool:
        """Whether ranking would keep the user waiting for the window of a large image."""
        if not (is_large(self.session.images[self.session.current]) and self.session.ready):
            return False
        return self.session.screen.done < 1 or not self.session.screen.passes

    def forget_places(self) -> None:
        """Drop the list: what it was ranked by has changed."""
        self.regions, self.place = [], -1

    def uncertainty(self) -> NDArray[np.floating] | None:
        """Map (h, w) of the kind on view, as far as it is known; None if there is none yet."""
        answer = self.guard(self.session.screen.kind, self.kind)
        return answer if isinstance(answer, np.ndarray) and answer.any() else None

    def toggle_live(self) -> None:
        """Answer each stroke at once and tune behind it, or only tune when asked."""
        self.session.live = not self.session.live
        self.say(status.LIVE if self.session.live else status.NOT_LIVE)

    def comparison(self) -> Comparison | None:
        """The previous result of the current image against the present one; None before a tune."""
        index = self.session.current
        return self.session.compare(index) if self.session.is_comparable(index) else None

    def dice(self) -> NDArray[np.floating] | None:
        """Dice (K,) of the current image; None where truth or prediction is not known."""
        index = self.session.current
        if self.session.truth(index) is None or not self.session.is_known(index):
            return None
        return self.session.dice(index)
