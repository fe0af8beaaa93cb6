"""The benchmarks are scripts beside the package: their folder is where they find each other."""

import sys

import pytest

from limsup_widgets.resources import PACKAGE

FOLDER = PACKAGE.parent / "benchmarks"
sys.path.append(str(FOLDER))


@pytest.fixture
def record():
    from common import options, record

    asked = options("A test.", ["--quick"], side=(512, 64))
    seconds = {"loop": [4.0, 9.0], "other": [2.0, 6.0], "limsup": [1.0, 3.0]}
    return record(
        "toy", "a toy", seconds, ours="limsup", naive="loop", options=asked, guarded=["other"]
    )
