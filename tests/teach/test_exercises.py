import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.exercises import Misconception, check, exercise, judge, registered

KINDS = {"t.1": 0.25, "t.2": True, "t.3": "none", "t.4": (1.0, 2.0, 3.0)}


@pytest.fixture(autouse=True)
def _registered():
    exercise("t.1", 0.25, wrong={1.0: "A variance cannot reach 1.", "p": "That is the argument."})
    exercise("t.2", True, wrong={False: "It is symmetric."})
    exercise("t.3", "none", wrong={"both": "Neither one moves."})
    exercise(
        "t.4",
        (1.0, 2.0, 3.0),
        wrong=[
            Misconception((3.0, 2.0, 1.0), "Sorted the other way round."),
            Misconception((2.0, 2.0, 2.0), "All equal.", when=lambda a: np.ptp(a) == 0),
        ],
    )
    exercise(
        "t.5",
        answer=[0.0, 0.25],
        cases=[(0.0,), (0.5,)],
        wrong=[Misconception([0.0, 0.5], "The factor 1 - p is missing.")],
    )


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("t.1", 0.25),
        ("t.1", 0.2504),
        ("t.1", "0.25"),
        ("t.1", " 0,25 "),
        ("t.1", "25 %"),
        ("t.1", np.array([0.25])),
        ("t.1", np.float32(0.25)),
        ("t.2", np.bool_(True)),
        ("t.2", "yes"),
        ("t.3", " None."),
        ("t.4", [1, 2, 3]),
        ("t.4", np.array([1, 2, 3])),
        ("t.4", range(1, 4)),
        ("t.5", lambda p: p * (1 - p)),
    ],
)
def test_values_right(id, answer):
    assert judge(id, answer).right


@pytest.mark.parametrize(
    ("id", "answer", "told"),
    [
        ("t.1", 1.0, "A variance cannot reach 1."),
        ("t.1", "100 %", "A variance cannot reach 1."),
        ("t.1", "p", "That is the argument."),
        ("t.1", 25, "percentage"),
        ("t.1", -0.25, "sign"),
        ("t.1", 0.3, "Too high"),
        ("t.1", 0.2, "Too low"),
        ("t.1", None, "in place of the dots"),
        ("t.1", ..., "in place of the dots"),
        ("t.1", "a quarter", "cannot be read"),
        ("t.1", float("nan"), "division by zero"),
        ("t.1", True, "not True or False"),
        ("t.1", [0.25, 0.25], "One number"),
        ("t.1", {"p": 0.25}, "cannot be read"),
        ("t.1", max, "call it"),
        ("t.2", False, "symmetric"),
        ("t.2", 3, "True or False"),
        ("t.3", "both", "Neither"),
        ("t.3", 3, "quotation marks"),
        ("t.4", [3, 2, 1], "other way round"),
        ("t.4", [5, 5, 5], "All equal"),
        ("t.4", [1, 2], "shape (2,)"),
        ("t.4", [1, np.nan, 3], "first at [1]"),
        ("t.4", [[1, 2], [3]], "cannot be read"),
        ("t.5", lambda p: p, "1 - p is missing"),
        ("t.5", 0.25, "without brackets"),
        ("t.5", lambda p: None, "returns nothing yet"),
        ("t.9", 1, "run the cell above"),
    ],
)
def test_values_wrong_is_told_why(id, answer, told):
    judgement = judge(id, answer)
    assert not judgement.right
    assert told in judgement.says


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.sets(st.integers()),
)


@given(ANYTHING, st.sampled_from(sorted(KINDS)))
def test_values_any_answer_gets_one_sentence(answer, id):
    judgement = judge(id, answer)
    assert judgement.right or judgement.says
    assert "\n" not in judgement.says


def test_values_printed_line(capsys):
    check("t.1", 0.25)
    check("t.1", 1)
    assert capsys.readouterr().out.splitlines() == [
        "t.1 – Right.",
        "t.1 – Not yet. A variance cannot reach 1.",
    ]


def test_roundtrip_registering_again_replaces():
    exercise("t.1", 0.5, wrong={1.0: "No."})
    assert judge("t.1", 0.5).right
    assert registered()["t.1"].answer == 0.5


def test_errors_a_wrong_answer_that_would_count_as_right():
    with pytest.raises(LimsupError, match="narrow tol"):
        exercise("t.6", 0.25, tol=0.1, wrong={0.3: "Not this."})
    assert "t.6" not in registered()
