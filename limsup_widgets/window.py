"""`limsup open`: a session on the user's files, in a window until it is closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limsup_widgets.data.image import Image
from limsup_widgets.data.readers import image_name, read_image, read_labels
from limsup_widgets.data.tiled_labels import TiledLabels
from limsup_widgets.errors import LimsupError
from limsup_widgets.session.folder import SessionFolder
from limsup_widgets.session.session import Session

CLASSES = ("background", "object")
"""What is told apart if the user names no classes."""


def make_session(
    images: Sequence[Path],
    classes: Sequence[str] | None = None,
    scribbles: Sequence[Path] = (),
    folder: Path | None = None,
    model: Path | None = None,
) -> Session:
    """Begin a session in a folder, or resume the one that is there.

    Parameters
    ----------
    images
        Files or DICOM folders of one subject; may be empty to resume.
    classes
        Names of the classes; when resuming, those of the session.
    scribbles
        A label image for each of the first images, painted as one stroke.
    folder
        Where every stroke is kept; by default ``<first image>-session`` in the current folder.
    model
        Model file to begin with instead of U0.

    Raises
    ------
    LimsupError
        For files that cannot be read, no image at all, more label images than images, or classes,
        images or a model that contradict the session that is resumed.
    """
    if not images and folder is None:
        raise LimsupError(
            "limsup open", got="no image", do="name image files, or --session to resume one"
        )
    if len(scribbles) > max(len(images), 1):
        raise LimsupError(
            "--scribbles", got=f"{len(scribbles)} label images", expected=f"at most {len(images)}"
        )
    place = SessionFolder(folder or Path(f"{image_name(images[0])}-session"))
    if place.in_use:
        session = _resume(place, images, classes, model)
    elif images:
        sources = [read_image(path) for path in images]
        session = Session(sources, classes or CLASSES, model=model, folder=place.path)
    else:
        raise LimsupError(
            str(place.path), got="no session", expected="a session folder", do="name an image too"
        )
    for path, (source, indices) in zip(scribbles, session.case.groups(), strict=False):
        _paint(session, path, source, indices)
    return session


def open_window(session: Session) -> None:
    """Show the session, live, in napari and return when its window is closed."""
    from limsup_widgets.view.napari_view import NapariView

    session.live = True
    try:
        view = NapariView(session)
        session.pump.until(lambda: not view.is_open)
    finally:
        session.close()


def _resume(
    place: SessionFolder,
    images: Sequence[Path],
    classes: Sequence[str] | None,
    model: Path | None,
) -> Session:
    if model is not None:
        raise LimsupError(
            "--model",
            got=f"{model} for a session that has its own network",
            do="begin another session with --session",
        )
    session = Session.open(place.path, images=list(images) or None)
    if classes is not None and tuple(classes) != tuple(session.classes):
        known = ",".join(session.classes)
        session.close()
        raise LimsupError(
            f"session {place.path}",
            got=f"classes {','.join(classes)}",
            expected=known,
            do="leave --classes out to resume, or begin another session with --session",
        )
    return session


def _paint(session: Session, path: Path, source: Image, indices: Sequence[int]) -> None:
    if source.is_lazy:
        tiled = TiledLabels.from_file(path, len(session.classes), source.shape)
        session.import_tiled(tiled, indices[0])
        return
    shape = source.array.shape if source.is_volume else source.shape
    labels = read_labels(path, len(session.classes), shape)
    planes = labels if source.is_volume else labels[None]
    for index, plane in zip(indices, planes, strict=True):
        session.import_labels(plane, index)
