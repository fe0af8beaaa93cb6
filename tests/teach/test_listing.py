import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from limsup_widgets.teach.listing import claims_text, contents_table, list_contents, stored_claims
from limsup_widgets.teach.runner import CLAIMS

FRONT = {
    "id": "ls91",
    "part": "ls",
    "title": "Trial",
    "source": "here",
    "needs": ["CPU"],
    "data": "none at all",
    "licence": "CC0",
    "scarce": "nothing",
    "keywords": ["trial"],
    "minutes": 0.25,
    "memory_mb": 300,
}
HELPS = "holds: helps (a lot) (live; paired over 20 patients)\n"
ALT = "helps (a lot): mean difference +0.5, 95% interval -0.25 to +1.25, claimed above 0; 20 more"
BASIS = "live; paired over 20 patients"
RECORD = {"name": "helps (a lot)", "words": "holds", "basis": BASIS, "units": 20}
RECORD |= {"unit": "patient", "mean": 0.1234, "low": 0.1, "high": 0.2}


def code(source, *tags, prints="", alt=None, shows=None):
    outputs = [new_output("stream", name="stdout", text=prints)] if prints else []
    outputs += [new_output("display_data", data={"text/plain": shows})] if shows else []
    metadata = {"tags": list(tags)} | ({"mystnb": {"image": {"alt": alt}}} if alt else {})
    return new_code_cell(source, outputs=outputs, metadata=metadata)


def one_claim(prints=HELPS, alt=None, records=()):
    notebook = new_notebook(cells=[code("claim(...)", "claim", prints=prints, alt=alt)])
    notebook.metadata[CLAIMS] = list(records)
    (claim,) = stored_claims(notebook)
    return claim


@pytest.mark.parametrize(
    ("page", "numbers"),
    [
        ({"records": [RECORD], "alt": ALT}, (0.1234, 0.1, 0.2)),
        ({"alt": ALT}, (0.5, -0.25, 1.25)),
        ({}, (None, None, None)),
        (
            {"alt": "somebody else: mean difference +1, 95% interval +1 to +2, claimed x"},
            (None,) * 3,
        ),
        # Run by hand since: the line counts, not what the runner wrote then.
        ({"records": [RECORD | {"words": "undecided"}]}, (None, None, None)),
    ],
)
def test_values_of_the_interval(page, numbers):
    claim = one_claim(**page)
    assert (claim.mean, claim.low, claim.high) == numbers
    assert (claim.name, claim.words) == ("helps (a lot)", "holds")
    assert (claim.origin, claim.result, claim.kind) == ("live", None, "interval")
    assert (claim.units, claim.unit) == (20, "patient")


def test_values_of_other_claims():
    stored = one_claim("does not hold: sum (stored: results/ls02.json; deterministic; Table 2)\n")
    assert (stored.origin, stored.result) == ("stored", "results/ls02.json")
    assert (stored.kind, stored.units, stored.unit) == ("deterministic", None, None)
    few = one_claim("undecided: few (live; paired over 4 seeds, fewer than 5)\n")
    assert (few.units, few.unit) == (4, "seed")
    pooled = "undecided: p (live; paired over 6 patients, each the mean of its images, fewer)\n"
    assert one_claim(pooled).unit == "patient"


@pytest.fixture
def folder(tmp_path):
    cells = [
        code("claim(...)", "claim", prints=HELPS, alt=ALT),
        code("claim_true(...)", "claim", prints="undecided: two (live; deterministic)\n"),
        code('exercise("ls91.1", 1)\nexercise(\n    "ls91.2", 2)', "exercise"),
        code('check("ls91.1", ...)', shows="Widget with controls patient, blur"),
    ]
    (tmp_path / "ls").mkdir()
    notebook = new_notebook(cells=cells, metadata={"limsup": FRONT})
    nbformat.write(notebook, tmp_path / "ls" / "ls91-trial.ipynb")
    return tmp_path


def test_values_of_a_chapter(folder):
    (chapter,) = list_contents(folder)
    assert (chapter.id, chapter.part, chapter.minutes) == ("ls91", "ls", 0.25)
    assert chapter.path == "ls/ls91-trial.ipynb"
    assert [claim.words for claim in chapter.claims] == ["holds", "undecided"]
    assert chapter.exercises == ("ls91.1", "ls91.2")
    assert chapter.widgets == (("patient", "blur"),)
    assert chapter.as_json()["claims"][0]["low"] == -0.25


def test_values_of_the_text(folder):
    (chapter,) = list_contents(folder)
    head, row = contents_table([chapter]).splitlines()
    assert head.split()[:3] == ["id", "runs", "holds"]
    assert row.split() == ["ls91", "0.2", "min", "1", "0", "1", "2", "1", "Trial"]
    assert "+0.5 [-0.25, +1.25]" in claims_text(chapter)
