"""The helper that breaks chapters, on a chapter made here."""

import nbformat
import pytest
from chapters.sabotage import broken, claim_words
from nbformat.v4 import new_code_cell, new_notebook

from limsup_widgets import resources

CELLS = {
    "imports": "from limsup_widgets.teach import claim, claim_true",
    "method": "def gain(n):\n    return [1 + 0.1 * k for k in range(n)]",
    "claim": 'raise SystemError("an untagged claim ran")',
    "small": 'claim("helps: always (they say)", gain(6))\nclaim_true("six", len(gain(6)) == 6)',
}


@pytest.fixture(autouse=True)
def chapter(tmp_path, monkeypatch):
    """A stand-in for the folder of notebooks, with one chapter."""
    path = tmp_path / "_notebooks" / "xx" / "xx01-gains.ipynb"
    path.parent.mkdir(parents=True)
    cells = [new_code_cell(source, metadata={"tags": [tag]}) for tag, source in CELLS.items()]
    nbformat.write(new_notebook(cells=cells), path)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)


def test_values(capsys):
    assert claim_words("xx01") == {"helps: always (they say)": "holds", "six": "holds"}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"1 + 0.1": "-1 + 0.1"}, ["does not hold", "holds"]),
        ({"1 + 0.1": "0 + 9 * (-1)**k"}, ["undecided", "holds"]),
        ({"range(n)": "range(n - 1)"}, ["holds", "does not hold"]),
    ],
)
def test_values_of_faults(faults, words):
    assert list(claim_words("xx01", faults).values()) == words


def test_values_broken():
    assert broken("xx01", "1 + 0.1", "2 + 0.1").gain(1) == [2]


def test_errors():
    with pytest.raises(AssertionError, match="the chapter no longer says 'median'"):
        broken("xx01", "median", "mean")
    with pytest.raises(AssertionError, match="two claims have one name"):
        claim_words("xx01", {'"six"': '"helps: always (they say)"'})
