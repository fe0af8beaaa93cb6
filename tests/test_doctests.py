"""Every example in a docstring runs, module by module."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import limsup_widgets

NOTEBOOK = {"ipywidgets", "anywidget"}
"""What only an installation with a view has."""

WINDOWED = {"limsup_widgets.view.napari_view"}
"""Nothing to show without a display."""


def modules():
    found = pkgutil.walk_packages(limsup_widgets.__path__, "limsup_widgets.")
    return sorted({module.name for module in found} - WINDOWED)


@pytest.mark.parametrize("name", modules())
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in NOTEBOOK:
            raise
        pytest.skip(f"{error.name} is not installed")
    result = doctest.testmod(module, extraglobs={"np": np, "torch": torch})
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples in {name}"
