"""Build the book from a copy of its sources: ``build_book.py OUT [--check]``.

The copy keeps generated pages out of the checkout. With ``--check`` also every link inside the
built site is followed. The site stands in ``OUT/_build/html``.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SOURCES = ("book", "notebooks")
STRICT = ("-n", "-W", "--keep-going")


def copy_sources(target: Path) -> None:
    """Copy what the book is made of, without hidden and generated files."""
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "_generated", "thumbs", "_toc.yml", "overview", "weak-supervision.md"
    )
    for name in SOURCES:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)


def build(out: Path) -> int:
    """Generate contents and gallery, build the pages; return the exit status."""
    sources = out / "sources"
    copy_sources(sources)
    generated = subprocess.run([sys.executable, "book/generate.py"], cwd=sources).returncode
    if generated:
        return generated
    command = [BIN / "jupyter-book", "build", ".", "--config", "book/_config.yml"]
    command += ["--toc", "book/_toc.yml", "--path-output", out, *STRICT]
    return subprocess.run(command, cwd=sources).returncode


def main(out: Path, check: bool) -> int:
    """Build; with ``check`` follow the links too, and say how to look at the site."""
    status = build(out)
    site = out / "_build" / "html"
    if check and site.is_dir():
        checker = [sys.executable, ROOT / "book" / "check_links.py", site]
        status = subprocess.run(checker, cwd=ROOT).returncode or status
        print(f"site: {BIN / 'python'} -m http.server -d {site}")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), "--check" in sys.argv[2:]))
