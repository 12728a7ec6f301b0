"""Where the files that ship beside the code lie: bundles, device profiles, units.

In a clone they stand at the top of the repository, where people look for them;
in an installed wheel they lie inside the package, put there by the build
(``setup.py``). Callers name a file the same way in both.
"""

from pathlib import Path

from adaspring.errors import ResourceMissingError

_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str, package: Path = _PACKAGE) -> Path:
    """Find a file or folder that ships with AdaSpring.

    Args:
        *parts: Path from the top of the repository, for example
            ``"models", "har", "bundle"`` or ``"device_profiles"``.
        package: Folder of the import package whose resources are meant.

    Returns:
        An absolute path that exists.

    Raises:
        ResourceMissingError: Neither the installed package nor the clone around it has it.
    """
    installed = package / "_data"
    root = installed if installed.is_dir() else package.parents[1]
    path = root.joinpath(*parts)
    if not path.exists():
        raise ResourceMissingError(
            f"{'/'.join(parts)} does not ship with this copy of AdaSpring: nothing at {path}. "
            f"Known there: {_listing(path.parent)}. Name another, or reinstall the package."
        )
    return path


def _listing(folder: Path) -> str:
    """The names in a folder, for a message."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names) or "nothing"
