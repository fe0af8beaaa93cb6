"""Build hook: put the chapters, the data manifests and the stored results into the wheel.

They live at the top of the repository, where a reader looks for them;
``limsup_widgets.resources`` finds them in both places. An editable installation uses the
checkout, so nothing is copied for it.
"""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = {"notebooks": "_notebooks", "data_manifests": "_manifests", "results": "_results"}


def stays_behind(part: str) -> bool:
    """Tell whether a file or folder is hidden, cached or the rest of an unfinished run."""
    return part.startswith((".", "__")) or ".partial." in part


class WheelFolders(BuildHookInterface):
    """Add the files of ``FOLDERS`` to a standard wheel."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Extend hatchling's table of files that are included by force."""
        if version != "standard":
            return
        root = Path(self.root)
        for folder, packaged in FOLDERS.items():
            for file in sorted((root / folder).rglob("*")):
                place = file.relative_to(root / folder)
                if file.is_file() and not any(map(stays_behind, place.parts)):
                    build_data["force_include"][str(file)] = f"limsup_widgets/{packaged}/{place}"
