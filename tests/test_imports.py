"""What importing costs: the package and its lower layers stay free of heavy libraries."""

import json
import pkgutil
import subprocess
import sys

import pytest

import limsup_widgets

HEAVY = ("torch", "monai", "napari", "qtpy", "ipywidgets", "anywidget", "sklearn", "matplotlib")
GUI = ("napari", "qtpy", "PySide6", "ipywidgets", "anywidget")


def loaded_after(modules: list[str], suspects: tuple[str, ...]) -> set[str]:
    """Import modules in a fresh process and return which of the suspects that loaded."""
    program = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    return set(json.loads(output.stdout)) & set(suspects)


def modules_of(*layers: str) -> list[str]:
    """Return the names of all modules below some layers."""
    found = pkgutil.walk_packages(limsup_widgets.__path__, "limsup_widgets.")
    return [m.name for m in found if m.name.split(".")[1] in layers]


def test_package_is_light() -> None:
    assert loaded_after(["limsup_widgets"], HEAVY) == set()


@pytest.mark.parametrize("layer", ["data", "teach"])
def test_layer_without_torch(layer: str) -> None:
    names = modules_of(layer)
    assert names
    assert loaded_after(names, ("torch", "monai", *GUI)) == set()


def test_engine_without_gui() -> None:
    assert loaded_after(modules_of("learn", "session"), GUI) == set()


def test_command_line_is_light() -> None:
    assert loaded_after(["limsup_widgets.cli"], ("torch", "monai", *GUI)) == set()


def test_top_level_names_resolve() -> None:
    names = [name for name in dir(limsup_widgets) if not name.startswith("_")]
    for name in names:
        assert getattr(limsup_widgets, name) is not None
    assert len(getattr(limsup_widgets, "__all__", [])) <= 10
