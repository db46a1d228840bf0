"""Runs on a real Ray of two nodes, one of which dies."""

from collections.abc import Iterator

import psutil
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


@pytest.fixture
def cluster(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    with ray() as found:
        monkeypatch.setenv("FASHION_LAUNCHER", found.address)
        yield found


def in_state(runs: list[Run], state: str) -> list[Run]:
    return [run for run in runs if run.state() == state]


def trains_on(node: int, run: Run) -> bool:
    worker = run.status.process
    family = {one.pid for one in psutil.Process(node).children(recursive=True)}
    return run.state() == "running" and bool(run.epochs_saved()) and worker is not None and worker.pid in family


def test_runs_share_the_nodes_and_outlive_one(store: RunStore, cluster: Ray) -> None:
    """Beside them waits one that no node can take: Ray fails its job after a while, which is no reason to fail it."""
    too_large = queue.start(store, config(threads=CPUS + 1))
    first_job = too_large.status.job
    runs = [queue.start(store, config(epochs=20)) for _ in range(6)]
    cancelled, most = runs[-1], 0
    assert run_status.whereabouts(store, cancelled).startswith("waiting in Ray as job ")
    queue.stop(cancelled)
    wait_until(lambda: any(trains_on(cluster.second.pid, run) for run in runs), "the second node has a run that trains")
    end_all(cluster.second)

    def all_have_ended() -> bool:
        nonlocal most
        queue.advance(store)  # as any page does
        most = max(most, len(in_state(runs, "running")))
        return all(map(worker_is_gone, runs))

    wait_until(all_have_ended, "all have ended", 90)
    assert 2 <= most <= CPUS
    [lost] = in_state(runs, "lost")
    assert str(lost.status.error).startswith(f"Ray says of job {lost.status.job and lost.status.job.id}: FAILED: ")
    assert (cancelled.state(), cancelled.epochs_saved()) == ("stopped", [])
    assert len(in_state(runs, "finished")) == 4

    queue.continue_run(store, lost)
    wait_until(lambda: worker_is_gone(lost), "it has continued on the node that is left")
    assert (lost.state(), lost.epochs_saved()) == ("finished", [*range(20)])
    assert engines.problem() is None

    def is_submitted_again() -> bool:
        queue.advance(store)
        return too_large.status.job not in (first_job, None)

    wait_until(is_submitted_again, "it waits as another job", MOST_SECONDS_IN_RAY + 10)
    assert too_large.state() == "queued"
