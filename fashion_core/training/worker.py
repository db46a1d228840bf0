"""The process that trains one run: takes its lock, trains, and leaves the outcome in its status."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from fashion_core import files
from fashion_core.data import images
from fashion_core.errors import DiskError, DivergedError, FashionError
from fashion_core.runs import processes, queue
from fashion_core.runs.launchers import jobs
from fashion_core.runs.run import Run
from fashion_core.runs.schema import State, Status
from fashion_core.runs.store import RunStore


def work(run: Run) -> bool:
    """Train a run, or return False if it no longer waits for that. Raises what ended it, after writing it down."""
    with run.writing(timeout=10):
        try:
            if not jobs.is_given(run.status):
                return False
            others = (run.labels_path.name, run.verification_path.name, run.drill_path.name)  # write without the lock
            with files.disk_errors(run.path):
                files.remove_temporaries(run.path, of_others=others)
                files.remove_temporaries(run.checkpoint_folder)
            _note(run, state="running", process=processes.identify(os.getpid()), phase="starting")
            _note(run, state=_train(run))
            if run.status.state == "queued" and run.stop_path.exists():  # pressed at the last moment
                _note(run, state="stopped")
        except Exception as error:
            _note_failure(run, error)
            raise
        return True


def _train(run: Run) -> State:
    run.record.check_images()  # it may have been queued by another version
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    with ThreadPoolExecutor(max_workers=1) as beside:
        reading = beside.submit(images.read, run.record.config.dataset)
        from fashion_core.data import batches
        from fashion_core.training.trainer import Trainer

    trainer = Trainer(run, lambda: terminated.is_set() or run.stop_path.exists(), batches.as_images(reading.result()))
    ended = trainer.train()
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
    store, given = RunStore(), True
    try:
        given = work(store.get(run_id))
    except FashionError as error:
        print(f"fashion_core: {error}", file=sys.stderr)
        return 1
    finally:
        if given and jobs.attempt() is None:  # an engine has its own queue, which this host may not even reach
            queue.advance(store)
    return 0
