"""The way to a checkpoint, run by run."""

from fashion_core.publish.lineage import ancestry
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from tests.publish.conftest import Family
from tests.support.runs import new_run


def test_way_begins_with_the_run_that_was_not_resumed(family: Family) -> None:
    steps = [(step.run.id, step.epoch) for step in ancestry(family.store, family.child, 2)]
    assert steps == [(family.parent.id, 1), (family.child.id, 2)]


def test_way_of_runs_that_name_each_other_ends(store: RunStore) -> None:
    """As records say that people have edited."""
    first, second = new_run(store), new_run(store)
    for run, parent in ((first, second), (second, first)):
        resumed_from(run, parent)
    assert [step.run.id for step in ancestry(store, first, 1)] == [second.id, first.id]


def resumed_from(run: Run, parent: Run) -> None:
    run.write_record(run.record.model_copy(update={"parent": Parent(run=parent.id, epoch=0)}))
