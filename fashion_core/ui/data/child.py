"""Adds a dataset in a process of its own, where a picture from anywhere can harm no visitor.

It is ended where nobody waits for it any more, and then nothing is kept.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable
from typing import IO, Any, Final, NamedTuple

from fashion_core.data.report import Report
from fashion_core.data.request import AddRequest
from fashion_core.errors import DataError, WorkerError
from fashion_core.runs import processes

_PROBLEM: Final = "fashion_core: "  # how the command line begins to report a problem that a person can fix


class Preview(NamedTuple):
    """What would be added; ``samples`` are the names of classes and pictures of them, as data URIs."""

    report: Report
    samples: list[tuple[str, str]]


def add(source: str, request: AddRequest, progress: Callable[[int, int], object]) -> Report:
    """Raises ``DataError`` with what the other process said, ``WorkerError``."""
    return _report(_run(source, request, progress))


def preview(source: str, request: AddRequest, progress: Callable[[int, int], object]) -> Preview:
    """Report what ``add`` would, with samples, and keep nothing. Raises what ``add`` raises."""
    found = _run(source, request, progress, "--preview")
    return Preview(_report(found), [(name, picture) for name, picture in found["samples"]])


def _report(found: dict[str, Any]) -> Report:
    fields = Report.model_fields
    described = {name: value for name, value in found.items() if name not in (*fields, "samples")}
    return Report.model_validate({"description": described, "counts": found["counts"], "findings": found["findings"]})


def _run(source: str, request: AddRequest, progress: Callable[[int, int], object], *flags: str) -> dict[str, Any]:
    command = processes.python_command("adder", "--json", *_asked(request), *flags, "--", source)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer, processes.start_errors():
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,  # no pipe, which it would fill while its progress is read
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=processes.child_environment(),
        )
        try:
            assert child.stderr
            said = _follow(child.stderr, progress)
        finally:
            child.terminate()  # a click ends the script that waits here
            child.wait()
        answer.seek(0)
        found: dict[str, Any] = json.loads(answer.read() or "{}")
    if found:
        return found
    if said.startswith(_PROBLEM):
        raise DataError(said.removeprefix(_PROBLEM))
    raise WorkerError(f"Adding has ended without an answer: {said or 'it said nothing'}.")


def _asked(request: AddRequest) -> list[str]:
    asked = {"name": request.name, "label": request.label, "fit": request.fit, "called": request.called}
    more = {"size": request.size, "channels": request.channels}
    return [f"--{name}={value}" for name, value in {**asked, **more}.items() if value is not None]


def _follow(lines: IO[str], progress: Callable[[int, int], object]) -> str:
    """Pass on how far it is, and return the last line that is not about that."""
    last = ""
    for line in lines:
        done, of, total = line.strip().partition("/")
        if of and done.isdecimal() and total.isdecimal():
            progress(int(done), int(total))
        elif line.strip():
            last = line.strip()
    return last
