"""Slurm, through submitit: https://github.com/facebookincubator/submitit.

Slurm asks a job to leave its host in two ways, and the worker saves its exact position at both. SIGTERM reaches every
process of the job, and Slurm itself queues it again. SIGUSR2, before the time is up, is for submitit, which calls
``Worker.checkpoint`` and has the job queued again.
"""

import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from fashion_core import files
from fashion_core.config import variable
from fashion_core.errors import ConfigError, EngineError, printable
from fashion_core.runs.launchers.base import Answer, Task

if TYPE_CHECKING:
    from submitit import SlurmExecutor
    from submitit.helpers import DelayedSubmission

INSTALL: Final = "pip install 'submitit>=1.5,<2'"
ANSWER_SECONDS: Final = 20
DEFAULT_MINUTES: Final = 60  # a run that takes longer goes on in the same job, queued again
LEAST_MINUTES: Final = 5  # submitit has the position saved 90 s before the end
MOST_JOBS: Final = 10_000  # how often that may happen
WAITING: Final = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
ENDED: Final = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
"""Source: https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES"""


class Slurm:
    title: Final = "Slurm"

    def __init__(self) -> None:
        """Raises ``ConfigError``: a wrong setting is told at once, not when a run is handed over."""
        _minutes()
        _options()

    def submit(self, task: Task) -> str:
        with _errors(), files.disk_errors(_folder_in(task.folder)):
            return executor_for(task).submit(Worker(task.command, task.log)).job_id

    def cancel(self, job_id: str, run_id: str) -> None:
        _run("scancel", f"--name={_name_of(run_id)}", job_id)

    def answers(self) -> Mapping[str, Answer]:
        with _errors():
            import submitit  # noqa: F401 -- whoever is about to start a run learns here that it is missing

            listed = _run("squeue", "--me", "--states=all", "--noheader", "--format=%i|%T|%r").splitlines()
            return {job_id: _answer(state, reason) for job_id, state, reason in (line.split("|", 2) for line in listed)}

    def printed(self, job_id: str, folder: Path) -> str:
        with _errors():
            from submitit import SlurmJob

        log = SlurmJob[None](_folder_in(folder), job_id).paths.stdout
        return files.read_bytes(log).decode(errors="replace") if log.exists() else ""


def _answer(state: str, reason: str) -> Answer:
    words = state if reason == "None" else f"{state} ({reason})"
    if state in WAITING:
        return Answer("waiting", words)
    return Answer("ended" if state in ENDED else "running", words)


def executor_for(task: Task) -> "SlurmExecutor":
    """What makes the file for ``sbatch``. Raises ``ConfigError``."""
    from submitit import SlurmExecutor

    cpus, gpus = task.resources.cpus, task.resources.gpus
    executor = SlurmExecutor(_folder_in(task.folder), max_num_timeout=MOST_JOBS)
    executor.update_parameters(
        job_name=_name_of(task.run_id),
        time=_minutes(),
        cpus_per_task=cpus,
        srun_args=[f"--cpus-per-task={cpus}"],  # which srun no longer takes from sbatch
        stderr_to_stdout=True,
        setup=[f"export {name}={shlex.quote(value)}" for name, value in sorted(task.variables.items())],
        additional_parameters=_options(),
        **({"gpus_per_node": gpus} if gpus else {}),
        **({"partition": partition} if (partition := variable("FASHION_SLURM_PARTITION")) else {}),
    )
    return executor


def _name_of(run_id: str) -> str:
    return f"fashion-{run_id}"


def _folder_in(run_folder: Path) -> Path:
    return run_folder / "slurm"


def _minutes() -> int:
    value = variable("FASHION_SLURM_TIME") or str(DEFAULT_MINUTES)
    if not re.fullmatch("[0-9]{1,7}", value) or int(value) < LEAST_MINUTES:
        raise ConfigError(f"FASHION_SLURM_TIME should be a whole number of at least {LEAST_MINUTES}, not {value!r}.")
    return int(value)


def _options() -> dict[str, str]:
    """Other options of ``sbatch``, such as ``account=vision qos=high``."""
    pairs = [word.partition("=") for word in variable("FASHION_SLURM_OPTIONS").split()]
    if not all(name and value for name, _, value in pairs):
        raise ConfigError("FASHION_SLURM_OPTIONS should hold options of sbatch such as account=vision qos=high.")
    return {name.removeprefix("--"): value for name, _, value in pairs}


def _run(*command: str) -> str:
    with _errors():
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True)
    return done.stdout


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise EngineError(f"Slurm needs submitit, which is not installed here: {INSTALL}.") from error
    except FileNotFoundError as error:
        raise EngineError("Slurm's commands are not on this machine: start the app where sbatch works.") from error
    except subprocess.CalledProcessError as error:
        raise EngineError(f"Slurm can't be reached: {_last_line(error.stderr)}.") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"Slurm can't be reached: it gave no answer within {ANSWER_SECONDS} s.") from error
    except ValueError as error:  # what squeue prints is not a table
        raise EngineError(f"Slurm answers in a form that is not known here: {_last_line(str(error))}.") from error
    except RuntimeError as error:  # of submitit, with what sbatch printed
        raise EngineError(f"Slurm takes no job of this run: {_last_line(str(error))}.") from error


def _last_line(text: str) -> str:
    last = text.strip().rpartition("\n")[2]
    return printable(last.partition("error: ")[2] or last).rstrip(".")


class Worker:
    """What submitit calls on the host that Slurm has chosen."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log = command, log
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_ignore_preemption_signal,
            )
        if status := self.process.wait():
            raise RuntimeError(f"the worker has ended with status {status}; {self.log} says why")

    def checkpoint(self) -> "DelayedSubmission":
        """Have the worker save its exact position, and return what continues it, as submitit asks before the end."""
        from submitit.helpers import DelayedSubmission

        if self.process:
            self.process.terminate()
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self.process.pid).wait()  # ``Popen.wait`` is what the signal has interrupted
        return DelayedSubmission(Worker(self.command, self.log))


def _ignore_preemption_signal() -> None:
    """Slurm sends it to every process of the job; the worker is told by ``checkpoint``."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
