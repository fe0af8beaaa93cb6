"""The files that describe the project agree with each other, and the wheel is complete."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import limsup_widgets

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TREE = (
    "limsup_widgets/data limsup_widgets/learn limsup_widgets/session limsup_widgets/view "
    "limsup_widgets/teach limsup_widgets/cli.py notebooks book/_config.yml "
    "data_manifests results tests environment.yml constraints.txt pyproject.toml "
    "Makefile README.md CONTRIBUTING.md CHANGELOG.md LICENSE CITATION.cff .ci/run"
)
FORBIDDEN_CALLS = {"eval", "exec"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def pins() -> dict[str, str]:
    """Return the pinned version of each package, by canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Return what the package and its extras ask for directly."""
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    return [Requirement(line) for line in lines]


def needed(requirement: Requirement, seen: dict[str, set[str]]) -> dict[str, set[str]]:
    """Add to ``seen`` (name -> extras) what a requirement needs in this environment."""
    name = canonicalize_name(requirement.name)
    new = name not in seen or not requirement.extras <= seen[name]
    seen.setdefault(name, set()).update(requirement.extras)
    if new:
        for line in metadata.requires(name) or []:
            below = Requirement(line)
            contexts = [{"extra": extra} for extra in ("", *requirement.extras)]
            if below.marker is None or any(map(below.marker.evaluate, contexts)):
                needed(below, seen)
    return seen


def python_sources() -> list[tuple[str, str]]:
    """Return (place, source) of every module, script and code cell."""
    folders = ("limsup_widgets", "limsup_chapters", "scripts", "benchmarks", "book")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    sources = [(str(file.relative_to(ROOT)), file.read_text()) for file in files]
    for file in sorted((ROOT / "notebooks").rglob("[!.]*.ipynb")):
        cells = json.loads(file.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        plain = "\n".join(re.sub(r"^\s*[%!].*", "", cell, flags=re.MULTILINE) for cell in code)
        sources.append((str(file.relative_to(ROOT)), plain))
    return sources


def forbidden(source: str) -> list[str]:
    """Return the calls and imports in a source that run or unpack foreign code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found += [node.func.id] if node.func.id in FORBIDDEN_CALLS else []
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in FORBIDDEN_MODULES else []
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += ["allow_pickle"] if ast.unparse(node.value) != "False" else []
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            found.append("torch.load")
    return found


@pytest.mark.parametrize("path", TREE.split())
def test_tree(path: str) -> None:
    assert (ROOT / path).exists()


def test_pins_satisfy_requirements() -> None:
    pinned = pins()
    for requirement in requirements():
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_every_need_is_pinned_and_no_more() -> None:
    seen: dict[str, set[str]] = {}
    for requirement in requirements():
        needed(requirement, seen)
    assert set(seen) - set(pins()) == set()
    if sys.version_info[:2] == (3, 11) and sys.platform == "linux":
        assert set(pins()) - set(seen) == set()


def test_pins_are_sorted_and_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert names == sorted(set(names))


def test_conda_environment_installs_the_same() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip == {"pip": ["-c constraints.txt", f"-e .[{','.join(EXTRAS)}]"]}


def test_versions_agree() -> None:
    version = limsup_widgets.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version} " in (ROOT / "CHANGELOG.md").read_text()


def test_licences_agree() -> None:
    licence = (ROOT / "LICENSE").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"]
    assert PROJECT["license"] == " AND ".join(citation)
    assert all(name in licence for name in citation)


def test_nothing_runs_or_unpacks_foreign_code() -> None:
    assert {place: found for place, text in python_sources() if (found := forbidden(text))} == {}


def test_forbidden_is_seen() -> None:
    source = "import pickle\neval('1')\nnet.eval()\nnp.load(f, allow_pickle=True)\ntorch.load(f)"
    assert sorted(forbidden(source)) == ["allow_pickle", "eval", "pickle", "torch.load"]


def test_readme_links_exist() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text()):
            assert (ROOT / link).exists(), f"{page}: {link}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed, so without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_content(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = {"notebooks": "_notebooks", "data_manifests": "_manifests", "results": "_results"}
    tracked = subprocess.run(
        ["git", "ls-files", "limsup_widgets", "limsup_chapters", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in tracked.stdout.splitlines():
        top, rest = name.split("/", 1)
        packaged = f"limsup_widgets/{folders[top]}/{rest}" if top in folders else name
        assert packaged in names or rest.startswith(".")
    assert not [name for name in names if ".ipynb_checkpoints" in name or "__pycache__" in name]
    assert [name for name in names if name.endswith(".safetensors")]


@pytest.mark.slow
def test_wheel_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = next(venv.glob("lib/python3*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = Path(metadata.distribution("numpy").locate_file(""))
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{dependencies}"}
    call = "from limsup_widgets.cli import main; main()"
    command = [venv / "bin" / "python", "-c", call, "demo", "--out", "demo"]
    demo = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert demo.returncode == 0, demo.stderr
    assert (tmp_path / "demo" / "report.html").is_file()
    assert json.loads((tmp_path / "demo" / "result.json").read_text())["patient"]["id"]
