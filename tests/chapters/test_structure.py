"""Every stored chapter satisfies every check."""

import nbformat
import pytest

from limsup_widgets.resources import resource
from limsup_widgets.teach.checks import CHECKS

PATHS = sorted(resource("notebooks").glob("*/*.ipynb"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_values(path, check):
    found = check(nbformat.read(path, as_version=4), path.name)
    assert not found, "\n".join(found)


def test_values_no_chapter_is_hidden_by_its_name():
    """The finder and the contents see ``<part>/<id>-<title>.ipynb`` only."""
    stray = set(resource("notebooks").rglob("*.ipynb")) - set(PATHS)
    stray = {path for path in stray if ".ipynb_checkpoints" not in path.parts}
    assert not stray
    assert all("-" in path.stem for path in PATHS)
