"""Which launcher there is, what holds where its engine can't be reached, and which worker a run waits for."""

import socket
import sys
import time
from collections.abc import Iterator

import pytest

from fashion_core.errors import ConfigError, EngineError
from fashion_core.files import now
from fashion_core.runs import processes, queue
from fashion_core.runs.launchers import engines, jobs, ray_jobs
from fashion_core.runs.launchers.base import Resources, resources_of
from fashion_core.runs.launchers.ray_jobs import RayJobs
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Job, Status
from fashion_core.runs.store import RunStore
from fashion_core.training import worker
from fashion_core.ui import run_status
from tests.support.engines import free_ports
from tests.support.processes import wait_for_end, workers
from tests.support.runs import ELSEWHERE, config, new_run, on_other_images, set_state, set_worker


@pytest.fixture
def silent_ray(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("FASHION_LAUNCHER", address)
        yield address


@pytest.fixture
def absent_ray(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("ray")
    address = f"ray://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("FASHION_LAUNCHER", address)
    return address


def hand_over(run: Run, launcher: str) -> None:
    job = Job(launcher=launcher, id="job-7", user=engines.user(), submitted=now())
    run.write_status(run.status.model_copy(update={"job": job}))


@pytest.mark.parametrize(
    "value", ["kubernetes", "Slurm", "ray", "ray://", "ray://host", "ray://host:1/x", "http://h:1"]
)
def test_unknown_launcher_is_refused_unwritten(store: RunStore, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FASHION_LAUNCHER", value)
    with pytest.raises(ConfigError, match="FASHION_LAUNCHER should be local, slurm or ray://HOST:PORT, not"):
        queue.start(store, config())
    assert not store.root.exists()


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1), ("cuda:0", 1)])
def test_resources_are_those_of_the_record(store: RunStore, device: str, gpus: int) -> None:
    assert resources_of(new_run(store, device=device, threads=3).record) == Resources(cpus=3, gpus=gpus)


def test_engine_may_have_the_gpu_that_is_missing_here(absent_ray: str) -> None:
    from fashion_core.runs import torch_process

    environment = torch_process.environment_for(config(device="cuda:7"))
    assert (environment.device, environment.processor) == ("cuda:7", None)


def test_library_that_is_missing_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.exceptions", None)
    with pytest.raises(EngineError, match="Ray is not installed here: pip install") as found:
        RayJobs("127.0.0.1:1").answers()
    assert ray_jobs.INSTALL in str(found.value)


def test_engine_that_is_not_there_is_told_before_anything_is_written(store: RunStore, absent_ray: str) -> None:
    with pytest.raises(
        EngineError, match=r"Ray can't be reached at 127\.0\.0\.1:\d+: check that its dashboard runs there\."
    ):
        queue.start(store, config())
    assert not store.root.exists()


def test_queued_run_waits_until_the_engine_can_be_reached(store: RunStore, absent_ray: str) -> None:
    run = new_run(store)
    queue.advance(store)
    assert (run.state(), run.status.job, workers(run)) == ("queued", None, [])
    assert run_status.whereabouts(store, run).startswith("waiting to be handed over; Ray can't be reached at ")


def test_engine_that_is_not_there_is_told_before_a_run_is_continued(store: RunStore, absent_ray: str) -> None:
    run = new_run(store)
    set_state(run, "stopped")
    with pytest.raises(EngineError, match="Ray can't be reached"):
        queue.continue_run(store, run)
    assert run.state() == "stopped"


def test_run_waits_for_the_launcher_that_it_was_queued_for(
    store: RunStore, absent_ray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(store)
    monkeypatch.delenv("FASHION_LAUNCHER")
    queue.advance(store)
    assert (run.state(), workers(run), queue.queue_position(store, new_run(store))) == ("queued", [], 0)
    waits = f"waiting for a dashboard that was started with FASHION_LAUNCHER={absent_ray}"
    assert run_status.whereabouts(store, run) == waits
    queue.stop(run)
    queue.continue_run(store, run)  # it is this dashboard's now
    wait_for_end(run)
    assert run.state() == "finished"


def test_address_of_ray_may_end_in_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_LAUNCHER", " ray://host:1/ ")
    assert engines.launcher() == "ray://host:1"


def test_heartbeat_decides_where_the_engine_can_not_be_reached(store: RunStore, absent_ray: str) -> None:
    alive, dead = new_run(store), new_run(store)
    for run, heartbeat in ((alive, now()), (dead, now() - 2 * processes.SILENCE_SECONDS)):
        hand_over(run, absent_ray)
        set_worker(run, ELSEWHERE, heartbeat)
    queue.advance(store)
    assert (alive.state(), dead.state()) == ("running", "lost")
    assert "can't be reached" in run_status.whereabouts(store, alive)


def test_engine_that_never_answers_holds_no_page_up(store: RunStore, silent_ray: str) -> None:
    pytest.importorskip("ray")
    run = new_run(store)
    hand_over(run, silent_ray)
    began = time.monotonic()
    queue.advance(store)
    assert "Ray does not answer" in run_status.whereabouts(store, run)
    assert time.monotonic() - began < engines.PATIENCE_SECONDS + 1


def test_job_of_another_engine_is_left_to_it(store: RunStore) -> None:
    """A server without the variable neither starts such a run itself, nor connects where a file of the store says."""
    run = new_run(store)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        hand_over(run, f"ray://127.0.0.1:{server.getsockname()[1]}")
        queue.advance(store)
        assert (run.state(), workers(run)) == ("queued", [])
        assert run_status.whereabouts(store, run) == "waiting in Ray as job job-7"
        queue.stop(run)
        assert run.state() == "stopped"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_status_of_earlier_versions_has_no_job() -> None:
    assert Status.model_validate_json('{"state": "queued", "queued_at": 1.0, "heartbeat": 1.0}').job is None


@pytest.mark.parametrize(("attempt", "is_given"), [(None, False), ("0", False), ("1", True)])
def test_worker_of_a_job_that_was_left_behind_finds_nothing_to_do(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, attempt: str | None, is_given: bool
) -> None:
    """The run was stopped while the job waited, and has been continued since."""
    run = new_run(store)
    hand_over(run, "slurm")
    queue.stop(run)
    run.write_status(run.status.model_copy(update={"state": "queued", "continued": 1}))
    if attempt is not None:
        monkeypatch.setenv("FASHION_ATTEMPT", attempt)
    assert jobs.is_given(run.status) == is_given
    if not is_given:
        before = run.status
        assert not worker.work(run)
        assert run.status == before


def test_worker_of_an_engine_starts_nobody_else_on_its_host(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run, other = on_other_images(new_run(store)), new_run(store)  # the first ends as soon as it has begun
    hand_over(run, "slurm")
    monkeypatch.setenv("FASHION_ATTEMPT", "0")
    assert worker.main(run.id) == 1
    assert (run.state(), other.state(), workers(other)) == ("failed", "queued", [])
