"""The crash drill: what it may kill, when it continues, which run is a twin, and when both have the same bits."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from fashion_core.errors import DataError, DiskError, RunStateError
from fashion_core.files import now
from fashion_core.resume import comparison, drill, lesson, plan
from fashion_core.runs import processes, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill, Parent
from fashion_core.runs.store import RunStore
from tests.support.runs import (
    After,
    another,
    copied,
    finish,
    new_run,
    on_other_images,
    resume,
    save_file,
    set_finished,
    set_running,
    set_state,
    set_worker,
    train,
    trained,
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a worker."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def killed(run: Run, seconds_ago: float = 60) -> Run:
    run.write_drill(Drill(killed=now() - seconds_ago, pid=1, epoch=0, batch=5, continued=run.status.continued))
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
    run.write_status(run.status.model_copy(update={"epoch": 1, "batch": 5, "continued": 2}))
    drill.kill(run)
    assert sleeper.wait(10) == -9
    assert run.state() == "lost"
    noted = run.drill
    assert noted
    assert (noted.pid, noted.epoch, noted.batch, noted.continued) == (sleeper.pid, 1, 5, 2)
    assert drill.is_pending(run)


@pytest.mark.parametrize("state", ["queued", "stopped", "finished", "lost"])
def test_run_that_does_not_train_is_refused(store: RunStore, state: str) -> None:
    run = new_run(store)
    set_state(run, state)
    with pytest.raises(RunStateError, match="no worker to kill"):
        drill.kill(run)
    assert run.drill is None


def test_worker_that_still_chooses_its_threads_is_left_alone(store: RunStore, sleeper: subprocess.Popen[bytes]) -> None:
    run = new_run(store)
    environment = run.record.environment.model_copy(update={"threads_open": True})
    run.write_record(run.record.model_copy(update={"environment": environment}))
    set_worker(run, processes.identify(sleeper.pid))
    with pytest.raises(RunStateError, match="no worker to kill"):
        drill.kill(run)
    assert sleeper.poll() is None


def test_drill_is_noted_before_the_kill_and_not_at_all_for_a_run_that_has_just_ended(
    store: RunStore, sleeper: subprocess.Popen[bytes]
) -> None:
    run = new_run(store)
    set_worker(run, processes.identify(sleeper.pid))
    run.drill_path.mkdir()  # as a disk that can't be written
    with pytest.raises(DiskError):
        drill.kill(run)
    assert sleeper.poll() is None
    run.drill_path.rmdir()
    status = run.status
    set_finished(run)
    before = killed(another(store, run)).drill
    run.write_drill(before) if before else None
    assert status.process
    assert not drill._kill(run, status, status.process)
    assert run.drill == before


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
    waiting = new_run(store, seed=5)
    assert drill.continue_run(store, run)
    twin = drill.start_twin(store, run)
    assert twin
    assert (run.state(), twin.state(), twin.title) == ("queued", "queued", "Twin of mine")
    assert run.status.queued_at < waiting.status.queued_at < twin.status.queued_at
    assert not drill.is_pending(run)
    assert found_twin(store, run) == twin.id
    assert not drill.continue_run(store, run), "somebody else has done it"
    assert drill.start_twin(store, run) is None
    assert len(store.runs()) == 4


def test_run_that_somebody_continued_meanwhile_is_left_alone_when_it_is_lost_later(store: RunStore) -> None:
    full(store)
    run = killed(new_run(store))
    queue.continue_run(store, run)
    set_state(run, "lost")
    assert (drill.is_pending(run), drill.is_due(run), drill.continue_run(store, run)) == (False, False, False)
    assert run.state() == "lost"


def test_run_that_can_not_continue_yet_still_waits_for_it(store: RunStore) -> None:
    run = killed(new_run(store, dataset="fashion-mnist"))
    with pytest.raises(DataError):
        drill.continue_run(store, run)
    assert (drill.is_due(run), run.state(), len(store.runs())) == (True, "lost", 1)


def test_status_says_where_the_worker_began(store: RunStore) -> None:
    def began(run: Run, *stops: int) -> list[tuple[int, int] | None]:
        found = []
        for times in stops:
            train(run, After(times))
            found.append(run.status.began_at)
        return found

    parent = new_run(store, epochs=3)
    assert began(parent, 5, 11, 99) == [(0, 0), (0, 4), (1, 6)]
    assert began(resume(store, parent, 1, 1), 3) == [(2, 0)]


def test_run_that_was_stopped_inside_an_epoch_ends_in_the_bits_of_its_twin(store: RunStore, trained_once: Run) -> None:
    twin = copied(trained_once, store)
    run = another(store, twin)
    assert train(run, After(4)) == "stopped"
    assert run.partial_path.exists()
    full(store)
    killed(run)
    assert drill.continue_run(store, run)
    found = drill.compare(finish(run), twin)
    assert found
    assert found.same


def test_no_twin_is_made_without_the_checkpoint_that_it_would_begin_with(store: RunStore, trained_once: Run) -> None:
    full(store)
    parent = copied(trained_once, store)
    run = killed(resume(store, parent, 0, 1))
    store.delete(parent, parent.checkpoint_path(0), force=True)
    assert drill.continue_run(store, run)
    assert not drill.can_begin_again(store, run)
    assert drill.start_twin(store, run) is None


def test_twin_does_not_count_as_a_run_that_was_resumed(store: RunStore) -> None:
    full(store)
    first = trained(store, name="Lesson", epochs=2)
    second = lesson.continue_run(store, first)
    assert second
    assert second.record.resumption
    resumption = second.record.resumption.model_copy(update={"group": "click"})
    grouped = store.create(second.record.config, second.record.environment, second.record.parent, resumption=resumption)
    store.delete(second)
    killed(grouped)
    twin = drill.start_twin(store, grouped)
    assert twin
    assert twin.record.twin_of == grouped.id
    finish(twin)
    finish(grouped)
    assert [row.run for row in comparison.compare(store)] == [grouped.id]
    assert [run.id for run in plan.runs_of_group(store, "click")] == [grouped.id]
    found = lesson.resumed_run(store, first)
    assert found
    assert found.id == grouped.id


def test_finished_run_of_the_same_settings_is_the_twin(store: RunStore, trained_once: Run) -> None:
    full(store)
    other = copied(trained_once, store)
    run = killed(store.create(other.record.config.model_copy(update={"name": "mine"}), other.record.environment))
    assert found_twin(store, run) == other.id
    assert drill.continue_run(store, run)
    assert drill.start_twin(store, run) is None
    assert len(store.runs()) == 3


def test_no_twin_has_another_seed_environment_parent_or_images_or_was_interrupted(
    store: RunStore,
) -> None:
    run, other = new_run(store), new_run(store, seed=1)
    record = run.record
    store.create(record.config, record.environment.model_copy(update={"threads": 7}))
    store.create(record.config, record.environment, Parent(run=other.id, epoch=0))
    interrupted, stopped, there = (store.create(record.config, record.environment) for _ in range(3))
    for one in (other, interrupted, on_other_images(there)):
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
