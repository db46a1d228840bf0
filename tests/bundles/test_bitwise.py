"""A run that was unbundled elsewhere goes on, and is resumed, as it would have been where it came from."""

from pathlib import Path

import pytest

from fashion_core.bundles import unbundle
from fashion_core.resume import plan
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Message
from fashion_core.runs.store import RunStore
from tests.support.bundles import bundled
from tests.support.exact import epoch_rows, load, same
from tests.support.runs import FEW, After, new_run, resume, set_finished, set_state, train


@pytest.mark.slow
def test_unbundled_run_ends_bit_for_bit_and_so_does_one_resumed_from_it(store: RunStore, tmp_path: Path) -> None:
    run, other = new_run(store, epochs=3, optimizer="adam"), RunStore(tmp_path / "other")
    train(run, After(12), FEW)
    set_state(run, "stopped")
    assert run.partial_path.exists()
    unbundle.unbundle(other, bundled(store, run))
    there = other.at(run.id)
    _assert_same_end(run, there)
    resumed, elsewhere = resume(store, run, 0, 1), resume(other, there, 0, 1)
    assert [one.record.resumption.verdict for one in (resumed, elsewhere) if one.record.resumption] == ["exact"] * 2
    _assert_same_end(resumed, elsewhere)


@pytest.mark.slow
def test_verdict_says_what_differs_on_a_machine_that_is_not_equal(store: RunStore, tmp_path: Path) -> None:
    run, other = new_run(store, epochs=1), RunStore(tmp_path / "other")
    train(run, test_images=FEW)
    set_finished(run)
    environment = run.record.environment.model_copy(update={"processor": "another kind"})
    run.write_record(run.record.model_copy(update={"environment": environment}))
    unbundle.unbundle(other, bundled(store, run))
    (planned,) = plan.plan_runs(other.at(run.id), [ResumeRequest(0, 1, {})])
    assert planned.verdict.kind == "approximate"
    assert [reason.id for reason in planned.verdict.reasons if isinstance(reason, Message)] == ["processor"]


def _assert_same_end(one: Run, two: Run) -> None:
    for run in (one, two):
        train(run, test_images=FEW)
        set_finished(run)
    assert one.epochs_saved() == two.epochs_saved()
    assert same(load(one.weights_path), load(two.weights_path))
    last = one.checkpoint_path(one.epochs_saved()[-1]).name
    assert same(load(one.checkpoint_folder / last), load(two.checkpoint_folder / last))
    assert same(epoch_rows(one), epoch_rows(two))
