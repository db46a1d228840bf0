"""The engine that ``FASHION_LAUNCHER`` names, and what it said last of its jobs, so that nobody waits long for it."""

import math
import re
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Final

import psutil

from fashion_core import files
from fashion_core.cache import Cache
from fashion_core.config import variable
from fashion_core.errors import ConfigError, EngineError, printable
from fashion_core.runs.launchers.base import Answer, Engine
from fashion_core.runs.launchers.ray_jobs import RayJobs
from fashion_core.runs.launchers.slurm import Slurm
from fashion_core.runs.schema import Job

ASK_SECONDS: Final = 3.0  # between two questions to an engine, each about all of its jobs
FRESH_SECONDS: Final = 10.0  # how old an answer may be before a page waits for the next one
PATIENCE_SECONDS: Final = 2.0  # how long it waits
START_SECONDS: Final = 20.0  # how long whoever starts a run waits: the engine's library is imported first
HANGING_SECONDS: Final = 30.0  # after which a question without an answer is asked again
UNLISTED_SECONDS: Final = 60.0  # how old a job is, by two clocks, before one that is not listed counts as ended
_UNLISTED: Final = Answer("ended", "no longer known")
_NEW: Final = Answer("waiting", "just submitted")


def launcher() -> str:
    """What ``FASHION_LAUNCHER`` says: ``local``, ``slurm`` or ``ray://HOST:PORT``. Raises ``ConfigError``."""
    value = variable("FASHION_LAUNCHER").strip().rstrip("/") or "local"
    if value in ("local", "slurm") or re.fullmatch(r"ray://[^\s/:]+:[0-9]{1,5}", value):
        return value
    raise ConfigError(f"FASHION_LAUNCHER should be local, slurm or ray://HOST:PORT, not {value!r}.")


@cache
def user() -> str:
    return printable(psutil.Process().username())


def title_of(launcher: str) -> str:
    """The name of an engine for people."""
    return Slurm.title if launcher == "slurm" else RayJobs.title


def chosen() -> Engine | None:
    """The engine to hand runs over to; None for this machine, which needs none. Raises ``ConfigError``."""
    return None if launcher() == "local" else _questions(launcher()).engine


def check(patience: float = PATIENCE_SECONDS) -> None:
    """Raise ``EngineError`` if the chosen engine is missing or can't be reached, ``ConfigError`` if none is known."""
    if launcher() != "local":
        _questions(launcher()).answers(patience)


def problem() -> str | None:
    """Why the chosen engine can't be reached, in one sentence; None where it answers, or none is needed."""
    try:
        check()
    except EngineError as error:
        return str(error)
    return None


def answer(job: Job | None) -> Answer | None:
    """What the engine says of a job; None where it can't be reached, or is not the one chosen here.

    Only the chosen one is asked: a status file must not decide whom this server connects to. It is asked about this
    user's jobs alone.
    """
    if job is None or (job.launcher, job.user) != (launcher(), user()):
        return None
    try:
        found = _questions(job.launcher).answers().get(job.id)
    except EngineError:
        return None
    return found or (_UNLISTED if abs(files.now() - job.submitted) > UNLISTED_SECONDS else _NEW)


class Questions:
    """Asks one engine about all of its jobs, in a thread of its own and at most every ``ASK_SECONDS``."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked = self._answered = -math.inf  # when, on this process's own clock
        self._found: Mapping[str, Answer] | EngineError = {}

    def answers(self, patience: float = PATIENCE_SECONDS) -> Mapping[str, Answer]:
        """Raises ``EngineError``, also for an engine that does not answer in time."""
        with self._lock:
            if not self._is_asking() and time.monotonic() - self._asked > ASK_SECONDS:
                self._asked, self._thread = time.monotonic(), threading.Thread(target=self._ask, daemon=True)
                self._thread.start()
        if self._thread and not self._is_fresh():
            self._thread.join(max(0.0, self._asked + patience - time.monotonic()))
        if not self._is_fresh():
            raise EngineError(f"{self.engine.title} does not answer: check that it runs and can be reached.")
        if isinstance(self._found, EngineError):
            raise self._found
        return self._found

    def _is_asking(self) -> bool:
        is_late = time.monotonic() - self._asked > HANGING_SECONDS
        return self._thread is not None and self._thread.is_alive() and not is_late

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._answered < FRESH_SECONDS

    def _ask(self) -> None:
        try:
            self._found = self.engine.answers()
        except EngineError as error:
            self._found = error
        self._answered = time.monotonic()


_known: Cache[Questions] = Cache(4)


def _questions(launcher: str) -> Questions:
    engine: Engine = Slurm() if launcher == "slurm" else RayJobs(launcher.removeprefix("ray://"))
    return _known.get(launcher, None, lambda: Questions(engine))
