"""The crash drill: what it may kill, when it continues, which run is a twin, and when both have the same bits."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from fashion_core.errors import RunStateError
from fashion_core.files import now
from fashion_core.resume import drill
from fashion_core.runs import processes
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill
from fashion_core.runs.store import RunStore
from tests.support.runs import copied, new_run, save_file, set_running, set_state, set_worker, trained


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a worker."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def killed(run: Run, seconds_ago: float = 60) -> Run:
    run.write_drill(Drill(killed=now() - seconds_ago, pid=1, epoch=0, batch=5))
    set_state(run, "lost")
    return run


def full(store: RunStore) -> None:
    """Take the only slot, so that no worker starts."""
    set_running(new_run(store, seed=99))


def found_twin(store: RunStore, run: Run) -> str | None:
    found = drill.twin(store, run)
    return found.id if found else None


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, epochs=1)


def test_worker_is_killed_and_the_place_noted_where_it_was(store: RunStore, sleeper: subprocess.Popen[bytes]) -> None:
    run = new_run(store)
    set_worker(run, processes.identify(sleeper.pid))
    run.write_status(run.status.model_copy(update={"epoch": 1, "batch": 5}))
    drill.kill(run)
    assert sleeper.wait(10) == -9
    assert run.state() == "lost"
    noted = run.drill
    assert noted
    assert (noted.pid, noted.epoch, noted.batch, noted.continued) == (sleeper.pid, 1, 5, False)


@pytest.mark.parametrize("state", ["queued", "stopped", "finished", "lost"])
def test_run_that_does_not_train_is_refused(store: RunStore, state: str) -> None:
    run = new_run(store)
    set_state(run, state)
    with pytest.raises(RunStateError, match="no worker to kill"):
        drill.kill(run)
    assert run.drill is None


def test_worker_of_another_machine_and_a_later_process_with_its_pid_are_left_alone(
    store: RunStore, sleeper: subprocess.Popen[bytes]
) -> None:
    run, here = new_run(store), processes.identify(sleeper.pid)
    for other in ({"boot": "another"}, {"started": here.started - 60}):
        set_worker(run, here.model_copy(update=other))
        with pytest.raises(RunStateError):
            drill.kill(run)
    assert sleeper.poll() is None


def test_run_is_shown_as_lost_for_a_while_before_it_continues(store: RunStore) -> None:
    run = killed(new_run(store), seconds_ago=0)
    assert (drill.is_pending(run), drill.is_due(run)) == (True, False)
    assert drill.is_due(killed(run, drill.LOST_SECONDS + 0.1))


def test_run_continues_from_its_newest_checkpoint_before_its_new_twin_starts(store: RunStore) -> None:
    full(store)
    run = killed(new_run(store, name="mine", epochs=3))
    for epoch in (0, 1):
        save_file(run, run.checkpoint_path(epoch))
    twin = drill.continue_run(store, run)
    assert twin
    assert (run.state(), twin.state(), twin.title) == ("queued", "queued", "Twin of mine")
    assert run.status.queued_at < twin.status.queued_at
    assert run.drill
    assert (run.drill.continued, run.drill.source) == (True, 1)
    assert found_twin(store, run) == twin.id
    assert drill.continue_run(store, run) is None, "somebody else has done it"
    assert len(store.runs()) == 3


def test_finished_run_of_the_same_settings_is_the_twin(store: RunStore, trained_once: Run) -> None:
    full(store)
    other = copied(trained_once, store)
    run = killed(store.create(other.record.config.model_copy(update={"name": "mine"}), other.record.environment))
    assert found_twin(store, run) == other.id
    assert drill.continue_run(store, run) is None
    assert len(store.runs()) == 3


def test_no_twin_is_another_seed_nor_environment_nor_parent_nor_a_run_that_was_interrupted(store: RunStore) -> None:
    run, other = new_run(store), new_run(store, seed=1)
    record = run.record
    store.create(record.config, record.environment.model_copy(update={"threads": 7}))
    interrupted, stopped = (store.create(record.config, record.environment) for _ in range(2))
    for one in (other, interrupted):
        set_state(one, "finished")
    interrupted.write_status(interrupted.status.model_copy(update={"continued": 1}))
    set_state(stopped, "stopped")
    assert found_twin(store, run) is None
    new_run(store).record_path.write_text("{")
    twin = store.create(record.config, record.environment)
    assert found_twin(store, run) == twin.id


def test_bits_are_compared_once_both_have_finished(store: RunStore, trained_once: Run) -> None:
    first, second = copied(trained_once, store), trained(store, epochs=1)
    found = drill.compare(first, second)
    assert found
    assert (found.same, found.ours) == (True, found.theirs)
    other = trained(store, epochs=1, seed=1)
    different = drill.compare(first, other)
    assert different
    assert not different.same
    assert different.ours != different.theirs
    set_state(second, "running")
    assert drill.compare(first, second) is None
