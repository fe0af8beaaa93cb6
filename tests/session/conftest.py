"""A session on two small images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from session_cases import CLASSES, QUICK, halves, tiny, truth

from limsup_widgets.session import Session


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session(
        [halves(0), halves(1)],
        CLASSES,
        model=tiny(),
        truths=[truth(), None],
        settings=QUICK,
        passes=3,
    )
    yield made
    made.close()
