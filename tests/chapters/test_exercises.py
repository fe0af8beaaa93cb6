"""Every exercise of every chapter, answered right, wrong, and in ways that make no sense."""

import pytest

from limsup_widgets.resources import resource
from limsup_widgets.teach.chapters import cell_source
from limsup_widgets.teach.exercise_checks import exercise_problems

PATHS = [
    path
    for path in sorted(resource("notebooks").glob("*/*-*.ipynb"))
    if cell_source(path, ["exercise"]).strip()
]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_values(path):
    found = exercise_problems(path)
    assert not found, "\n".join(found)
