"""Runs and the jobs of their workers: handed over, taken back, and what became of a job whose worker can't say it."""

from contextlib import suppress

from fashion_core import files
from fashion_core.config import variable
from fashion_core.data import fashion_mnist
from fashion_core.errors import DiskError, EngineError, FashionError
from fashion_core.models import sources
from fashion_core.runs import processes
from fashion_core.runs.launchers import engines
from fashion_core.runs.launchers.base import Engine, Task, resources_of
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, Job, Status

_ATTEMPT = "FASHION_ATTEMPT"


def task_of(run: Run, attempt: int | None = None) -> Task:
    """The worker of a run; ``attempt`` says which, where an engine starts it."""
    variables = processes.child_variables(
        FASHION_RUNS=str(run.path.parent),
        FASHION_DATA=str(fashion_mnist.root()),
        **sources.variables(),
        **processes.KEEP_FREED_BLOCKS,
        **({} if attempt is None else {_ATTEMPT: str(attempt)}),
    )
    return Task(run.id, run.path, run.log_path, resources_of(run.record), variables)


def hand_over(run: Run, status: Status, engine: Engine) -> None:
    """Submit a queued run, whose lock is held. Raises ``EngineError``."""
    job_id = engine.submit(task_of(run, status.continued))
    job = Job(launcher=engines.launcher(), id=job_id, user=engines.user(), submitted=files.now())
    run.write_status(status.model_copy(update={"job": job}))


def attempt() -> int | None:
    """Which attempt at a run this process was started for by an engine; None if by this machine."""
    value = variable(_ATTEMPT)
    return int(value) if value else None


def is_given(status: Status) -> bool:
    """Whether this process is the worker that the run waits for: not that of a job which the run has left behind."""
    if (mine := attempt()) is None:
        return status.state == "running"
    return status.state in ("queued", "running") and status.continued == mine


def waiting_job(run: Run) -> Job | None:
    """The job of a run that waits, also where its status can't be read: then there is none."""
    with suppress(DiskError):
        return run.status.job if run.status.state == "queued" else None
    return None


def cancel(job: Job | None, run: Run) -> None:
    """Take back the job of a run that no longer waits for it; left behind, it finds nothing to do."""
    engine = engines.chosen()
    if engine and job and engines.answer(job):
        with suppress(EngineError):
            engine.cancel(job.id, run.id)


def settle(run: Run, status: Status) -> Status:
    """Write down what the engine says of a job where its worker can't, and return the status that now holds.

    A worker that is at work holds the run's lock, and knows better.
    """
    if changes := _changes(status):
        with suppress(FashionError), run.writing(timeout=0):  # if it can't be written now, then the next time
            if run.status == status:
                run.write_status(settled := status.model_copy(update=changes))
                return settled
    return status


def _changes(status: Status) -> dict[str, object]:
    job = status.job if status.state in UNDER_WAY_STATES else None
    answer, is_queued = engines.answer(job), status.state == "queued"
    if not job or not answer or answer.state == "running":
        return {}
    if answer.state == "ended":
        said = f"{engines.title_of(job.launcher)} says of job {job.id}: {answer.words}"
        return {"state": "failed" if is_queued else "lost", "phase": None, "error": said}
    if is_queued:
        return {"job": None} if answer.state == "expired" else {}
    return {"state": "queued", "process": None, "phase": None}  # its host is gone: it waits for another


def log_tail(run: Run, lines: int) -> str:
    """What the worker printed; of one that died before it could, what its engine did.

    Raises ``DiskError``, ``EngineError``.
    """
    printed, status, engine = run.log_tail(lines), run.status, engines.chosen()
    has_died = not printed and run.state(status) in ("failed", "lost")
    if has_died and engine and status.job and engines.answer(status.job):
        printed = "\n".join(engine.printed(status.job.id, run.path).splitlines()[-lines:])
    return printed
