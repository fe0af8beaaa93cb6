"""Whatever is done in whatever order: live, replayed and naively computed states are one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from session_cases import CLASSES, tiny

from limsup_widgets.data.journal import replay
from limsup_widgets.data.journal.reading import parse_journal
from limsup_widgets.session import Session

SIDE = 8
MODEL = tiny()

paints = st.tuples(
    st.just("paint"),
    st.lists(st.integers(0, SIDE * SIDE - 1), min_size=1, max_size=12),
    st.integers(0, 2),
    st.integers(0, 1),
)
moves = st.tuples(st.sampled_from(["undo", "redo", "redo", "undo", "reset", "note"]))


class Naive:
    """The same rules with a copy of all labels per step in place of strokes."""

    def __init__(self) -> None:
        self.states, self.ahead = [np.zeros((2, SIDE, SIDE), np.uint8)], []

    def do(self, action: tuple) -> None:
        if action[0] == "paint":
            labels = self.states[-1].copy()
            labels[action[3]].ravel()[action[1]] = action[2]
            if (labels != self.states[-1]).any():
                self.states.append(labels)
                self.ahead = []
        elif action[0] == "undo" and len(self.states) > 1:
            self.ahead.append(self.states.pop())
        elif action[0] == "redo" and self.ahead:
            self.states.append(self.ahead.pop())
        elif action[0] == "reset":
            self.__init__()


def do(session: Session, action: tuple) -> None:
    if action[0] == "paint":
        session.paint(action[1], action[2], action[3])
    elif action[0] == "note":
        session.note("x")
    else:
        getattr(session, action[0])()


@given(st.lists(st.one_of(paints, moves), max_size=25))
@settings(max_examples=40)
def test_equivalence(actions: list[tuple]) -> None:
    images = [np.full((SIDE, SIDE, 3), i, np.uint8) for i in range(2)]
    session, naive = Session(images, CLASSES, model=MODEL), Naive()
    for action in actions:
        do(session, action)
        naive.do(action)
    record = session._record
    content = parse_journal(b"".join(line.line() for line in (record.header, *record.events)))
    replayed = replay(content)
    for i in range(2):
        np.testing.assert_array_equal(session.labels(i), naive.states[-1][i])
        np.testing.assert_array_equal(replayed.labels[i], session.labels(i))
    assert (replayed.done, replayed.undone) == (session._history.done, session._history.undone)
    assert session.can_undo == (len(naive.states) > 1) and session.can_redo == bool(naive.ahead)
    while session.undo():
        pass
    assert not session.labels(0).any() and not session.labels(1).any()
