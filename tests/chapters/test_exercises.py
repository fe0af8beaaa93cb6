"""Every exercise of every chapter, answered right, wrong, and in ways that make no sense."""

import numpy as np
import pytest

from limsup_widgets.resources import resource
from limsup_widgets.teach import exercises
from limsup_widgets.teach.chapters import SHARED_TAGS, cell_source, load_cells

PATHS = [
    path
    for path in sorted(resource("notebooks").glob("*/*-*.ipynb"))
    if cell_source(path, ["exercise"]).strip()
]
NONSENSE = (None, ..., "", "what?", float("nan"), [], [[1], [1, 2]], {}, np.zeros((7, 7, 7)), print)


@pytest.fixture
def own_registry(monkeypatch):
    """Exercises of one chapter at a time."""
    monkeypatch.setattr(exercises, "_EXERCISES", {})


def as_handed_in(exercise, value):
    """What a reader would hand in: for a function exercise, a function with these values."""
    if not exercise.cases:
        return value
    values = iter(value)
    return lambda *case: next(values)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_values(path, own_registry, capsys):
    load_cells(path, (*SHARED_TAGS, "exercise"))
    found = exercises.registered()
    assert found, "no exercise was registered"
    for id, each in found.items():
        assert id.startswith(f"{path.stem.split('-')[0]}.")
        assert exercises.judge(id, as_handed_in(each, each.answer)).right, id
        assert each.wrong, f"{id} names no misconception"
        for wrong in each.wrong:
            told = exercises.judge(id, as_handed_in(each, wrong.example))
            assert (told.right, told.says) == (False, wrong.says), id
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_values_nonsense_gets_one_sentence(path, own_registry):
    load_cells(path, (*SHARED_TAGS, "exercise"))
    for id, each in exercises.registered().items():
        for nonsense in NONSENSE:
            if each.cases and callable(nonsense):
                continue
            told = exercises.judge(id, nonsense)
            assert not told.right
            assert told.says.endswith((".", "?", "!")), (id, nonsense, told.says)
