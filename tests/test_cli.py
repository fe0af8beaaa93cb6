"""The command line: each wrong input gives one line and exit code 2, never a traceback."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Pillow

from limsup_widgets import __version__, cli
from limsup_widgets.cli import main, split_classes
from limsup_widgets.data.manifests import State
from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.rehearsal import Report
from limsup_widgets.teach.runner import Run


def run(capsys, *argv):
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in argv])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def check_refused(capsys, *argv, quoted=()):
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert err.startswith("limsup: ")
    assert len(err.strip().splitlines()) == 1
    assert all(part in err for part in quoted), err


@pytest.fixture
def picture(tmp_path):
    Pillow.fromarray(np.arange(600, dtype=np.uint16).astype(np.uint8).reshape(20, 30)).save(
        tmp_path / "a.png"
    )
    return tmp_path / "a.png"


def save_labels(path, codes):
    Pillow.fromarray(codes.astype(np.uint8)).save(path)
    return path


def test_values_version_and_help(capsys):
    assert run(capsys, "--version")[:2] == (0, f"limsup {__version__}\n")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(word in out for word in ("open", "apply", "demo", "doctor", "data"))


def test_values_no_torch_for_small_commands():
    program = (
        "import sys; from limsup_widgets.cli import main\n"
        "try: main(['data', 'list'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'napari', 'monai')))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


@pytest.mark.parametrize("text", ["a", "a,", "a,a", "", "a,,b"])
def test_errors_classes(text):
    with pytest.raises(LimsupError, match="--classes"):
        split_classes(text)


@pytest.mark.parametrize(
    ("codes", "quoted"),
    [
        (None, ("labels.png", "no such file")),
        (np.zeros((20, 29)), ("(20, 29)", "(20, 30)")),
        (np.zeros((20, 30)), ("no labelled pixel",)),
        (np.eye(20, 30), ("class 1 only",)),
        (np.eye(20, 30) * 7, ("value 7",)),
    ],
)
def test_errors_demo_scribbles(capsys, tmp_path, picture, codes, quoted):
    labels = tmp_path / "labels.png"
    if codes is not None:
        save_labels(labels, codes)
    wanted = ("demo", "--out", tmp_path / "out", "--image", picture, "--classes", "a,b")
    check_refused(capsys, *wanted, "--scribbles", labels, quoted=quoted)
    assert not (tmp_path / "out").exists()


def test_errors_demo_image(capsys, tmp_path, picture):
    labels = save_labels(tmp_path / "labels.png", np.eye(20, 30) + 1)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    with_labels = ("--scribbles", labels, "--classes", "a,b")
    for name, quoted in [
        ("missing.png", "no such file"),
        ("text.png", "no complete PNG file"),
        ("empty", "an empty series"),
    ]:
        check_refused(
            capsys, "demo", "--image", tmp_path / name, *with_labels, quoted=(name, quoted)
        )
    check_refused(capsys, "demo", "--image", picture, quoted=("--scribbles",))
    check_refused(
        capsys, "demo", "--image", picture, "--scribbles", labels, "--classes", "a", quoted=("a,b",)
    )


def test_errors_apply(capsys, tmp_path, picture):
    out = ("--out", tmp_path / "out")
    check_refused(capsys, "apply", tmp_path / "m.safetensors", tmp_path, *out, quoted=("m.safe",))
    check_refused(capsys, "apply", picture, tmp_path, *out, quoted=("a.png", "safetensors"))
    assert not (tmp_path / "out").exists()


def test_errors_usage(capsys):
    code, _, err = run(capsys, "apply")
    assert code == 2
    assert "Traceback" not in err


def test_errors_no_display(capsys, tmp_path, picture, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "open", picture, "--classes", "dark,bright")
    assert code == 3
    assert len(err.strip().splitlines()) == 1
    assert "('dark', 'bright')" in err
    assert "a-session" in err
    assert list(tmp_path.iterdir()) == [picture]
    check_refused(capsys, "open", tmp_path / "none.png", quoted=("no such file",))


def test_errors_of_the_system_are_one_line(capsys, monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("limsup_widgets.data.manifests.load_manifests", refuse)
    check_refused(capsys, "data", "list", quoted=("Permission denied", "/somewhere"))


def test_cancel(capsys, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("limsup_widgets.data.manifests.load_manifests", stop)
    assert run(capsys, "data", "list") == (130, "", "limsup: stopped\n")


def test_values_data(capsys, monkeypatch):
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    assert re.search(r"^ihc +478 kB  embedded, ok, verified \d{4}", out, re.MULTILINE)
    code, out, _ = run(capsys, "data", "fetch", "ihc", "cell")
    assert (code, len(out.splitlines())) == (0, 2)
    assert run(capsys, "data", "verify", "ihc")[:2] == (0, "ihc: ok\n")
    monkeypatch.setattr("limsup_widgets.data.manifests.verify", lambda _: State.DAMAGED)
    assert run(capsys, "data", "verify", "ihc")[:2] == (1, "ihc: checksum differs\n")
    check_refused(capsys, "data", "fetch", quoted=("--all",))
    check_refused(capsys, "data", "fetch", "nothing", quoted=("nothing", "ihc"))


def test_values_chapter_list(capsys):
    code, out, _ = run(capsys, "chapter", "list")
    assert code == 0
    assert out.startswith("id ")
    assert "ls03" in out
    code, out, _ = run(capsys, "chapter", "list", "ls03", "--json")
    (chapter,) = json.loads(out)
    assert {claim["origin"] for claim in chapter["claims"]} == {"live", "stored"}
    assert chapter["exercises"] == [f"ls03.{k}" for k in range(1, 6)]
    code, out, _ = run(capsys, "chapter", "list", "ls03", "--claims")
    assert "train() rewrites the batch statistics (live; deterministic; state dicts)" in out
    check_refused(capsys, "chapter", "list", "ls77", quoted=("ls77", "ls03"))


def test_values_chapter_check(capsys, monkeypatch, tmp_path):
    found = []

    def rehearse(path, **options):
        options.pop("say")("running")
        return Report(Run(path, 0.5, 300, 120_000), found, ["TODO stands once"])

    monkeypatch.setattr("limsup_widgets.teach.rehearsal.rehearse", rehearse)
    code, out, err = run(capsys, "chapter", "check", "ls03")
    assert (code, err) == (0, "running …\n")
    assert out.splitlines()[0] == "note: TODO stands once"
    assert "30 s of CPU time, 300 MB of memory, 120 kB, no problem" in out
    found.append("claims: no live claim")
    code, out, _ = run(capsys, "chapter", "check", "ls03")
    assert code == 1
    assert "problem: claims: no live claim" in out
    check_refused(capsys, "chapter", "check", "ls77", quoted=("ls77", "ls03"))


def test_values_chapter_script(capsys, tmp_path):
    out = tmp_path / "ls03.py"
    assert run(capsys, "chapter", "script", "ls03", "--out", out)[0] == 0
    assert "#   limsup:" in out.read_text("utf-8")
    check_refused(capsys, "chapter", "script", "ls03", "--out", out, quoted=("there already",))


def test_errors_chapter_new(capsys):
    for words, quoted in [(("zz10",), ("zz", "ls, ws")), (("ls03",), ("ls03-mc-dropout",))]:
        code, _, err = run(capsys, "chapter", "new", *words, "--title", "Trial")
        assert code == 2
        assert all(part in err for part in quoted)


def test_errors_a_missing_extra_is_one_line(capsys, monkeypatch):
    def refuse(folder):
        raise ModuleNotFoundError("No module named 'nbformat'", name="nbformat")

    monkeypatch.setattr("limsup_widgets.teach.listing.list_contents", refuse)
    check_refused(capsys, "chapter", "list", quoted=("nbformat", "limsup[lab]"))


def test_values_commands_are_wired(capsys, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("limsup_widgets.demo.run_demo", lambda *given: seen.append(given))
    code, out, _ = run(capsys, "demo", "--out", tmp_path, "--seed", 3)
    assert (code, seen) == (0, [(tmp_path, None, None, None, 3)])
    assert str(tmp_path / "report.html") in out
    assert cli.app.info.name == "limsup"
