"""What nbval compares of a claim: its words, not its numbers. Real runs, on notebooks made here."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from limsup_widgets.teach.runner import run_chapter

SOURCE = (
    "import numpy as np\n"
    "from limsup_widgets.teach import claim\n"
    'claim("helps", np.random.default_rng(0).normal(1, 0.1, 8))'
)
COMMAND = ("-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=60")
FRONT = {
    "id": "xx01",
    "part": "xx",
    "title": "Trial",
    "source": "here",
    "needs": ["CPU"],
    "data": "none at all",
    "licence": "CC0",
    "scarce": "nothing",
    "keywords": ["trial"],
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A chapter of one claim, run and stored."""
    path = tmp_path_factory.mktemp("nbval") / "xx01-trial.ipynb"
    cell = new_code_cell(SOURCE, metadata={"tags": ["claim", "nbval-check-output"]})
    nbformat.write(new_notebook(cells=[cell], metadata={"limsup": FRONT}), path)
    run_chapter(path)
    return nbformat.read(path, as_version=4)


def change(notebook, old, new):
    """A copy with ``old`` in the cell's source or its printed line replaced."""
    made = copy.deepcopy(notebook)
    (cell,) = made.cells
    cell.source = cell.source.replace(old, new)
    cell.outputs[0].text = cell.outputs[0].text.replace(old, new)
    assert made != notebook
    return made


def silence(notebook):
    made = copy.deepcopy(notebook)
    made.cells[0].update(outputs=[], execution_count=None)
    return made


@pytest.mark.slow
def test_values(stored, tmp_path):
    trials = {
        "same": stored,
        "other_numbers": change(stored, "default_rng(0)", "default_rng(7)"),
        "other_words": change(stored, "holds:", "undecided:"),
        "refuted_now": change(stored, "normal(1,", "normal(-1,"),
        "silent": silence(change(stored, "normal(1,", "normal(-1,")),
    }
    for name, notebook in trials.items():
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, *COMMAND, "-rA", str(tmp_path), "-c", os.devnull],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = dict(
        reversed(line.split()[:2]) for line in done.stdout.splitlines() if is_result(line)
    )
    verdicts = {Path(node.split("::")[0]).stem: word for node, word in verdicts.items()}
    assert verdicts == {
        "same": "PASSED",
        "other_numbers": "PASSED",
        "other_words": "FAILED",
        "refuted_now": "FAILED",
        # The trap that limsup_widgets.teach.checks.executed closes.
        "silent": "PASSED",
    }


def is_result(line):
    return line.startswith(("PASSED ", "FAILED "))


@pytest.mark.slow
def test_values_alt_text_and_pictures_of_a_stored_claim(stored):
    (cell,) = stored.cells
    assert cell.metadata["mystnb"]["image"]["alt"].startswith("helps: mean difference +")
    assert cell.outputs[1].data["image/png"]
    assert cell.outputs[0].text == "holds: helps (live; paired over 8 seeds)\n"
