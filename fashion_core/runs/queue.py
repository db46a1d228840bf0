"""Start, stop and go on with worker processes, and the queue they wait in.

Nothing here stays running: whoever starts a run, watches one or ends one calls ``advance``, which starts the next of
the queue while there is a free slot. The worker is known by its command line alone.
"""

import json
import os
import platform
import subprocess
import tempfile
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fashion_core import files
from fashion_core.config import TrainConfig
from fashion_core.data import fashion_mnist
from fashion_core.errors import (
    ConfigError,
    DamagedFileError,
    DeviceError,
    DiskError,
    FashionError,
    RunNotFoundError,
    RunStateError,
    WorkerError,
    printable,
)
from fashion_core.files import now
from fashion_core.runs import processes
from fashion_core.runs.run import Run
from fashion_core.runs.schema import (
    ACTIVE_STATES,
    CONTINUABLE_STATES,
    EXPORT_NAMES,
    UNDER_WAY_STATES,
    Environment,
    ExportFormat,
    Labels,
    Status,
)
from fashion_core.runs.store import RunStore

_ANSWER_SECONDS = 120
QUEUE_SECONDS = 5.0
"""How long to wait for another process that moves the queue on."""
_PROBLEM = "fashion_core: "
"""How the command line begins the sentence about a problem that a person can mend."""


@dataclass(frozen=True)
class Machine:
    """What this machine can train on, as ``python -m fashion_core devices`` says.

    ``devices`` maps each device's name to its processor; ``automatic`` is the one that "auto" takes; ``bf16`` names
    those that have instructions for bf16. A device may also be called "auto", and "cuda" is the first of its kind.
    """

    automatic: str
    devices: dict[str, str]
    bf16: list[str]
    threads: int

    def has(self, device: str) -> bool:
        """Whether there is such a device."""
        return self._is_among(device, self.devices)

    def has_bf16(self, device: str) -> bool:
        """Whether there is such a device and has instructions for bf16."""
        return self._is_among(device, self.bf16)

    def name_of(self, device: str) -> str:
        """What "auto" stands for; any other name as it is."""
        return self.automatic if device == "auto" else device

    def processor_of(self, device: str) -> str:
        """What a device that is here computes with."""
        name = self.name_of(device)
        return self.devices.get(name) or self.devices[f"{name}:0"]

    def _is_among(self, device: str, names: Collection[str]) -> bool:
        name = self.name_of(device)
        return name in names or f"{name}:0" in names


_one_question = threading.Lock()


def machine() -> Machine:
    """What this machine can train on; asked once. Raises ``WorkerError``."""
    with _one_question:  # who asks meanwhile waits for the same answer
        return _asked_machine()


@cache
def _asked_machine() -> Machine:
    return Machine(**_ask("devices"))


@cache
def look_around() -> None:
    """Ask for ``machine`` in the background, once, so that nobody waits for torch after the first click."""
    threading.Thread(target=_look_around, daemon=True).start()


def _look_around() -> None:
    with suppress(WorkerError):  # whoever needs the answer asks again, and is told what is wrong
        machine()


@cache
def describe_model(name: str) -> dict[str, Any]:
    """``text``, ``layers`` and ``parameters`` of a model, as ``models.describe`` gives them. Raises ``WorkerError``."""
    return _ask("model", name)


def _ask(*command: str, store: RunStore | None = None) -> dict[str, Any]:
    """The answer of a process that imports torch, so that this one need not."""
    try:
        answer = subprocess.run(
            processes.python_command(*command, "--json"),
            env=processes.child_environment(**({"FASHION_RUNS": str(store.root)} if store else {})),
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"torch gave no answer within {_ANSWER_SECONDS} s: try again.") from error
    said = answer.stderr.decode(errors="replace").strip()
    last_line = said.rpartition("\n")[2]  # libraries may have warned before it
    if answer.returncode == 1 and last_line.startswith(_PROBLEM):
        raise WorkerError(last_line.removeprefix(_PROBLEM))
    if answer.returncode:
        raise WorkerError(f"torch can't be used here: {said[-500:]}")
    value: dict[str, Any] = json.loads(answer.stdout)
    return value


def export(store: RunStore, run: Run, epoch: int, format: ExportFormat) -> bytes:
    """One checkpoint in one format, as bytes to download. Raises ``WorkerError`` or ``DiskError``."""
    with tempfile.TemporaryDirectory(prefix="fashion-core-") as folder:
        out = Path(folder, EXPORT_NAMES[format])
        _ask("export", run.id, str(epoch), "--format", format, str(out), store=store)
        return out.read_bytes()


def compare_formats(store: RunStore, run: Run, epoch: int) -> dict[str, Any]:
    """What ``exports.compare_formats`` measures. Raises ``WorkerError``."""
    return _ask("formats", run.id, str(epoch), store=store)


def lesson_outputs(store: RunStore, run: Run) -> dict[str, Any]:
    """What ``lesson_outputs.outputs`` gives. Raises ``WorkerError``."""
    return _ask("lesson", run.id, store=store)


def lesson_losses(store: RunStore, run: Run) -> dict[str, Any]:
    """What ``lesson_outputs.losses`` gives. Raises ``WorkerError``."""
    return _ask("lesson", run.id, "--losses", store=store)


def import_file(store: RunStore, path: Path, name: str, given: Mapping[str, str]) -> Run:
    """Import a file that passed ``inspection.inspect``; ``given`` are settings by name. Raises ``WorkerError``."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    shown = printable(name)  # a command line holds neither NUL nor half a character nor a megabyte
    return store.get(_ask("importer", str(path), f"--file-name={shown}", *flags, store=store)["id"])


def environment_for(config: TrainConfig) -> Environment:
    """What a run with these settings will compute with. Raises ``DeviceError`` if this machine can't."""
    here = machine()
    device = here.name_of(config.device)
    if not here.has(device):
        raise DeviceError(
            f"There is no device {device} on this machine; choose one of auto, {', '.join(here.devices)}."
        )
    return Environment(
        python=platform.python_version(),
        torch=metadata.version("torch"),
        device=device,
        processor=here.processor_of(device),
        threads=config.threads or here.threads,
    )


def slots() -> int:
    """How many runs may train at once: ``FASHION_SLOTS``, or one. Raises ``ConfigError``."""
    value = os.environ.get("FASHION_SLOTS", "1")
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"FASHION_SLOTS should be a whole number of at least 1, not {value!r}.")
    return int(value)


def start(store: RunStore, config: TrainConfig, tags: tuple[str, ...] = ()) -> Run:
    """Put a run with these settings in the queue; it starts at once if a slot is free.

    Raises ``ConfigError``, ``DataError`` or ``DeviceError`` before anything is written, ``DiskError`` after which
    nothing is left.
    """
    slots()
    if config.dataset == "fashion-mnist":
        fashion_mnist.check()
    labels = Labels(name=config.title, tags=tags)
    run = store.create(config, environment_for(config), fill=lambda draft: draft.write_labels(labels))
    advance(store)
    return run


def environment_to_resume(parent: Environment, config: TrainConfig) -> Environment:
    """What a resumed run will compute with: as its parent did, as far as the settings and this machine let it.

    Raises ``DeviceError`` if this machine has not the device that the settings name.
    """
    found = environment_for(config)
    here = machine()
    device = parent.device if config.device == "auto" and parent.device in here.devices else found.device
    threads = config.threads or min(parent.threads, here.threads)
    return found.model_copy(update={"device": device, "processor": here.processor_of(device), "threads": threads})


def continue_run(store: RunStore, run: Run) -> None:
    """Queue a stopped, failed or lost run again; it goes on in place.

    Raises ``RunStateError`` if it is in another state, ``DataError`` if its dataset is gone.
    """
    config = run.record.config
    _check_can_go_on(run, run.status)  # a running one answers at once: its lock is held for as long as it trains
    if config.dataset == "fashion-mnist":
        fashion_mnist.check()
    with run.writing():
        status = run.status
        _check_can_go_on(run, status)
        with files.disk_errors(run.stop_path):
            run.stop_path.unlink(missing_ok=True)
        run.write_status(
            status.model_copy(update={"state": "queued", "queued_at": now(), "process": None, "error": None})
        )
    advance(store)


def _check_can_go_on(run: Run, status: Status) -> None:
    state = run.state(status)
    if state not in CONTINUABLE_STATES:
        raise RunStateError(f"Run {run.id} is {state}; only a stopped, failed or lost run can go on.")


def stop(run: Run) -> None:
    """Ask a run to stop: at once if it waits, after the batch in hand if it trains. Raises ``RunStateError``."""
    while (state := run.state()) == "queued":
        if _stop_queued(run):
            return
    if state not in ACTIVE_STATES:
        raise RunStateError(f"Run {run.id} is {state} already; there is nothing to stop.")
    with files.disk_errors(run.stop_path):
        run.stop_path.touch()
    if run.state() not in ACTIVE_STATES:
        _take_back_stop(run)


def _take_back_stop(run: Run) -> None:
    """The run ended while it was asked to stop, and its worker removed the stop file before that was there."""
    with suppress(RunStateError), run.writing(timeout=1.0), files.disk_errors(run.stop_path):
        if run.status.state not in ACTIVE_STATES:
            run.stop_path.unlink(missing_ok=True)


def _stop_queued(run: Run) -> bool:
    """Whether it was still waiting; if not, its worker may have just taken the lock and keep it while it trains."""
    with suppress(RunStateError), run.writing(timeout=0.2):
        status = run.status
        if status.state == "queued":
            run.write_status(status.model_copy(update={"state": "stopped"}))
            return True
    return False


def advance(store: RunStore, patience: float = QUEUE_SECONDS) -> None:
    """Start the runs that have waited longest while there are free slots. Raises ``DiskError``.

    Who finds another process at it waits up to ``patience`` seconds, and then leaves it to that one: it may have been
    suspended, and nobody else should stand still for that.
    """
    if not store.root.exists():
        return
    lock = FileLock(store.root / ".queue.lock", timeout=patience)
    with files.disk_errors(store.root), suppress(Timeout), lock:
        store.remove_leftovers()
        standing = [(run, status) for run in store.runs() if (status := _readable_status(run))]
        free = slots() - sum(run.state(status) in ACTIVE_STATES for run, status in standing)
        waiting = sorted((status.queued_at, run.id) for run, status in standing if status.state == "queued")
        for _, run_id in waiting:
            if free > 0 and _start_or_give_up(Run(store.root / run_id)):
                free -= 1


def _start_or_give_up(run: Run) -> bool:
    """Whether a worker was started; what is wrong with one run must not keep the others waiting."""
    try:
        return _start_worker(run)
    except (RunNotFoundError, RunStateError):  # somebody deleted it or is at work on it
        return False
    except FashionError as error:
        with suppress(FashionError), run.writing(timeout=1):
            run.write_status(run.status.model_copy(update={"state": "failed", "error": str(error), "process": None}))
        return False


def under_way(store: RunStore) -> list[Run]:
    """The runs that train or wait, the oldest first."""
    standing = [(run, status) for run in reversed(store.runs()) if (status := _readable_status(run))]
    return [run for run, status in standing if run.state(status) in UNDER_WAY_STATES]


def queue_position(store: RunStore, run: Run) -> int:
    """How many queued runs are to start before this one."""
    mine = run.status
    statuses = [(status, other.id) for other in store.runs() if (status := _readable_status(other))]
    return sum(
        status.state == "queued" and (status.queued_at, run_id) < (mine.queued_at, run.id)
        for status, run_id in statuses
    )


def _readable_status(run: Run) -> Status | None:
    try:
        return run.status
    except (DamagedFileError, DiskError):  # it has no status, or no longer: another process may be deleting it
        return None


def _start_worker(run: Run) -> bool:
    """Whether the run still waited. Its worker waits for the lock that is held here.

    The status changes first: where it can't be written, nothing is started.
    """
    with run.writing(timeout=1):
        status = run.status
        if status.state != "queued":
            return False
        running = {"state": "running", "phase": "starting", "process": None, "heartbeat": now(), "error": None}
        run.write_status(status.model_copy(update=running))
        with files.disk_errors(run.log_path):
            worker = processes.start_detached(
                processes.python_command("worker", run.id), run.log_path, _worker_environment(run)
            )
        run.write_status(status.model_copy(update={**running, "process": worker}))
        return True


def _worker_environment(run: Run) -> dict[str, str]:
    return processes.child_environment(
        FASHION_RUNS=str(run.path.parent), FASHION_DATA=str(fashion_mnist.root()), **processes.KEEP_FREED_BLOCKS
    )
