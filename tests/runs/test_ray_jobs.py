"""Runs on a real Ray of two nodes, one of which dies."""

from collections.abc import Iterator

import pytest

from fashion_core.runs import queue
from fashion_core.runs.launchers import engines
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import run_status
from tests.support.engines import MOST_SECONDS_IN_RAY, Ray, end_all, ray
from tests.support.processes import wait_until, worker_is_gone
from tests.support.runs import config

CPUS = 3
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def started() -> Iterator[Ray]:
    with ray() as found:
        yield found


@pytest.fixture
def cluster(started: Ray, monkeypatch: pytest.MonkeyPatch) -> Ray:
    monkeypatch.setenv("FASHION_LAUNCHER", started.address)
    return started


def in_state(runs: list[Run], state: str) -> list[Run]:
    return [run for run in runs if run.state() == state]


@pytest.mark.usefixtures("cluster")
def test_run_that_waits_longer_than_ray_allows_is_submitted_again(store: RunStore) -> None:
    """Ray fails a job after a while in its queue, which is no reason for a run to fail."""
    run = queue.start(store, config(threads=CPUS + 1))
    first = run.status.job

    def waits_as_another_job() -> bool:
        queue.advance(store)
        return run.status.job not in (first, None)

    assert first
    wait_until(waits_as_another_job, "it is submitted again", 3 * MOST_SECONDS_IN_RAY)
    assert run.state() == "queued"
    queue.stop(run)


def test_runs_share_the_nodes_and_outlive_one(store: RunStore, cluster: Ray) -> None:
    runs = [queue.start(store, config(epochs=20)) for _ in range(6)]
    most = 0

    def all_cpus_train() -> bool:
        nonlocal most
        most = max(most, len(in_state(runs, "running")))
        return sum(bool(run.epochs_saved()) for run in in_state(runs, "running")) == CPUS

    wait_until(all_cpus_train, "each CPU has a run that trains")
    cancelled = in_state(runs, "queued")[-1]
    assert run_status.whereabouts(store, cancelled).startswith("waiting in Ray as job ")
    queue.stop(cancelled)
    end_all(cluster.second)

    def all_have_ended() -> bool:
        nonlocal most
        queue.advance(store)  # as any page does
        most = max(most, len(in_state(runs, "running")))
        return all(map(worker_is_gone, runs))

    wait_until(all_have_ended, "all have ended", 90)
    assert most <= CPUS
    [lost] = in_state(runs, "lost")
    assert str(lost.status.error).startswith(f"Ray says of job {lost.status.job and lost.status.job.id}: FAILED: ")
    assert (cancelled.state(), cancelled.epochs_saved()) == ("stopped", [])
    assert len(in_state(runs, "finished")) == 4

    queue.continue_run(store, lost)
    wait_until(lambda: worker_is_gone(lost), "it has continued on the node that is left")
    assert (lost.state(), lost.epochs_saved()) == ("finished", [*range(20)])
    assert engines.problem() is None
