"""Runs on a real Slurm, which takes their host away; the file for ``sbatch``; submitit without a Slurm."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fashion_core.access import gate
from fashion_core.errors import ConfigError, EngineError
from fashion_core.files import now
from fashion_core.runs import queue
from fashion_core.runs.launchers import jobs, slurm
from fashion_core.runs.launchers.slurm import Slurm, Worker, executor_for
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import run_status
from tests.faults.lives import assert_same_end
from tests.support import engines
from tests.support.processes import ROOT, wait_for_end, wait_for_epochs, wait_until, worker_is_gone
from tests.support.runs import ELSEWHERE, config, new_run, set_worker, trained

LONG = {"epochs": 25, "train_images": 3000}  # so that it is taken away inside an epoch, most of the time
TOGETHER = {"epochs": 8, "train_images": 1500, "processes": 2}
SBATCH_FILE = """\
#!/bin/bash

# Parameters
#SBATCH --account=vision
#SBATCH --cpus-per-task=1
#SBATCH --gpus-per-node=1
#SBATCH --job-name=fashion-{run.id}
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output={run.path}/slurm/%j_0_log.out
#SBATCH --partition=gpu
#SBATCH --signal=USR2@90
#SBATCH --time=90
#SBATCH --wckey=submitit

# setup
export FASHION_ATTEMPT=0
export FASHION_DATA={data}
export FASHION_RUNS={run.path.parent}
export GOMP_SPINCOUNT=10000
export MALLOC_MMAP_THRESHOLD_=33554432
export MALLOC_TRIM_THRESHOLD_=1073741824
export PYTHONIOENCODING=utf-8:backslashreplace
export PYTHONPATH={root}
export PYTHONUNBUFFERED=1
export PYTHONUTF8=1

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output {run.path}/slurm/%j_%t_log.out --cpus-per-task=1 {python} -u -m submitit.core._submit \
{run.path}/slurm
"""


@pytest.fixture(scope="module")
def straight(module_store: RunStore) -> Run:
    return trained(module_store, **LONG)


@pytest.fixture(scope="module")
def started() -> Iterator[None]:
    with engines.slurm():
        yield


@pytest.fixture
def cluster(store: RunStore, started: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_LAUNCHER", "slurm")


@pytest.fixture
def with_srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is all that submitit looks for before it writes a file."""
    (tmp_path / "srun").touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def job_of(run: Run) -> str:
    assert run.status.job
    return run.status.job.id


def state_in_slurm(job: str) -> str:
    return engines.asked("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}").strip()


def elsewhere(store: RunStore, job: Run, heartbeat: float) -> Run:
    """A run that trains on another machine, as the job of this other run."""
    run = new_run(store)
    run.write_status(run.status.model_copy(update={"job": job.status.job}))
    set_worker(run, ELSEWHERE, heartbeat)
    return run


def ended(store: RunStore, run: Run) -> bool:
    queue.advance(store)  # as any page does
    return worker_is_gone(run)


def wait_for_more_epochs(run: Run) -> None:
    wait_for_epochs(run, len(run.epochs_saved()) + 2)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("cluster")
def test_host_is_taken_away_twice_and_the_run_ends_in_the_same_bits(store: RunStore, straight: Run) -> None:
    """Once as by a preemption that queues the job again, once as before the time of the job is up."""
    run, beside, waiting, deleted = (queue.start(store, config(**LONG)) for _ in range(4))
    wait_for_more_epochs(run)
    wait_for_more_epochs(beside)
    shown = f"waiting in Slurm as job {job_of(waiting)}: PENDING"
    wait_until(lambda: run_status.whereabouts(store, waiting).startswith(shown), "the page says where it waits", 20)
    deleted_job = job_of(deleted)
    queue.stop(waiting)
    gate.from_command_line(store).delete(deleted)
    assert state_in_slurm(job_of(waiting)) == state_in_slurm(deleted_job) == "CANCELLED"

    assert elsewhere(store, job=run, heartbeat=0).state() == "running", "Slurm's answer comes before the heartbeat"

    engines.asked("scontrol", "requeue", job_of(run))
    engines.asked("scancel", job_of(beside))
    wait_until(lambda: run.state() == "queued", "it waits again", 20)
    wait_until(lambda: ended(store, beside), "Slurm has ended it", 30)
    assert (beside.state(), beside.status.error) == ("failed", f"Slurm says of job {job_of(beside)}: CANCELLED")
    unlike = elsewhere(store, job=waiting, heartbeat=now())
    wait_until(lambda: unlike.state() == "lost", "Slurm's answer comes before the heartbeat", 20)

    wait_until(lambda: run.state() == "running", "it trains again", 40)
    wait_for_more_epochs(run)
    engines.asked("scancel", "--signal=USR2", job_of(run))
    wait_until(lambda: run.state() == "queued", "it waits again", 20)
    wait_until(lambda: ended(store, run), "it has ended", 60)
    assert_same_end(run, straight)
    assert (waiting.state(), waiting.epochs_saved()) == ("stopped", [])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_job_of_two_processes_is_taken_away_and_ends_in_the_same_bits(
    store: RunStore, started: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_LAUNCHER", "slurm")
    run = queue.start(store, config(**TOGETHER))
    wait_for_more_epochs(run)
    assert "NumCPUs=2" in engines.asked("scontrol", "show", "job", job_of(run))
    engines.asked("scontrol", "requeue", job_of(run))
    wait_until(lambda: run.state() == "queued", "it waits again", 20)
    with monkeypatch.context() as here:
        here.delenv("FASHION_LAUNCHER")
        straight = queue.start(store, config(**TOGETHER))  # while Slurm waits before it begins the job again
    wait_until(lambda: ended(store, run), "it has ended", 90)
    wait_for_end(straight)
    assert_same_end(run, straight)
    assert run.status.restarts == 0


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_run_that_slurm_refuses_or_can_not_begin_says_so(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_SLURM_PARTITION", "none")
    refused = queue.start(store, config())
    said = "Slurm takes no job of this run: Batch job submission failed: Invalid partition name specified."
    assert (refused.state(), refused.status.error) == ("failed", said)

    monkeypatch.delenv("FASHION_SLURM_PARTITION")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # as on a host that has no such folder
    run = new_run(store)
    queue.advance(store)
    wait_until(lambda: ended(store, run), "Slurm has ended it", 30)
    assert str(run.status.error).startswith(f"Slurm says of job {job_of(run)}: FAILED")
    assert run.log_tail(9) == ""
    assert "/nowhere/python" in jobs.log_tail(run, 9)


@pytest.mark.usefixtures("with_srun")
def test_file_for_sbatch(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_SLURM_PARTITION", "gpu")
    monkeypatch.setenv("FASHION_SLURM_TIME", "90")
    monkeypatch.setenv("FASHION_SLURM_OPTIONS", "account=vision")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    run = new_run(store, device="cuda")
    executor = executor_for(jobs.task_of(run, attempt=0))
    made = executor._make_submission_file_text(executor._submitit_command_str, "")
    expected = SBATCH_FILE.format(
        run=run, data=os.environ["FASHION_DATA"], root=ROOT, python=shlex.quote(sys.executable)
    )
    assert made == expected
    subprocess.run(["bash", "-n"], input=made, text=True, check=True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TIME", "4"), ("TIME", "1:30"), ("OPTIONS", "exclusive"), ("OPTIONS", "=high")],
)
def test_wrong_setting_is_refused_unwritten(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("FASHION_LAUNCHER", "slurm")
    monkeypatch.setenv(f"FASHION_SLURM_{variable}", value)
    with pytest.raises(ConfigError, match=f"FASHION_SLURM_{variable} should"):
        queue.start(store, config())
    assert store.runs() == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_submitit_has_the_position_saved_and_continues(store: RunStore, straight: Run, tmp_path: Path) -> None:
    """What Slurm would do, done by submitit's own executor for one machine."""
    submitit = pytest.importorskip("submitit")
    run = new_run(store, **LONG)
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    executor.update_parameters(timeout_min=30)
    task = jobs.task_of(run, attempt=0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in task.variables.items():
            patch.setenv(name, value)
        job = executor.submit(Worker(task.command, task.log))
    wait_for_epochs(run, 2)
    [task_process] = psutil.Process(int(job.job_id)).children()
    task_process.send_signal(signal.SIGUSR2)  # ``job._interrupt`` would end the controller instead, its parent
    wait_until(lambda: run.state() == "queued", "it waits again", 20)
    wait_until(lambda: worker_is_gone(run), "it has ended")
    assert_same_end(run, straight)


def test_commands_that_are_missing_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        EngineError, match=r"Slurm's commands are not on this machine: start the app where sbatch works\."
    ):
        Slurm().answers()


def test_library_that_is_missing_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(EngineError, match="Slurm needs submitit, which is not installed here: pip install") as found:
        Slurm().answers()
    assert slurm.INSTALL in str(found.value)


def test_list_that_is_none_of_jobs_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    (tmp_path / "squeue").write_text("#!/bin/sh\necho The cluster is down until Monday\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(EngineError, match="Slurm answers in a form that is not known here: not enough values"):
        Slurm().answers()
