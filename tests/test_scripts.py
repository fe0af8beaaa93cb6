"""The scripts that install and test, without installing or testing anything."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def load(name: str) -> ModuleType:
    """Load a script as a module, as Python would with its folder on the path."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


system_packages, install = load("system_packages"), load("install")
run_tests = load("run_tests")


def project(folder: Path, pin: str = "torch==2.13.0") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text("[project]\n")
    (folder / "constraints.txt").write_text(f"# pins\nnumpy==2.0\n{pin}\n")
    return folder


def test_digest_ignores_time_and_sees_content(tmp_path: Path) -> None:
    root = project(tmp_path / "a")
    before = install.digest(root)
    os.utime(root / "constraints.txt", (0, 0))
    assert install.digest(root) == before
    project(root, "torch==2.14.0")
    assert install.digest(root) != before


def test_stamp(tmp_path: Path) -> None:
    assert install.installed_extras(tmp_path) is None
    (tmp_path / install.STAMP).write_text('{"digest": "d", "extras": ["lab"]}')
    assert install.installed_extras(tmp_path) == {"lab"}
    assert install.installed_extras(tmp_path, "d") == {"lab"}
    assert install.installed_extras(tmp_path, "other") is None


def test_pinned_torch(tmp_path: Path) -> None:
    assert install.pinned_torch(project(tmp_path / "a")) == "torch==2.13.0"
    with pytest.raises(SystemExit, match="constraints"):
        install.pinned_torch(project(tmp_path / "b", "scipy==1.17"))


def test_failing_install_shows_what_pip_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'no matching distribution'\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(SystemExit, match="installing x failed"):
        install.pip_install(python, "installing x", ["x"])
    assert "no matching distribution" in capsys.readouterr().out
    assert "no matching distribution" in (tmp_path / install.LOG).read_text()


def test_no_python_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    command = ["/bin/sh", str(SCRIPTS / "bootstrap.sh"), str(tmp_path / "venv")]
    result = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("limsup needs Python 3.11") and result.stderr.count("\n") == 1


def test_present() -> None:
    assert system_packages.present("sh")
    assert not system_packages.present("no-such-program")
    assert not system_packages.present("libno-such-library.so.1")


REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"/>
<testcase name="c"><failure message="x"/></testcase>
<testcase name="d"><skipped type="pytest.skip" message="needs a GPU"/></testcase>
<testcase name="e"><skipped type="pytest.skip" message="no Chromium"/></testcase>
<testcase name="f"><skipped type="pytest.xfail" message="known"/></testcase>
</testsuite></testsuites>"""


def test_counts(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    counts = run_tests.read_report(report, 1)
    assert (counts.passed, counts.failed) == (2, 1)
    assert counts.could_not_run == Counter({"needs a GPU": 1, "no Chromium": 1})
    assert run_tests.left_out(counts) == 1


def test_counts_of_a_crash(tmp_path: Path) -> None:
    assert run_tests.read_report(tmp_path / "never-written.xml", 134).failed == 1


def test_every_stage_runs_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stages = [run_tests.Stage("bad", ("python", "-c", "raise SystemExit(3)"))]
    stages += [run_tests.Stage("good", ("python", "-c", "pass"))]
    monkeypatch.setattr(run_tests, "stages", lambda scratch: stages)
    assert run_tests.main([]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("passed 1, failed 1, could not run 0, ")
    assert last.endswith("failed stages: bad")


def test_left_processes_are_ended() -> None:
    env = {**os.environ, run_tests.RUN_MARK: "left-over"}
    sleeper = subprocess.Popen(["sleep", "600"], env=env, start_new_session=True)
    run_tests.end_processes("left-over")
    assert sleeper.wait() == -9
