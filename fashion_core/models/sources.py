"""Where a team's own models are: what ``FASHION_MODELS`` and installed packages name, found without importing it.

Only whoever starts the server sets either: no file, form or address names code to import.
"""

import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Final

from fashion_core.config import variable
from fashion_core.errors import ConfigError, ModelError
from fashion_core.files import full_path

VARIABLE: Final = "FASHION_MODELS"
ENTRY_POINTS: Final = "fashion_core.models"  # the group in which an installed package names its module
_SUFFIX: Final = ".py"


@dataclass(frozen=True)
class Source:
    """A module that lists ``MODELS``; ``name`` is what it is called where it is named."""

    name: str
    module: str  # under which it is imported
    path: Path

    @property
    def is_file(self) -> bool:
        """Whether it was named by its file: it is imported from there, wherever that is."""
        return self.name.endswith(_SUFFIX)

    @property
    def root(self) -> Path:
        """The folder in which it and what belongs to it lies: that of the file, or of the whole package."""
        above = self.module.count(".") + (self.path.name == "__init__.py")
        return self.path.parents[above]


def named() -> tuple[str, ...]:
    """What names a module here: the variable first, then installed packages, each once."""
    return tuple(dict.fromkeys(filter(None, (variable(VARIABLE).strip(), *_installed()))))


def variables() -> dict[str, str]:
    """What a process in another folder needs to find them."""
    value = variable(VARIABLE).strip()
    return {VARIABLE: str(full_path(VARIABLE, value)) if value.endswith(_SUFFIX) else value} if value else {}


@cache
def _installed() -> tuple[str, ...]:
    return tuple(sorted(point.module for point in metadata.entry_points(group=ENTRY_POINTS)))


def find(name: str) -> Source:
    """Find a module by its file's path or by its name with dots. Raises ``ModelError``."""
    return _file(name) if name.endswith(_SUFFIX) else _module(name)


def _file(name: str) -> Source:
    try:
        path = full_path(VARIABLE, name)
    except ConfigError as error:
        raise ModelError(str(error)) from error
    if not path.is_file():
        raise ModelError(f"{VARIABLE} names {name}, and there is no such file.")
    if not path.stem.isidentifier():
        raise ModelError(f"{VARIABLE} names {name}, which can't be imported: name the file like my_models.py.")
    if path.stem in sys.stdlib_module_names or path.stem in ("torch", "torchvision", "numpy", "fashion_core"):
        raise ModelError(f"{VARIABLE} names {name}, whose name belongs to another module: give the file another.")
    return Source(name, path.stem, path)


def _module(name: str) -> Source:
    """Walk down the packages by their finders: ``importlib.util.find_spec`` would import them."""
    missing = ModelError(
        f"{VARIABLE} or a package names the module {name}, and there is none: give a file that ends in .py, or install "
        "the package."
    )
    if not all(part.isidentifier() for part in name.split(".")):
        raise missing
    folders: list[str] | None = None
    found: ModuleSpec | None = None
    for depth in range(1, name.count(".") + 2):
        part = ".".join(name.split(".")[:depth])
        found = next((spec for finder in sys.meta_path if (spec := finder.find_spec(part, folders))), None)
        if found is None or (depth <= name.count(".") and found.submodule_search_locations is None):
            raise missing
        folders = list(found.submodule_search_locations or ())
    if found is None or found.origin is None or not found.origin.endswith(_SUFFIX):
        raise ModelError(f"The module {name} has no source to read: name one that is a .py file.")
    return Source(name, name, Path(found.origin))
