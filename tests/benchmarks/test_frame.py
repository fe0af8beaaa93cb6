"""The frame of the benchmarks: what a record holds, who is timed when, what a picture says."""

import doctest
import importlib
import json
from types import SimpleNamespace

import pytest

MODULES = ("common", "timing", "memory", "plots", "guard", "mc_curve", "mc_profile")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_values_of_a_record(record):
    assert record["ours_s"] == 2.0 and record["peers"] == {"loop": 6.5, "other": 4.0}
    # Paired within a round: 4/1 and 9/3, not 6.5/2.
    assert record["ratio_vs_naive"] == 3.5 and record["ratio_range"] == [3.0, 4.0]
    assert record["ratios"] == {"loop / limsup": 3.5, "other / limsup": 2.0}
    assert record["spread"]["limsup"] == [1.0, 3.0] and record["rounds"] == 2
    assert "; torch" in record["machine"]
    json.dumps(record, allow_nan=False)


def test_values_of_the_command():
    from common import options

    asked = options("A test.", ["--side", "256", "--out", "x"], side=(512, 64), passes=(50, 4))
    assert asked.command.endswith(".py --side 256") or asked.command.endswith(" --side 256")
    assert (asked.side, asked.passes) == (256, 50)
    assert options("A test.", ["--quick"], side=(512, 64)).side == 64


def test_values_every_way_in_every_round():
    from timing import interleaved

    calls = []
    ways = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleaved(ways, rounds=3)
    assert calls == [*"ab", *"ab", *"ba", *"ab"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_values_of_stages(monkeypatch):
    import timing

    ticks = iter(range(100))
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))

    def way(laps):
        laps("preparation")
        laps.restart()
        laps("first")
        laps("second")

    found = timing.staged({"a": way}, rounds=2)["a"]
    assert found["first"] == [1.0, 1.0] and found["second"] == [2.0, 2.0]


def test_values_of_peak_memory():
    from memory import peak_here, resident

    if resident() is None:
        pytest.skip("no /proc here")
    hold = bytearray(64 * 2**20)  # what was held before does not count
    assert peak_here(lambda: bytearray(32 * 2**20)) == pytest.approx(32, abs=8)
    assert len(hold)


def test_values_of_pictures(record, tmp_path):
    from plots import write_pictures

    lines = {"kind": "lines", "title": "Time", "x": "side", "y": "seconds"}
    lines["series"] = [{"name": "limsup", "x": [1, 2], "y": [3.0, 4.0]}]
    written = write_pictures(record | {"figures": [lines]}, tmp_path)
    assert [name for name, _ in written] == ["toy-cpu-0.png", "toy-cpu-1.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name, _ in written)
    assert "loop 6.5; other 4; limsup 2" in written[0][1]
    assert "limsup from 3 at 1 to 4 at 2" in written[1][1]


def test_values_of_the_table(record):
    from common import goal, table

    text = table(record | {"goals": [goal("times the loop", 3.5, at_least=4)]})
    assert "3.25 × ours" in text and "promised at least 4: missed" in text
