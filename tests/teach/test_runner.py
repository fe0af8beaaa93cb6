import base64
import io

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.frontmatter import read_front_matter
from limsup_widgets.teach.runner import WIDGET, main, tidy

SOURCE = """# ---
# jupyter:
#   limsup:
#     id: xx01
#     part: xx
#     title: "Trial"
#     source: "here, page 3"
#     needs: [CPU]
#     data: none at all
#     licence: CC0
#     scarce: nothing
#     keywords: [trial]
# ---

# %% [markdown]
# # Trial

# %% [markdown] tags=["cost"]
# later

# %% tags=["method"]
import os

print(os.environ["LIMSUP_PROFILE"], os.environ["OMP_NUM_THREADS"], repr(os.environ["DISPLAY"]))

# %%
FINAL
"""


@pytest.fixture
def source(tmp_path):
    def write(final="1 + 1"):
        path = tmp_path / "xx01.py"
        path.write_text(SOURCE.replace("FINAL", final))
        return path

    return write


def run(source, tmp_path):
    path = tmp_path / "xx" / "xx01-trial.ipynb"
    main([str(path), "--source", str(source)])
    return path


@pytest.mark.slow
def test_roundtrip(source, tmp_path, capsys):
    path = run(source(), tmp_path)
    stored = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    front = read_front_matter(notebook)
    assert [c.source for c in notebook.cells if "cost" in c.metadata.get("tags", [])] == [
        front.cost
    ]
    assert front.minutes > 0
    assert 20 < front.memory_mb < 2000
    assert notebook.cells[2].outputs[0].text == "quick 1 ''\n"
    assert len(notebook.cells) == 4
    main([str(path)])
    assert path.read_bytes() == stored
    assert "min, " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("final", "error"),
    [("1 / 0", CellExecutionError), ('print("x" * 500_000)', LimsupError)],
)
def test_errors_store_nothing(source, tmp_path, final, error):
    with pytest.raises(error, match=r"ZeroDivision|cell 4 has 500 kB"):
        run(source(final), tmp_path)
    assert not (tmp_path / "xx" / "xx01-trial.ipynb").exists()


def _picture():
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def test_values_tidy():
    widget = {WIDGET: {"model_id": "random"}, "text/html": "<p>sheet</p>", "text/plain": "w"}
    large = _picture()
    picture = {"image/png": large, "text/plain": "holds"}
    alt = {"image/png": {"alt": "what the claim shows"}}
    cells = [
        new_code_cell("a", outputs=[new_output("display_data", data=widget)]),
        new_code_cell(
            "b",
            metadata={"tags": ["claim"]},
            outputs=[new_output("display_data", data=picture, metadata=alt)],
        ),
        new_code_cell("c", metadata={"tags": ["solution", "hide-cell"]}),
        new_markdown_cell("same"),
        new_markdown_cell("same"),
    ]
    notebook = new_notebook(cells=cells, metadata={"widgets": {}, "jupytext": {}})
    tidy(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(cells[0].outputs[0].data) == {"text/html", "text/plain"}
    assert len(cells[1].outputs[0].data["image/png"]) < len(large) / 2
    assert cells[1].metadata["mystnb"]["image"]["alt"] == "what the claim shows"
    assert cells[2].metadata["mystnb"]["code_prompt_show"] == "Solution: show"
    assert len({cell.id for cell in cells}) == 5
    nbformat.validate(notebook)


def test_values_ids_survive_an_insertion():
    before = new_notebook(cells=[new_markdown_cell("a"), new_markdown_cell("b")])
    tidy(before)
    kept = [cell.id for cell in before.cells]
    before.cells.insert(1, new_markdown_cell("new"))
    tidy(before)
    assert [before.cells[0].id, before.cells[2].id] == kept


def test_values_a_line_in_pieces_is_one_stream():
    pieces = [new_output("stream", name=n, text=t) for n, t in ("1a", "1b", "2c", "1d", "1\n")]
    notebook = new_notebook(cells=[new_code_cell("a", outputs=pieces)])
    tidy(notebook)
    tidy(notebook)
    assert [(o.name, o.text) for o in notebook.cells[0].outputs] == [
        ("1", "ab"),
        ("2", "c"),
        ("1", "d\n"),
    ]
