"""Where the files beside the code are: chapters, data manifests, stored results.

In a checkout they stand at the top of the repository; a wheel carries them inside the package.
"""

from pathlib import Path

from limsup_widgets.errors import LimsupError

PACKAGE = Path(__file__).resolve().parent
IN_CHECKOUT = {"notebooks": "notebooks", "manifests": "data_manifests", "results": "results"}


def resource(kind: str, name: str = "") -> Path:
    """Return the path of one file beside the code, or of the folder of its kind.

    Parameters
    ----------
    kind : str
        ``"notebooks"``, ``"manifests"`` or ``"results"``.
    name : str
        Path below the folder, such as ``"ls02.json"``; empty for the folder itself.

    Raises
    ------
    LimsupError
        For an unknown kind, and for a file that does not exist.

    Examples
    --------
    >>> resource("manifests").is_dir()
    True
    """
    if kind not in IN_CHECKOUT:
        raise LimsupError(
            "unknown kind of resource", got=kind, expected=", ".join(sorted(IN_CHECKOUT))
        )
    packaged = PACKAGE / f"_{kind}"
    folder = packaged if packaged.is_dir() else PACKAGE.parent / IN_CHECKOUT[kind]
    path = folder / name
    if not path.exists():
        known = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*.*"))
        raise LimsupError(
            f"no such file among the {kind}",
            got=name or str(folder),
            expected=", ".join(known) or "a complete installation",
            do="check the name, or install limsup again",
        )
    return path
