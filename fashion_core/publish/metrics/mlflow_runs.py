"""Runs for an MLflow server: described here, sent by ``mlflow_client`` in a process that has MLflow."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from fashion_core import files
from fashion_core.config import variable
from fashion_core.errors import ConfigError, DamagedFileError, ModelError, RefusedFileError, WorkerError, printable
from fashion_core.publish.metrics import mlflow_client, rows, texts
from fashion_core.runs.run import Run
from fashion_core.runs.schema import State
from fashion_core.runs.store import RunStore

EXPERIMENT: Final = "Fashion Core"
_STATUS: dict[State, str] = {
    "queued": "SCHEDULED", "running": "RUNNING", "stopping": "RUNNING", "stopped": "KILLED", "finished": "FINISHED",
    "failed": "FAILED", "lost": "FAILED", "imported": "FINISHED",
}  # fmt: skip
# Of MLflow: a server that is away is told in seconds, not minutes, and nobody is told that it was used.
_QUIET: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
                 "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # fmt: skip


def python_with_mlflow(given: str | None) -> str:
    """The Python that sends: the given one, that of ``FASHION_MLFLOW_PYTHON``, or this one."""
    return given or variable("FASHION_MLFLOW_PYTHON") or sys.executable


def send(store: RunStore, runs: Sequence[Run], uri: str, python: str) -> Iterator[dict[str, Any]]:
    """Send these runs, parents first; what a server has of them already is not sent again.

    Yield for each ``run``, ``mlflow_run`` (its id there), ``metrics`` and ``written``: how many numbers it has there,
    and how many of them were sent now; ``without_model`` says why its newest checkpoint could not be exported, if so.

    Raises ``ConfigError`` about the address, ``WorkerError``, ``DiskError``, ``DamagedFileError``.
    """
    if ":" not in uri:
        raise ConfigError(texts.NOT_AN_ADDRESS.format(uri=printable(uri)))
    with files.scratch_folder(store.root) as folder, _Client(folder, uri, python) as client:
        client.tell(experiment=EXPERIMENT)
        for run in runs:
            answered = client.ask(run=_describe(run))
            without = _send_newest_model(client, run, answered["model"], folder)
            last = run.record.created.timestamp()
            points = rows.points(rows.read(store, run))
            while piece := list(islice(points, mlflow_client.MOST)):
                last = max(last, *(point.time for point in piece))
                client.tell(metrics=[(one.tag, one.value, _milliseconds(one.time), one.step) for one in piece])
            yield client.ask(end=_milliseconds(last), status=_STATUS[run.state()]) | {"without_model": without}


def _describe(run: Run) -> dict[str, Any]:
    record = run.record
    parent = record.parent
    return {
        "id": run.id,
        "name": run.title,
        "parent": parent and parent.run,
        "created": _milliseconds(record.created.timestamp()),
        "params": {name: str(value) for name, value in rows.hyperparameters(run).items()},
        "tags": {"resumed_from": f"epoch {parent.epoch} of {parent.run}"} if parent else {},
    }


def _send_newest_model(client: "_Client", run: Run, there: str | None, folder: Path) -> str | None:
    """Send the weights of the newest checkpoint unless they are there; return why they can't be exported, if so."""
    epoch = max(run.whole_epochs(), default=None)
    if epoch is None or (described := _model_of(run, epoch)) == there:
        return None
    try:
        _send_model(client, run, epoch, described, folder)
    except (ModelError, RefusedFileError, DamagedFileError) as error:  # its numbers are still worth sending
        return str(error)
    return None


def _model_of(run: Run, epoch: int) -> str:
    """What a model that was sent is known again by."""
    info = run.file_info(run.checkpoint_path(epoch))
    return f"epoch {epoch} {info.sha256 if info else ''}"


def _send_model(client: "_Client", run: Run, epoch: int, described: str, folder: Path) -> None:
    """The weights of a checkpoint, exported as anyone would do it."""
    from fashion_core.formats import export

    out = folder / run.id
    with files.disk_errors(out):
        out.mkdir()
    digest = export.export(run, epoch, "safetensors", out / "model.safetensors")
    params = {"epoch": str(epoch), "sha256": digest.sha256, "images": run.record.images}
    client.ask(model=described, folder=str(out), epoch=epoch, params=params)
    shutil.rmtree(out, ignore_errors=True)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class _Client:
    """The process that has MLflow; it ends with the block. Each method raises ``WorkerError`` with its last word."""

    def __init__(self, folder: Path, uri: str, python: str) -> None:
        self._python, self._uri, self._errors = python, uri, folder / "stderr"
        environment = {**_QUIET, **os.environ, "MLFLOW_TRACKING_URI": uri}
        command = [python, mlflow_client.__file__]
        try:
            with self._errors.open("xb") as errors:
                pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
                self._process = subprocess.Popen(command, env=environment, text=True, encoding="utf-8", **pipes)
        except OSError as error:
            raise WorkerError(texts.NOT_A_PYTHON.format(python=python)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        with suppress(BrokenPipeError), self._process:  # waits for its end
            if raised[0]:
                self._process.kill()

    def tell(self, **document: object) -> None:
        try:
            print(json.dumps(document), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._why_it_ended() from error

    def ask(self, **document: object) -> dict[str, Any]:
        self.tell(**document)
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise self._why_it_ended()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:  # it is another program
            raise WorkerError(texts.NOT_A_PYTHON.format(python=self._python)) from error
        return answer

    def _why_it_ended(self) -> WorkerError:
        status = self._process.wait()
        if status == mlflow_client.MISSING:
            return WorkerError(texts.NO_MLFLOW.format(python=self._python))
        if status == 0:  # another program, which has ended well without us
            return WorkerError(texts.NOT_A_PYTHON.format(python=self._python))
        lines = files.read_bytes(self._errors).decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit status {status}"
        return WorkerError(texts.MLFLOW_FAILED.format(uri=printable(self._uri), reason=printable(said)))
