"""`limsup doctor`: one line per check, a remedy for each ✗, and no crash whatever is broken."""

import subprocess
from collections import namedtuple

import pytest

from limsup_widgets import doctor
from limsup_widgets.cli import main
from limsup_widgets.doctor import Check, examine

Usage = namedtuple("Usage", "total used free")
Ended = namedtuple("Ended", "returncode stdout stderr")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMSUP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def displayed(monkeypatch):
    """A machine with a display, as far as the first probe can tell."""
    monkeypatch.setattr("limsup_widgets.view.display.display_available", lambda: (True, "yes"))


def check_of(name):
    return next(check for check in examine() if check.name == name)


def test_values_every_subject_is_looked_at():
    checks = list(examine())
    names = [check.name for check in checks]
    assert names == [
        *("python", "packages", "network", "lab", "napari", "book"),
        *("display", "OpenGL", "GPU", "cache", "disk"),
    ]
    assert all(check.remedy for check in checks if not check.ok)
    assert all(len(check.line().splitlines()) == 1 for check in checks)
    assert "torch" in check_of("packages").detail


def test_values_no_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    display, gl = check_of("display"), check_of("OpenGL")
    assert not display.ok
    assert "xvfb-run" in display.line()
    assert not gl.ok
    assert "without a display" in gl.detail


@pytest.mark.parametrize(
    ("ended", "ok", "said"),
    [
        (Ended(0, "OpenGL 4.5\n", ""), True, "OpenGL 4.5"),
        (Ended(-6, "", ""), False, "ended with -6"),
        (Ended(1, "", "no OpenGL context\n"), False, "no OpenGL context"),
    ],
)
def test_values_gl_probe(monkeypatch, displayed, ended, ok, said):
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: ended)
    check = check_of("OpenGL")
    assert check.ok is ok
    assert said in check.detail


def test_errors_gl_probe_that_hangs(monkeypatch, displayed):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert "could not be checked" in check_of("OpenGL").detail


def test_values_disk_and_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(9, 9, 10**9))
    assert not check_of("disk").ok
    assert "1.0 GB free" in check_of("disk").line()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMSUP_CACHE", str(tmp_path / "file" / "below"))
    assert "LIMSUP_CACHE" in check_of("cache").line()


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError, AttributeError])
def test_errors_a_broken_probe_is_one_cross(monkeypatch, error):
    def broken():
        raise error("it is broken")

    monkeypatch.setattr(doctor, "check_gpu", broken)
    check = check_of("GPU")
    assert (check.ok, check.required) == (False, False)
    assert "it is broken" in check.detail


def test_values_requirements(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy>=999", "no-such-package-here>=1"])
    check = check_of("packages")
    assert not check.ok
    assert "needed >=999" in check.detail
    assert "no-such-package-here missing" in check.detail
    monkeypatch.setattr(doctor, "requires", lambda _: ["nothing-here>=1; extra == 'lab'"])
    assert check_of("packages").ok
    assert "pip install 'limsup[lab]'" in check_of("lab").line()
    assert check_of("book").ok


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 1)])
def test_values_exit_code(monkeypatch, capsys, required, code):
    checks = [Check("a", True, "fine"), Check("b", False, "not fine", "mend it", required)]
    monkeypatch.setattr(doctor, "examine", lambda: iter(checks))
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    assert (end.value.code or 0) == code
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("✓ a")
    assert out[1].endswith("Do: mend it")
