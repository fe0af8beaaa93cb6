"""The guard looks at ratios, never at seconds."""

import json

import pytest
from guard import compare, fallen, records

OLD = {"name": "toy", "ours_s": 1.0, "ratios": {"loop / ours": 4.0, "other / ours": 2.0}}


def now(loop, other=2.0, seconds=1.0):
    return {"ours_s": seconds, "ratios": {"loop / ours": loop, "other / ours": other}}


def test_values():
    assert fallen(OLD, now(3.1)) == []
    assert fallen(OLD, now(4.0, seconds=1000.0)) == []
    assert (
        len(fallen(OLD, now(2.9))) == 1
        and "loop / ours fell from 4 to 2.9" in fallen(OLD, now(2.9))[0]
    )
    assert len(fallen(OLD, now(2.9, 1.0))) == 2
    assert fallen(OLD, now(2.9), tolerance=0.5) == []
    assert fallen(OLD | {"tolerance": 0.5}, now(2.9)) == []
    assert len(fallen(OLD | {"tolerance": 0.1}, now(2.9))) == 1


def test_values_what_is_gone_fell():
    assert fallen(OLD, {"ratios": {"loop / ours": 4.0}}) == [
        "toy: other / ours was 2, now it is not measured"
    ]
    assert compare({"toy": OLD}, {}, 0.25) == ["toy: no record"]


def test_values_of_storing(tmp_path, monkeypatch):
    import run

    kept, waiting = tmp_path / "results", tmp_path / "build"
    monkeypatch.setattr(run, "RESULTS", kept)
    monkeypatch.setattr(run, "WAITING", waiting)
    for folder, ratio in ((kept, 4.0), (waiting, 2.0)):
        folder.mkdir()
        text = json.dumps({"name": "toy", "ratios": {"loop / ours": ratio}})
        (folder / "toy-cpu.json").write_text(text)
    assert len(run.store(["toy"], "cpu", accept=False)) == 1
    assert records(kept)["toy"]["ratios"] == {"loop / ours": 4.0}
    assert len(run.store(["toy"], "cpu", accept=True)) == 1
    assert records(kept)["toy"]["ratios"] == {"loop / ours": 2.0}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_values_stored_records(device):
    from guard import RESULTS

    needed = {"name", "command", "ours_s", "peers", "ratio_vs_naive", "max_abs_diff", "machine"}
    for name, record in records(RESULTS, device).items():
        assert needed <= set(record), name
        assert record["ours_s"] > 0 and all(value > 0 for value in record["peers"].values())
