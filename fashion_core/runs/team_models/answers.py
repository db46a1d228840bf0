"""What a process with torch says of a module that lists models; the module's code is never imported here.

It is kept in the store, and asked for again once a file that was imported, or torch, is another.
"""

import hashlib
import time
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from fashion_core import files
from fashion_core.cache import Cache, stamp
from fashion_core.config import Shape
from fashion_core.errors import DiskError, ModelError, WorkerError
from fashion_core.models import sources
from fashion_core.models.layers import Answer
from fashion_core.models.sources import Source
from fashion_core.runs import processes

FOLDER: Final = ".models"  # of the store
_ANSWER_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 60.0
_MOST_KEPT: Final = 100
_answers: Cache[tuple[Answer, float]] = Cache(256)  # and when each was given
_digests: Cache[str] = Cache(1024)


class _Problem(NamedTuple):
    stamp: object
    answer: Answer
    when: float


_problems: dict[Path, _Problem] = {}  # of each module the last one


def answer(name: str, shape: Shape, seconds: float = _ANSWER_SECONDS, again: float = _AGAIN_SECONDS) -> Answer:
    """What the module of this name says; whatever is wrong with it is told by ``Answer.problem``.

    Wait at most so many ``seconds`` for it. What is wrong may be mended elsewhere, as by installing a package that it
    imports: then it is asked ``again`` after so many seconds.
    """
    try:
        source = sources.find(name)
    except ModelError as error:
        return Answer(problem=str(error), torch="")
    if broken := _known_problem(source, again):
        return broken
    kept, ask = _kept_at(source, shape), partial(_ask, source, shape, seconds)
    found, when = _answers.get(kept, stamp(source.path), lambda: _now(_read(kept, source) or ask()))
    is_old = bool(found.problem) and time.monotonic() - when >= again
    if is_old or not _is_of(found, source):  # a file that it imports has changed
        _answers.forget(kept)
        found, _ = _answers.get(kept, stamp(source.path), lambda: _now(ask()))
    return found


def _known_problem(source: Source, again: float) -> Answer | None:
    """What is wrong with a whole module is so for images of any shape, and may take long to find out."""
    problem = _problems.get(source.path)
    if problem and problem.stamp == stamp(source.path) and _is_of(problem.answer, source):
        return problem.answer if time.monotonic() - problem.when < again else None
    return None


def _now(found: Answer) -> tuple[Answer, float]:
    return found, time.monotonic()


def _kept_at(source: Source, shape: Shape) -> Path:
    said = f"{source.path} {source.module} {tuple(shape)}"
    name = hashlib.sha256(said.encode()).hexdigest()[:32]
    return files.path_of("FASHION_RUNS", "runs") / FOLDER / f"{name}.json"


def _read(kept: Path, source: Source) -> Answer | None:
    """An answer from before, if it is still one of the same files and torch."""
    with suppress(DiskError, ValidationError):
        found = Answer.model_validate_json(files.read_bytes(kept))
        if found.torch == metadata.version("torch") and _is_of(found, source):
            return found
    return None


def _ask(source: Source, shape: Shape, seconds: float) -> Answer:
    before = stamp(source.path)
    try:
        said = processes.ask("describe-models", source.name, "--shape", _text(shape), seconds=seconds)
        found = Answer.model_validate(said)
    except WorkerError as error:
        return Answer(problem=f"{source.name} can't be used: {error}", torch="")  # for these images: others may fit
    if found.problem:
        _problems[source.path] = _Problem(before, found, time.monotonic())
        return found
    kept = _kept_at(source, shape)
    with suppress(DiskError):  # then it is asked again
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(kept, said)
        _forget_oldest(kept.parent)
    return found


def _forget_oldest(folder: Path) -> None:
    """Keep few: a stranger's files may be of any shape."""
    with files.disk_errors(folder):
        for old in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_MOST_KEPT]:
            old.unlink(missing_ok=True)


def _text(shape: Shape) -> str:
    return ",".join(map(str, shape))


def _is_of(answer: Answer, source: Source) -> bool:
    """Whether the files that it was told of are what lies there."""
    return all(_digest(source.root / path) == digest for path, digest in answer.files.items())


def _digest(path: Path) -> str:
    def read() -> str:
        with suppress(DiskError):
            return hashlib.sha256(files.read_bytes(path)).hexdigest()
        return ""

    return _digests.get(path, stamp(path), read)
