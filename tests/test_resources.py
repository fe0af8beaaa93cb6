"""The files beside the code are found in a checkout and in a wheel."""

import shutil
from pathlib import Path

import pytest

from limsup_widgets import resources
from limsup_widgets.errors import LimsupError
from limsup_widgets.resources import resource


@pytest.mark.parametrize("kind", ["notebooks", "manifests", "results"])
def test_checkout(kind: str) -> None:
    assert resource(kind).is_dir()


def test_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(resource("manifests"), tmp_path / "_manifests")
    (tmp_path / "_manifests" / "here.toml").write_text("")
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    assert resource("manifests", "here.toml") == tmp_path / "_manifests" / "here.toml"


def test_errors() -> None:
    with pytest.raises(LimsupError, match=r"weights.*manifests, notebooks, results"):
        resource("weights")
    with pytest.raises(LimsupError, match=r"nowhere\.json"):
        resource("results", "nowhere.json")
