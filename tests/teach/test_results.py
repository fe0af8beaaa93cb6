import json

import pytest

from limsup_widgets import resources
from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.results import assert_row, stored_result, write_result

ROWS = [
    {"patient": "p01", "arm": "main", "dice": 0.81, "ok": True},
    {"patient": "p02", "arm": "main", "dice": 0.75, "ok": False},
    {"patient": "p01", "arm": "half", "dice": 0.78, "ok": True},
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A stand-in for the folder of stored results."""
    (tmp_path / "_results").mkdir()
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    return tmp_path / "_results"


def _write(folder, id="trial"):
    return write_result(id, ROWS, command="python x.py", seeds=[0], cpu_seconds=1.26, folder=folder)


def test_roundtrip(folder):
    _write(folder)
    result = stored_result("trial")
    assert result.rows == ROWS
    assert result.cpu_seconds == 1.3
    assert result.versions["numpy"]
    assert result.column("dice", arm="main") == [0.81, 0.75]
    assert result.select(patient="p01", arm="half") == [ROWS[2]]


def test_values_one_row_a_line(folder):
    lines = _write(folder).read_text().splitlines()
    assert sum('"patient"' in line for line in lines) == len(ROWS)


def test_values_recomputed_row(capsys):
    assert_row(ROWS[0], {"dice": 0.8104, "arm": "main"}, tol=1e-3)
    assert capsys.readouterr().out == "recomputed: dice, arm equal the stored row within 0.001\n"


@pytest.mark.parametrize(
    "live", [{"dice": 0.83}, {"arm": "half"}, {"ok": False}, {"loss": 1.0}, {}, {"dice": None}]
)
def test_errors_of_a_recomputed_row(live):
    with pytest.raises(AssertionError):
        assert_row(ROWS[0], live)


def test_errors(folder):
    path = _write(folder)
    with pytest.raises(LimsupError, match=r"trial\.json"):
        stored_result("missing")
    with pytest.raises(LimsupError, match="asked for 'loss'"):
        stored_result("trial").column("loss")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seeds": "none"}))
    with pytest.raises(LimsupError, match=r"trial\.json, seeds"):
        stored_result("trial")


def test_values_every_stored_file_fits_the_schema():
    for path in resources.resource("results").glob("*.json"):
        assert stored_result(path.stem).id == path.stem
