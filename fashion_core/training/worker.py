"""The process that trains one run: takes its lock, trains, and leaves the outcome in its status.

Where several train it, torchrun starts them; the one that leads does all of that, and the others only train.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fashion_core import files
from fashion_core.data import images
from fashion_core.errors import ConfigError, DiskError, DivergedError, FashionError, RunStateError
from fashion_core.runs import processes, queue, team_models
from fashion_core.runs.launchers import jobs
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, State, Status
from fashion_core.runs.store import RunStore
from fashion_core.training import torchrun
from fashion_core.training.torchrun import ProcessLostError

if TYPE_CHECKING:  # torch is imported while the dataset is read
    from fashion_core.training.group import Group

_OTHER_RUN = "Processes of run {run} met those of run {other}: give each run a rendezvous of its own, by --rdzv-id."
_OTHER_SIZE = "Run {run} is for {asked:,} processes, not {started:,}: change --nnodes or --nproc-per-node."


def work(run: Run, group: "Group | None" = None) -> bool:
    """Train a run, or return False if it no longer waits for that. Raises what ended it, after writing it down."""
    with run.writing(timeout=10):
        try:
            if not jobs.is_given(run.status):
                return False
            others = (run.labels_path.name, run.verification_path.name, run.drill_path.name)  # write without the lock
            with files.disk_errors(run.path):
                files.remove_temporaries(run.path, of_others=others)
                files.remove_temporaries(run.checkpoint_folder)
            restarts, starter = _restarts(group, run.status), processes.identify(_starter(group))
            _note(run, state="running", process=starter, phase="starting", restarts=restarts)
            _note(run, state=_train(run, group))
            if run.status.state == "queued" and run.stop_path.exists():  # pressed at the last moment
                _note(run, state="stopped")
        except ProcessLostError:
            raise
        except Exception as error:
            _note_failure(run, error)
            raise
        return True


def _work_together(run: Run, before: Callable[[], object]) -> bool:
    """Return False where another process has died. Raises what ended training."""
    from fashion_core.training.group import joined

    with joined(cuda=run.record.environment.device.startswith("cuda")) as group:
        try:
            _take_part(run, group, before)
        except ProcessLostError as error:
            print(f"fashion_core: another process seems to be gone: {error}", file=sys.stderr)
            return False
        except Exception as error:
            group.end_others(str(error))
            raise
    return True


def _take_part(run: Run, group: "Group", before: Callable[[], object]) -> None:
    asked, leading = run.record.config.processes, group.of_leader(run.id)
    if group.any(run.id != leading):
        raise ConfigError(_OTHER_RUN.format(run=run.id, other=leading))
    if group.size != asked:
        raise ConfigError(_OTHER_SIZE.format(run=run.id, asked=asked, started=group.size))
    if not group.leads:
        _train(run, group)
        return
    if run.state() not in ACTIVE_STATES:  # of restarted processes, the run still trains
        before()
    if not work(run, group):
        raise RunStateError(f"Run {run.id} is {run.state()} by now: its processes have nothing to train.")


def _restarts(group: "Group | None", status: Status) -> int:
    """How often its processes were restarted: torchrun itself counts those of its own host alone."""
    has_trained = status.state == "running" and status.began_at is not None
    return max(group.restarts, status.restarts + has_trained) if group else 0


def _starter(group: "Group | None") -> int:
    """The process that lives as long as the run trains: torchrun's, where there are several."""
    return os.getppid() if group and group.size > 1 else os.getpid()


def _train(run: Run, group: "Group | None") -> State:
    """Raises what ended training, or ``ProcessLostError``."""
    run.record.check_images()  # it may have been queued by another version
    team_models.check_source(run.record)
    terminated, starter = threading.Event(), _starter(group)
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    with ThreadPoolExecutor(max_workers=1) as beside:
        reading = beside.submit(images.read, run.record.description)
        from fashion_core.data import batches
        from fashion_core.training.group import ALONE
        from fashion_core.training.trainer import Trainer

    def should_stop() -> bool:
        if starter != _starter(group):
            raise SystemExit(1)  # torchrun is gone, and nobody would restart this process
        return terminated.is_set() or run.stop_path.exists()

    group = group or ALONE
    with group.failures_explained():
        both = batches.as_images(reading.result(), run.record.description)
        ended = Trainer(run, should_stop, both, group).train()
    is_preempted = ended == "stopped" and jobs.attempt() is not None and not run.stop_path.exists()
    return "queued" if is_preempted else ended  # its engine queues the job again, or says what else became of it


def _note_failure(run: Run, error: Exception) -> None:
    told = files.refusal(error)
    text = str(told) if told else f"{type(error).__name__}: {error}"
    failed = {"state": "failed", "error": text.strip().partition("\n")[0], "diverged": isinstance(error, DivergedError)}
    try:
        _note(run, **failed)
    except DiskError:
        run.overwrite_status(_changed(run, **failed))


def _note(run: Run, **changes: object) -> None:
    """Delete the stop file last: a stop that is requested before the status is written meets a running run."""
    status = _changed(run, **changes)
    run.write_status(status)
    if status.state not in ("running", "queued"):
        with files.disk_errors(run.stop_path):
            run.stop_path.unlink(missing_ok=True)


def _changed(run: Run, **changes: object) -> Status:
    return Status.model_validate({**run.status.model_dump(), "heartbeat": files.now(), "phase": None, **changes})


def main(run_id: str) -> int:
    """Train a run, then start the next one in the queue. Return the exit status."""
    if torchrun.has_started_this():
        torchrun.leave(join(RunStore().get(run_id)))
    store, given = RunStore(), True
    try:
        run = store.get(run_id)
        given = _launch(run) if run.record.config.processes > 1 else work(run)
    except FashionError as error:
        print(f"fashion_core: {error}", file=sys.stderr)
        return 1
    finally:
        if given and jobs.attempt() is None:  # an engine has its own queue, which this host may not even reach
            queue.advance(store)
    return 0


def _launch(run: Run) -> bool:
    try:
        torchrun.launch(run)
    except Exception as error:
        with run.writing(timeout=10):
            if jobs.is_given(run.status):
                _note_failure(run, error)
        raise
    return True


def join(run: Run, before: Callable[[], object] = lambda: None) -> int:
    """Be one of the processes that train a run, and return the exit status.

    It is 1 only where another one has died, and torchrun is to restart all of them: after a failure that has ended them
    with its sentence it is 0, too. The one that leads calls ``before`` unless the run trains already.
    """
    try:
        return 0 if _work_together(run, before) else 1
    except FashionError as error:
        if torchrun.speaks():
            print(f"fashion_core: {error}", file=sys.stderr)
        return 0
