import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from limsup_widgets.teach.exercise_checks import exercise_problems
from limsup_widgets.teach.exercises import exercise, registered

START = "from limsup_widgets.teach import exercise\n"
GOOD = 'exercise("xx01.1", 0.25, wrong={1.0: "That is no variance."})'
FUNCTION = """
from limsup_widgets.teach.exercises import Misconception
exercise("xx01.2", [1, 4], cases=[(1,), (2,)], wrong=[Misconception([1, 2], "Squares, please.")])
"""
UNPUNCTUATED = """
from limsup_widgets.teach.exercises import Misconception
wrong = Misconception(1.0, "That is no variance", when=lambda answer: True)
exercise("xx01.1", 0.25, wrong=[wrong])
"""


@pytest.fixture
def problems(tmp_path):
    def of(source):
        path = tmp_path / "xx01-trial.ipynb"
        cells = [new_code_cell(START + source, metadata={"tags": ["exercise"]})]
        nbformat.write(new_notebook(cells=cells), path)
        return exercise_problems(path)

    return of


def test_values(problems):
    exercise("other.1", True, wrong={})
    assert problems(GOOD + FUNCTION) == []
    assert "other.1" in registered()
    assert "xx01.1" not in registered()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", "no exercise was registered"),
        (GOOD + "\nprint(1)", "exercise cells print '1"),
        (GOOD.replace("xx01", "xx02"), "xx02.1: its id does not begin with xx01."),
        ('exercise("xx01.1", 0.25)', "names no misconception"),
        (UNPUNCTUATED, "nonsense '' is told 'That is no variance'"),
        (GOOD.replace("0.25", 'float("nan")'), "its own answer is not accepted"),
    ],
)
def test_values_of_faults(problems, source, found):
    said = problems(source)
    assert any(found in line for line in said), said
