"""The command `limsup`. Exit codes: 0 done, 1 something is missing or wrong (doctor, verify,
chapter check), 2 wrong input, 3 no display (open), 130 stopped by Ctrl-C."""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from limsup_widgets import __version__
from limsup_widgets.errors import LimsupError

P = ParamSpec("P")

app = typer.Typer(
    name="limsup",
    help="Learning with limited supervision in medical imaging: scribble, tune, look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Public data sets: list, fetch, verify.", no_args_is_help=True)
app.add_typer(data, name="data")
chapter = typer.Typer(help="Chapters: new, check, list, script.", no_args_is_help=True)
app.add_typer(chapter, name="chapter")
Folder = Annotated[
    Path | None,
    typer.Option(help="Root with notebooks/ and tests/, instead of the checkout.", hidden=True),
]


def one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with one line and an exit code where it would end with a traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (LimsupError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            fail(str(error), 2)
        except ModuleNotFoundError as error:
            fail(f"no module {error.name!r}. Do: pip install 'limsup[lab]' and run it again.", 2)
        except KeyboardInterrupt:
            fail("stopped", 130)

    return guarded


def fail(line: str, code: int) -> None:
    """Print one line to stderr and end with that exit code."""
    typer.echo(f"limsup: {line}", err=True)
    raise typer.Exit(code)


def split_classes(text: str) -> tuple[str, ...]:
    """Class names from ``a,b,c``: at least two, all different.

    Examples
    --------
    >>> split_classes("background, nuclei")
    ('background', 'nuclei')
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise LimsupError(
            "--classes", got=text, expected="at least two different names", do="write a,b,c"
        )
    return names


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"limsup {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and end."),
    ] = False,
) -> None:
    pass


@app.command("open")
@one_line
def open_images(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Images of one subject; volumes open as their planes."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Names of the classes a,b,…; otherwise background,object."),
    ] = None,
    scribbles: Annotated[
        list[Path] | None,
        typer.Option(help="Label image to begin with: one per image, in their order."),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps every stroke, by default <image>-session; resumed."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model file instead of U0.")] = None,
) -> None:
    """Scribble on images in a window and tune a network on the strokes.

    Ends with exit code 3 if no window can be opened.
    """
    from limsup_widgets.view.display import viewer_available

    names = split_classes(classes) if classes is not None else None
    for path in (*(images or []), *(scribbles or []), *filter(None, [model])):
        if not path.expanduser().exists():
            raise LimsupError(str(path), got="no such file", do="check the name and the folder")
    available, reason = viewer_available()
    if not available:
        fail(f"no window can be opened: {reason}. {_in_a_notebook(images, names, session)}", 3)
    from limsup_widgets.window import make_session, open_window

    session_here = make_session(images or [], names, scribbles or [], session, model)
    typer.echo(f"every stroke is kept in {session_here.folder}")
    open_window(session_here)


@app.command()
@one_line
def apply(
    model: Annotated[Path, typer.Argument(help="Model file (.safetensors) of a session.")],
    folder: Annotated[Path, typer.Argument(help="Folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder for labels, uncertainty and areas.csv.")],
    passes: Annotated[int, typer.Option(help="Dropout passes of the uncertainty.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the dropout masks.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace earlier results.")
    ] = False,
) -> None:
    """Label every image of a folder with a tuned network.

    An image that cannot be read is reported and does not stop the rest. Ends with exit code 2 if
    no image could be labelled.
    """
    from limsup_widgets.apply import apply_model

    summary = apply_model(
        model, folder, out, passes=passes, seed=seed, overwrite=overwrite, progress=True
    )
    line = f"{summary.done} of {summary.done + summary.failed} images labelled"
    line += f", {summary.failed} failed" if summary.failed else ""
    typer.echo(f"{line}: {summary.table}")
    if not summary.done:
        raise typer.Exit(2)


@app.command()
@one_line
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("demo"),
    image: Annotated[Path | None, typer.Option(help="Own image instead of the demo's.")] = None,
    scribbles: Annotated[
        Path | None, typer.Option(help="Its label image: 0 unlabelled, 1, 2, … classes.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Names of its classes: a,b,…")] = None,
    seed: Annotated[int, typer.Option(help="Of scribbles, tuning and dropout.")] = 0,
) -> None:
    """Run the whole loop without a display and write report.html and result.json."""
    from limsup_widgets.demo import run_demo

    run_demo(out, image, scribbles, split_classes(classes) if classes is not None else None, seed)
    typer.echo(f"report: {(out / 'report.html').resolve()}")


@app.command()
@one_line
def doctor() -> None:
    """Check this machine: display, GPU, versions, cache, disk; a remedy for each ✗."""
    from limsup_widgets.doctor import examine

    missing = False
    for check in examine():
        typer.echo(check.line())
        missing = missing or (check.required and not check.ok)
    if missing:
        raise typer.Exit(1)


@data.command("list")
@one_line
def list_data() -> None:
    """Show every data set: size, licence, whether it is here, whether it was verified."""
    from limsup_widgets.data.manifests import load_manifests, verify

    for name, manifest in load_manifests().items():
        checked = f"verified {manifest.verified_on}" if manifest.verified else "unverified"
        where = "embedded" if manifest.embedded else "download"
        typer.echo(f"{name:16} {_size(manifest.bytes):>8}  {where}, {verify(name)}, {checked}")
        typer.echo(f"{'':16} {manifest.title}. Licence: {manifest.licence}.")


@data.command()
@one_line
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names as in `data list`.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All data sets.")] = False,
) -> None:
    """Download data sets to the cache; a file with a wrong checksum is not kept."""
    from limsup_widgets.data import manifests

    for name in _chosen(names, every):
        typer.echo(f"{name}: {manifests.fetch(name)}")


@data.command()
@one_line
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, all.")] = None,
) -> None:
    """Compare the files that are here with their checksums."""
    from limsup_widgets.data import manifests

    damaged = False
    for name in _chosen(names, every=not names):
        state = manifests.verify(name)
        typer.echo(f"{name}: {state}")
        damaged = damaged or state == manifests.State.DAMAGED
    if damaged:
        raise typer.Exit(1)


@chapter.command("new")
@one_line
def new_chapter(
    id: Annotated[str, typer.Argument(help="Letters and two digits: ws10.")],
    title: Annotated[str, typer.Option(help="Heading of the page.")],
    part: Annotated[
        str | None, typer.Option(help="Part of the book; by default the letters of the id.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Write a chapter that passes every check, and its tests; then change it step by step."""
    from limsup_widgets.teach import scaffold

    typer.echo("writing and running it once …", err=True)
    made = scaffold.new_chapter(id, title, part, folder)
    typer.echo(f"chapter: {made.notebook}\ntests:   {made.tests}")
    typer.echo(f"next: limsup chapter check {id}; how to go on stands in CONTRIBUTING.md")


@chapter.command("check")
@one_line
def check_chapter(
    id: Annotated[str, typer.Argument(help="As in `chapter list`.")],
    source: Annotated[
        Path | None, typer.Option(help="Script to take the cells from, as of `chapter script`.")
    ] = None,
    reruns: Annotated[
        bool, typer.Option("--rerun/--no-rerun", help="Run again: two threads, other seeds.")
    ] = True,
    shifts: Annotated[int, typer.Option(help="How many reruns with other seeds.", min=1)] = 1,
    folder: Folder = None,
) -> None:
    """Run a chapter, store its outputs, apply every check, and see whether verdicts stay.

    Ends with exit code 1 if something must change.
    """
    from limsup_widgets.teach import rehearsal, scaffold

    path = scaffold.notebook_of(id, folder)
    report = rehearsal.rehearse(path, source=source, reruns=reruns, shifts=shifts, say=_progress)
    for line in report.notes:
        typer.echo(f"note: {line}")
    for line in report.problems:
        typer.echo(f"problem: {line}")
    cost = f"{report.run.minutes * 60:.0f} s of CPU time, {report.run.memory_mb} MB of memory"
    typer.echo(f"{path.name}: {cost}, {report.run.bytes // 1000} kB, {_count(report.problems)}")
    if report.problems:
        raise typer.Exit(1)


@chapter.command("list")
@one_line
def list_chapters(
    ids: Annotated[list[str] | None, typer.Argument(help="Only these chapters.")] = None,
    claims: Annotated[bool, typer.Option("--claims", help="Every claim with verdict.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
    folder: Folder = None,
) -> None:
    """Show every stored chapter: cost, verdicts, exercises, widgets. Nothing is run."""
    from limsup_widgets.teach import listing

    found = listing.list_contents(folder and folder / "notebooks")
    known = [each.id for each in found]
    if unknown := sorted(set(ids or ()) - set(known)):
        raise LimsupError("limsup chapter list", got=unknown, expected=", ".join(known))
    chosen = [each for each in found if not ids or each.id in ids]
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in chosen], ensure_ascii=False, indent=1))
    elif claims:
        typer.echo("\n\n".join(map(listing.claims_text, chosen)))
    else:
        typer.echo(listing.contents_table(chosen))


@chapter.command("script")
@one_line
def chapter_script(
    id: Annotated[str, typer.Argument(help="As in `chapter list`.")],
    out: Annotated[Path, typer.Option(help="Python file to write.")],
    folder: Folder = None,
) -> None:
    """Write a chapter as a Python script, to edit in any editor; `check --source` reads it."""
    from limsup_widgets.teach import scaffold

    if out.exists():
        raise LimsupError(str(out), got="a file that is there already", do="name another")
    out.write_text(scaffold.script(id, folder), encoding="utf-8")
    typer.echo(f"{out}: edit it, then run limsup chapter check {id} --source {out}")


def _progress(line: str) -> None:
    typer.echo(f"{line} …", err=True)


def _count(problems: Sequence[str]) -> str:
    many = {0: "no problem", 1: "1 problem"}
    return many.get(len(problems), f"{len(problems)} problems")


def _in_a_notebook(
    images: Sequence[Path] | None, classes: Sequence[str] | None, folder: Path | None
) -> str:
    """What to type in a notebook, where no window is needed."""
    if not images:
        return f"Do: in a notebook run Session.open('{folder or 'DIR'}').show()."
    files = ", ".join(f"'{image}'" for image in images)
    named = tuple(classes) if classes else ("background", "object")
    kept = folder or f"{images[0].stem}-session"
    return f"Do: in a notebook run Session([{files}], {named}, folder='{kept}').show()."


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _chosen(names: Sequence[str] | None, every: bool) -> Sequence[str]:
    from limsup_widgets.data.manifests import load_manifests

    if every:
        return list(load_manifests())
    if not names:
        raise LimsupError("limsup data fetch", got="no name", do="name data sets, or say --all")
    return names


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code."""
    # Deprecations inside libraries mean nothing to the reader of a command's output.
    warnings.filterwarnings("ignore")
    try:
        app(args=None if argv is None else list(argv))
    except KeyboardInterrupt:
        sys.exit(130)
