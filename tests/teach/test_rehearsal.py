import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.rehearsal import compare, rehearse

FRONT = {
    "id": "xx01",
    "part": "start",
    "title": "Trial",
    "source": "here",
    "needs": ["CPU"],
    "data": "none at all",
    "licence": "CC0",
    "scarce": "TODO",
    "keywords": ["trial"],
}
CLAIMS = """import os
from limsup_widgets.teach import claim, claim_true, seeds
signs = [1 if seed < 500 else -1 for seed in seeds(6)]
claim("lucky", signs)
claim("owns up", signs, steady=False)
claim("near", [1, -1, 1, -1, 1, -1] if seeds(1)[0] < 500 else signs, at_most=0)
claim("always", [1, 1, 1, 1, 1])
claim_true("one thread", os.environ["OMP_NUM_THREADS"] == "1")"""
ASSERTION = "assert seeds(1)[0] < 500, 'the text says otherwise'"


@pytest.fixture
def chapter(tmp_path):
    """A page of claims; sections and thumbnail are not its subject."""

    def make(*sources):
        path = tmp_path / "xx01-trial.ipynb"
        cells = [new_markdown_cell("# Trial"), new_markdown_cell("", metadata={"tags": ["cost"]})]
        tags = {"tags": ["claim", "nbval-check-output"]}
        cells += [new_code_cell(source, metadata=tags) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata={"limsup": FRONT}), path)
        return path

    return make


@pytest.mark.parametrize(
    ("page", "again", "problem", "note"),
    [
        ("holds", "holds", None, None),
        ("undecided", "undecided", None, None),
        ("holds", "undecided", "claim 'a': holds, but undecided with x: add units", None),
        ("does not hold", "holds", "does not hold, but holds with x", None),
        ("undecided", "holds", None, "undecided, but holds with x; steady=False keeps"),
        ("holds", None, "claim 'a' is not made with x", None),
        (None, "holds", "claim 'a' is made only with x", None),
    ],
)
def test_values_of_the_comparison(page, again, problem, note):
    one, two = ({} if words is None else {"a": (words, "live; paired")} for words in (page, again))
    problems, notes = compare(one, two, "x")
    assert [problem in line for line in problems] == [True] * (problem is not None)
    assert [note in line for line in notes] == [True] * (note is not None)


def test_values_of_a_deterministic_claim():
    for page, again in (("holds", "does not hold"), ("does not hold", "holds")):
        one, two = ({"a": (words, "live; deterministic")} for words in (page, again))
        (problem,), notes = compare(one, two, "x")
        assert "must not depend on the draw" in problem
        assert not notes


@pytest.mark.slow
def test_values(chapter):
    path, said = chapter(CLAIMS, ASSERTION), []
    report = rehearse(path, say=said.append)
    before = path.read_bytes()
    shown = "\n".join(report.problems)
    assert "claim 'lucky': holds, but does not hold with seeds shifted by 1000: add" in shown
    assert "claim 'one thread': holds, but does not hold with two threads" in shown
    assert "with seeds shifted by 1000, cell 4 fails: AssertionError: the text says" in shown
    assert sum("with two" in line or "with seeds" in line for line in report.problems) == 3
    assert any("claim 'near': undecided, but holds" in note for note in report.notes)
    assert any(note.startswith("TODO stands 1 time") for note in report.notes)
    assert "thumbnail: 0 cells tagged" in shown
    assert len(said) == 4
    assert b"two threads" not in before
    assert b"AssertionError" not in before


@pytest.mark.slow
def test_values_without_reruns_and_without_seeds(chapter):
    path, said = chapter('from limsup_widgets.teach import claim\nclaim("a", range(1, 9))'), []
    rehearse(path, reruns=False, say=said.append)
    assert len(said) == 2
    report = rehearse(path, say=said.append)
    assert len(said) == 5
    assert "no cell calls seeds()" in report.notes[-1]


@pytest.mark.slow
def test_errors(chapter):
    path = chapter("1 + 1", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(LimsupError, match="cell 4 fails: got ZeroDivisionError"):
        rehearse(path)
    assert path.read_bytes() == before
