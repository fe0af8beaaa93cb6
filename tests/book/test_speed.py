"""The page about speed: from records alone, and also without them."""

import importlib
import json
import sys

import pytest

from limsup_widgets.resources import PACKAGE

BOOK = PACKAGE.parent / "book"
GOALS = [
    {"what": "times the loop", "found": 3.5, "at_least": 4, "at_most": None},
    {"what": "MiB", "found": 100.0, "at_least": None, "at_most": 2048},
]
RECORD = {
    "name": "mc_dropout",
    "title": "a title",
    "command": "python benchmarks/mc_dropout.py",
    "ours": "limsup",
    "ours_s": 1.0,
    "peers": {"loop": 3.5},
    "ratio_vs_naive": 3.5,
    "ratio_range": [3.0, 4.0],
    "max_abs_diff": 2e-7,
    "device": "cpu",
    "machine": "a machine",
    "goals": GOALS,
    "notes": ["Few channels wait for memory."],
    "code": ["naive"],
    "tables": [{"title": "Steps", "head": ["way", "seconds"], "rows": [["a|b", 0.123456]]}],
    "peer_state": {"toolkit": {"version": "1.0", "runs": False, "problem": "no module x"}},
}


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(BOOK))
    yield importlib.import_module("speed")
    sys.modules.pop("speed", None)


@pytest.fixture
def page(speed, tmp_path):
    def make(*records):
        for record in records:
            path = tmp_path / f"{record['name']}-{record['device']}.json"
            path.write_text(json.dumps(record))
        speed.write_speed(tmp_path, tmp_path)
        return (tmp_path / "speed.md").read_text()

    return make


def test_values(page, tmp_path):
    text = page(RECORD)
    assert "| mc_dropout | times the loop, at least 4 | 3.5 | **missed** |" in text
    assert "| mc_dropout | MiB, at most 2048 | 100 | kept |" in text
    assert "**3.5 times as fast** as the naive way (from 3 to 4" in text and "results 2e-07" in text
    assert "*`python benchmarks/mc_dropout.py` – a machine*" in text
    assert "- Few channels wait for memory." in text
    assert "- toolkit 1.0 did not run: no module x." in text
    assert "| a\\|b | 0.123 |" in text
    assert "![a title: seconds" in text and "loop 3.5; limsup 1" in text
    assert (tmp_path / "_static" / "speed" / "mc_dropout-cpu-0.png").exists()


def test_values_the_code_is_the_benchmarks_own(page):
    source = (PACKAGE.parent / "benchmarks" / "mc_dropout.py").read_text()
    block = page(RECORD).split("```python\n")[1].split("\n```")[0]
    assert block.startswith("def naive(") and block in source


def test_values_a_record_that_is_missing(page):
    text = page(RECORD)
    assert "`make bench BENCHMARKS=scaling` does it" in text
    assert "BENCHMARKS=mc_dropout` does it" not in text


def test_values_without_any_record(page):
    text = page()
    assert text.count("Not measured here yet.") == 5 and "$" not in text
    assert "No benchmark with a promise" in text


def test_values_two_devices(page):
    text = page(RECORD, RECORD | {"device": "cuda", "machine": "a card"})
    assert text.index("### On the processor") < text.index("### On a graphics card")
    assert "| mc_dropout, cuda |" in text and "- a card" in text


def test_values_the_oldest_records(page):
    old = {k: RECORD[k] for k in ("command", "ours_s", "peers", "ratio_vs_naive", "machine")}
    path = {"name": "mc_dropout", "device": "cpu"}
    assert "3.5 times as fast" in page(old | path | {"max_abs_diff": None})


def test_values_of_cells(speed):
    cells = (None, 0.123456, 1234.5, 20_000, "text")
    assert [speed.shown(cell) for cell in cells] == ["–", "0.123", "1,234", "20,000", "text"]


def test_values_sources(speed):
    assert speed.sources_of("def a():\n    pass\n\n\ndef b(): pass\n", ["b", "a", "c"]) == [
        "def b(): pass",
        "def a():\n    pass",
    ]
