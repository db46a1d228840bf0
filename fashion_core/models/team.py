"""Import a team's own models, which only a process with torch does, and build them."""

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from torch import nn

from fashion_core.config import LONGEST_MODEL_NAME, MODEL_LABELS, MODEL_NAME, Shape
from fashion_core.errors import ModelError, cut_middle, printable
from fashion_core.models import sources
from fashion_core.models.layers import sha256_of
from fashion_core.models.sources import Source

LIST: Final = "MODELS"
PARTS: Final = ("channels", "height", "width", "classes")
_LONGEST: Final = 400  # characters of a message; those of torch.export go on for pages
Builder = Callable[[Shape], nn.Module]


@dataclass(frozen=True)
class Team:
    """The models of one module, and the files that were imported for it, below ``Source.root``."""

    models: Mapping[str, Callable[..., Any]]
    files: tuple[Path, ...]


def builder(name: str) -> Builder:
    """What builds a team's model of this name. Raises ``ModelError``."""
    _, found = _listing(name)
    return partial(build, name, found.models[name])


def check_imported(name: str, sha256: str) -> None:
    """Raise ``ModelError`` unless a team's model has been imported from the source of this digest."""
    source, found = _listing(name)
    if sha256_of(digests(source, found.files)) != sha256:
        raise ModelError(f"The source of the model {name} was changed as its run was about to begin: start it again.")


def _listing(name: str) -> tuple[Source, Team]:
    problem = None
    for named in sources.named():
        try:
            source = sources.find(named)
            found = load(source)
        except ModelError as error:
            problem = error
            continue
        if name in found.models:
            return source, found
    raise problem or ModelError(f"There is no model {name} here: set {sources.VARIABLE} to the module that lists it.")


def build(name: str, make: Callable[..., Any], shape: Shape) -> nn.Module:
    """Build a model with as many of the shape's parts as it takes. Raises ``ModelError`` with its own message."""
    with explained(f"{name} can't be built for {_in_words(shape)}"):
        model = make(**{part: getattr(shape, part) for part in parts_taken(make)})
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} is built as a {type(model).__name__}: it should be a torch.nn.Module.")
    return model


def parts_taken(make: Callable[..., Any]) -> tuple[str, ...]:
    """Which parts of a shape it can be called with, by their names."""
    if getattr(make, "__init__", None) is nn.Module.__init__:  # whose signature says that it takes everything
        return ()
    taken = inspect.signature(make).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    return tuple(part for part in PARTS if takes_all or part in taken)


def _in_words(shape: Shape) -> str:
    return f"{shape.channels} × {shape.height} × {shape.width} and {shape.classes:,} classes"


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn whatever a team's code raises into one sentence with its own message; what it prints is no answer."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())
        raise ModelError(printable(f"{what}: {type(error).__name__}: {cut_middle(said, _LONGEST)}")) from error


@cache
def load(source: Source) -> Team:
    """Import a module, once. Raises ``ModelError``."""
    before = set(sys.modules)
    with explained(f"{source.name} can't be imported"):
        module = _import_file(source) if source.is_file else importlib.import_module(source.module)
    imported = [sys.modules[name] for name in sys.modules.keys() - before]
    files = {Path(path) for one in (*imported, *_used(module)) if (path := getattr(one, "__file__", None))}
    return Team(_listed(source, module), tuple(sorted(path for path in files if _is_of(source, path))))


def _used(module: ModuleType) -> list[ModuleType]:
    """A module, and those whose classes, functions or names it has, though another one may have imported them first."""
    found = [module]
    for one in found:
        names = (getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(one).values())
        others = (sys.modules.get(name) for name in names if isinstance(name, str))
        near = (other for other in others if other and _lies_beside(module, other))
        found += [other for other in dict.fromkeys(near) if other not in found]
    return found


def _lies_beside(module: ModuleType, other: ModuleType) -> bool:
    """Whether they may belong to one team: most of what a module uses is installed elsewhere."""
    paths = [getattr(one, "__file__", None) for one in (module, other)]
    return all(paths) and Path(str(paths[1])).is_relative_to(Path(str(paths[0])).parent)


def _import_file(source: Source) -> ModuleType:
    """Under its own name, by which a whole model is pickled; what lies beside it can be imported, too."""
    known = sys.modules.get(source.module)
    if known is not None and known.__file__ == str(source.path):  # another module has imported it
        return known
    spec = importlib.util.spec_from_file_location(source.module, source.path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[source.module] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(source.root))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[source.module]  # as Python does: half a module is none
        raise
    finally:  # what others import later is not meant to be found there first
        sys.path.remove(str(source.root))
        sys.path.append(str(source.root))
    return module


def _is_of(source: Source, path: Path) -> bool:
    """Whether it is the team's: of the package, or beside the file and not installed there."""
    inside = source.root if source.is_file else source.root / source.module.partition(".")[0]
    package = Path(__file__).parents[1]
    is_inside = path == source.path or (path.suffix == ".py" and path.is_relative_to(inside))
    return is_inside and "site-packages" not in path.relative_to(source.root).parts and not path.is_relative_to(package)


def _listed(source: Source, module: ModuleType) -> dict[str, Callable[..., Any]]:
    listed = getattr(module, LIST, None)
    if not isinstance(listed, dict) or not listed:
        raise ModelError(f'{source.name} lists no models: give it {LIST} = {{"lenet": LeNet}}.')
    for name, make in listed.items():
        if name in MODEL_LABELS:
            raise ModelError(f"{source.name} calls a model {name}, as this app calls one of its own: choose another.")
        if not isinstance(name, str) or len(name) > LONGEST_MODEL_NAME or not re.fullmatch(MODEL_NAME, name):
            said = f"small letters, digits, - and _, at most {LONGEST_MODEL_NAME}"
            raise ModelError(f"{source.name} calls a model {name!r}: choose a name of {said}.")
        if not callable(make):
            raise ModelError(f"{source.name} gives {name} as a {type(make).__name__}: give its class or a function.")
    return dict(listed)


def files_in(source: Source, error: ModelError) -> tuple[Path, ...]:
    """The module's file, and those in which what ended its import happened."""
    cause = error.__cause__
    names = [frame.filename for frame in traceback.extract_tb(cause.__traceback__)] if cause else []
    names += [cause.filename] if isinstance(cause, SyntaxError) and cause.filename else []
    found = {source.path, *(path for path in map(Path, names) if path.is_file() and _is_of(source, path))}
    return tuple(sorted(found))


def digests(source: Source, files: tuple[Path, ...]) -> dict[str, str]:
    """The SHA-256 of each file, by its path below the root. Raises ``ModelError``."""
    with explained(f"{source.name} can't be read"):
        return {
            path.relative_to(source.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }
