"""The one build step that pyproject.toml cannot say: top-level folders that belong inside the wheel.

Bundles, device profiles and units stand at the top of the repository, where
people look for them. The wheel carries them in ``adaspring/_data``, the source
distribution where they are. `adaspring.resources` finds them in both.
"""

from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build import build

SHIPPED = (
    "models/*/recipe.toml",
    "models/*/card.md",
    "models/*/bundle/**/*",
    "models/*/sample/**/*",
    "device_profiles/**/*",
    "deploy/**/*",
)
PACKAGE = "adaspring"


class BuildResources(Command):
    """Copy what ships beside the code into the package that is being built."""

    description = "copy bundles, device profiles and units into the package"
    user_options = [("build-lib=", "d", "directory to build into")]  # noqa: RUF012 (setuptools declares a plain list)

    def initialize_options(self) -> None:
        """Declare the options that setuptools fills in."""
        self.build_lib: str | None = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        """Take the build folder from the build that this step is part of."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Copy the files. An editable install copies none: it reads them where they stand."""
        for target, source in self.get_output_mapping().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """List what ships, relative to the top of the repository; the source distribution takes its files from here."""
        return sorted({str(path) for pattern in SHIPPED for path in Path().glob(pattern) if path.is_file()})

    def get_output_mapping(self) -> dict[str, str]:
        """Map each file of the wheel to its source."""
        if self.editable_mode:
            return {}
        return {str(Path(str(self.build_lib), PACKAGE, "_data", source)): source for source in self.get_source_files()}

    def get_outputs(self) -> list[str]:
        """List the files that this step makes."""
        return list(self.get_output_mapping())


class BuildWithResources(build):
    """The usual build with one step more."""

    sub_commands = [*build.sub_commands, ("build_resources", None)]  # noqa: RUF012 (setuptools declares a plain list)


setup(cmdclass={"build": BuildWithResources, "build_resources": BuildResources})
