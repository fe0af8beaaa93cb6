"""kill -9 at the worst moments, with real processes: what was called saved is there afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from session_cases import tiny

from limsup_widgets.data.journal import read_journal
from limsup_widgets.learn.weights import model_sha256
from limsup_widgets.session import Session

PAINTER = Path(__file__).with_name("painter.py")


def killed(folder: Path, mode: str, until: str) -> int:
    """Run the painter, kill it once it has said ``until``; the last stroke it called saved."""
    painter = subprocess.Popen(
        [sys.executable, str(PAINTER), str(folder), mode], stdout=subprocess.PIPE, text=True
    )
    assert painter.stdout is not None
    lines = []
    for line in painter.stdout:
        lines.append(line.strip())
        if lines[-1] == until:
            painter.kill()
    painter.stdout.close()
    assert painter.wait() == -9, lines[-3:]
    return max(int(line.split()[1]) for line in lines if line.startswith("saved"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "until"),
    [
        ("paint", "saved 0"),
        ("paint", "saved 40"),
        ("tune", "saved 25"),
        ("write", "inside"),
        ("acknowledged", "waiting"),
    ],
)
def test_roundtrip_after_kill(tmp_path: Path, mode: str, until: str) -> None:
    saved = killed(tmp_path / "s", mode, until)
    session = Session.open(tmp_path / "s")
    torn = ["was not written to its end" in line for line in session.events.said]
    assert any(torn) or mode != "write"
    labels = session.labels(0).ravel()
    assert (labels[: saved + 1] == 1).all(), "a stroke that was called saved is lost"
    painted = int((labels == 1).sum())
    assert (labels[:painted] == 1).all() and painted <= 64 * 60
    if mode == "acknowledged":
        assert painted == saved + 1
    assert session.model_sha256 == model_sha256(tiny()) and not session.tuning
    if mode == "tune":
        assert any("the last tune did not end" in line for line in session.events.said)
    session.paint([64 * 63], 2)
    session.close()
    content = read_journal(tmp_path / "s" / "journal.jsonl")
    assert not content.torn and content.events[-1].stroke is not None
