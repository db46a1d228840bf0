"""Did resuming help: the rows, the answer and its sentence."""

import math
from dataclasses import replace
from typing import Any

import pytest

from fashion_core.resume import answers, comparison, plan
from fashion_core.resume.comparison import Compared, LossNow
from fashion_core.resume.labels import percent
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change, LoadCheck
from fashion_core.runs.store import RunStore
from tests.benchmarks.comparison import made_run
from tests.support.commands import Capture, answered, printed, refused
from tests.support.runs import copied, new_run, on_other_images, resume, set_state, train


@pytest.fixture(scope="module")
def trained(module_store: RunStore) -> Run:
    run = new_run(module_store, name="base", epochs=2, optimizer="adam", train_images=1_000)
    assert train(run) == "finished"
    return run


@pytest.fixture
def parent(store: RunStore, trained: Run) -> Run:
    return copied(trained, store)


def row(**changes: Any) -> Compared:
    check = LoadCheck(
        loss_last=0.5, loss_check=0.5, accuracy=0.8, standard_error=0.02, comparable=True, optimizer="loaded"
    )
    values: dict[str, Any] = {
        "run": "r", "name": "child", "state": "finished", "dataset": "synthetic", "parent": "p", "parent_name": "base",
        "parent_exists": True, "epoch": 1, "check": check, "first": None, "latest": None, "verdict": "exact",
        "overrides": (), "changes": {},
    }  # fmt: skip
    return Compared(**{**values, **changes})


def now(difference: float, error: float = 0.01) -> LossNow:
    return LossNow(epoch=2, loss=0.5 + difference, difference=difference, standard_error=error)


def test_resume_that_changed_nothing_at_all_reads_same_as_the_parent() -> None:
    assert replace(now(0.0), overridden=False).answer == "same as the parent"
    assert (now(0.0).answer, replace(now(0.001), overridden=False).answer) == ("within noise", "within noise")


@pytest.mark.parametrize(
    ("difference", "answer"), [(-0.021, "lower"), (-0.019, "within noise"), (0.019, "within noise"), (0.021, "higher")]
)
def test_answer_is_by_twice_the_paired_standard_error(difference: float, answer: str) -> None:
    assert now(difference).answer == answer


def test_loss_last_is_the_stored_loss_and_the_measured_one_where_that_means_other_images() -> None:
    elsewhere = row().check.model_copy(update={"comparable": False, "loss_check": 0.7})
    assert (row().loss_last, row(check=elsewhere).loss_last) == (0.5, 0.7)


@pytest.mark.parametrize(("loss", "change"), [(0.0, 0.0), (0.1, math.inf)])
def test_change_from_a_loss_of_zero_is_none_or_infinite(loss: float, change: float) -> None:
    zero = row(check=row().check.model_copy(update={"loss_last": 0.0}))
    assert comparison.relative_change(zero, LossNow(2, loss, loss, 0.01)) == change


@pytest.mark.parametrize(
    "change",
    [
        {"state": "running"},
        {"name": "b"},
        {"run": "s"},
        {"latest": now(0)},
        {"parent_name": "b"},
        {"parent_exists": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_outline_changes_with_what_is_drawn(change: dict[str, Any]) -> None:
    assert comparison.outline([row(**change)]) != comparison.outline([row()])


def test_outline_with_a_loss_that_is_no_number_equals_itself() -> None:
    assert comparison.outline([row(latest=now(float("nan")))]) == comparison.outline([row(latest=now(float("nan")))])


def test_outline_is_made_anew_only_once_a_run_has_moved_on(store: RunStore, parent: Run) -> None:
    train(resume(store, parent, 0, 1))
    drawn = comparison.current_outline(store)
    assert comparison.current_outline(store) is drawn
    parent.write_labels(parent.labels.model_copy(update={"name": "renamed"}))
    assert comparison.current_outline(store) == comparison.outline(comparison.compare(store)) != drawn


def test_sentence_counts_the_answers_and_names_the_best() -> None:
    rows = [row(latest=now(-0.1), name="best"), row(latest=now(0.001)), row(latest=now(0.3)), row(state="queued")]
    assert answers.sentence(rows) == (
        "1 of 3 resumed runs are below the loss of the checkpoint, 1 within noise, 1 above. "
        "Median change +0.2%; lowest loss now 0.400 (best, from base epoch 1). "
        "2 of them have one seed only, which can't tell help from luck."
    )


BEST = row(latest=now(-0.1))


@pytest.mark.parametrize(
    ("rows", "start", "end"),
    [
        *(([BEST, row(state=state)], "", " Ended without an epoch: 1.") for state in ("failed", "stopped", "lost")),
        ([BEST, row(latest=now(-0.1), state="running"), row(state="stopping")], "2 of 2", " Still training: 2."),
        ([BEST], "1 of 1 resumed run is below", ""),
        ([row(latest=now(0))], "", "Median change +0.0%; lowest loss now 0.500 (child, from base epoch 1)."),
        ([BEST], "1 of 1", " 1 of them has one seed only, which can't tell help from luck."),
        ([row(state="running")], "No resumed run has ended an epoch yet.", " Still training: 1."),
        ([row(state="queued")], "No resumed run", "has ended an epoch yet."),
    ],
)
def test_sentence_says_what_became_of_the_runs(rows: list[Compared], start: str, end: str) -> None:
    sentence = answers.sentence(rows)
    assert sentence.startswith(start)
    assert sentence.endswith(end)


ONTO_ANOTHER = {"dataset": Change(before="fashion-mnist", after="synthetic")}


def test_a_run_that_changed_dataset_is_neither_counted_nor_in_the_median_nor_the_best() -> None:
    apart = row(latest=now(-0.4), changes=ONTO_ANOTHER)
    assert answers.sentence([BEST, apart]) == (
        "1 of 1 resumed run is below the loss of the checkpoint, 0 within noise, 0 above. Median change −20.0%; "
        "lowest loss now 0.400 (child, from base epoch 1). 1 of them has one seed only, which can't tell help from "
        "luck. 1 run that was resumed onto another dataset, model or source is not counted."
    )
    assert answers.sentence([apart]) == "1 run that was resumed onto another dataset, model or source is not counted."


def test_rows_are_of_the_dataset_that_their_run_trains_on() -> None:
    rows = [row(run="a"), row(run="b", dataset="fashion-mnist"), row(run="c", changes=ONTO_ANOTHER)]
    found = comparison.by_dataset(rows)
    assert {name: [one.run for one in own] for name, own in found.items()} == {
        "fashion-mnist": ["b"], "synthetic": ["a", "c"],
    }  # fmt: skip
    assert list(comparison.by_dataset(rows[::-1])) == list(found)


def test_command_gives_one_answer_a_dataset(store: RunStore, capsys: Capture) -> None:
    assert printed(capsys, "compare")[0].startswith("No run has been resumed yet: ")
    easy, hard = made_run(store, [0.5]), made_run(store, [0.8], dataset="fashion-mnist")
    runs = [made_run(store, [loss], parent, 0) for loss, parent in ((0.2, easy), (0.7, hard))]
    runs.append(made_run(store, [0.1], hard, 0, dataset="synthetic"))
    text = printed(capsys, "compare")[0]
    assert "Fashion-MNIST: 1 of 1 resumed run is below" in text
    assert "lowest loss now 0.700" in text
    assert "synthetic garments: 1 of 1 resumed run is below" in text
    assert "lowest loss now 0.200" in text
    records = {record["run"]: record for record in answered(capsys, "compare")}
    assert [(records[run.id]["dataset"], records[run.id]["changed_dataset"]) for run in runs] == [
        ("synthetic", False), ("fashion-mnist", False), ("synthetic", True),
    ]  # fmt: skip
    assert [records[run.id]["answer"] for run in runs] == ["lower", "lower", "lower, not counted"]
    assert text.count(", lower)") == 2
    assert text.count(", lower, not counted)") == 1


def test_other_images_of_the_same_name_have_an_answer_of_their_own(store: RunStore, capsys: Capture) -> None:
    here, there = made_run(store, [0.5]), made_run(store, [0.8])
    apart = made_run(store, [0.2], here, 0), on_other_images(made_run(store, [0.7], there, 0))
    moved = made_run(store, [0.1], on_other_images(there), 0)
    text = printed(capsys, "compare")[0]
    first, second = (text.index(f"synthetic garments{of}: 1 of 1 resumed run") for of in ("", " (images 1a2b3c4d)"))
    assert first < text.index("lowest loss now 0.200") < second < text.index("lowest loss now 0.700")
    records = {record["run"]: record for record in answered(capsys, "compare")}
    assert [(records[run.id]["dataset"], records[run.id]["changed_dataset"]) for run in (*apart, moved)] == [
        ("synthetic", False), ("synthetic-1a2b3c4d", False), ("synthetic", True),
    ]  # fmt: skip


def test_run_has_a_row_once_loaded_and_keeps_it_without_a_parent(store: RunStore, parent: Run, capsys: Capture) -> None:
    child = resume(store, parent, 0, 2, learning_rate=0.01)
    assert comparison.compare(store) == []
    train(child)
    (found,) = comparison.compare(store)
    assert (found.run, found.parent, found.parent_name, found.epoch) == (child.id, parent.id, "base", 0)
    assert found.first is not None
    assert found.latest is not None
    assert (found.first.epoch, found.latest.epoch) == (1, 2)
    assert found.overrides == ("learning rate 0.001 → 0.01",)
    parent.write_labels(parent.labels.model_copy(update={"name": "renamed"}))
    alone = comparison.compare_run(store, child)
    assert comparison.compare(store) == [alone] == [replace(found, parent_name="renamed")]
    assert "renamed epoch 0" in printed(capsys, "compare")[0]
    store.delete(parent, force=True)
    assert comparison.compare(store) == [replace(found, parent_exists=False)]
    assert "base (deleted) epoch 0" in printed(capsys, "compare")[0]


def test_command_prints_a_record_a_run_with_the_charts_change(store: RunStore, parent: Run, capsys: Capture) -> None:
    train(resume(store, parent, 0, 1, seed=9))
    (record,), stored = answered(capsys, "compare"), parent.file_info(parent.checkpoint_path(0))
    (row,) = comparison.compare(store)
    assert stored is not None
    assert row.latest is not None
    expected = {"run": row.run, "parent": parent.id, "epoch": 0, "verdict": "approximate"}
    assert {key: record[key] for key in expected} == expected
    assert record["loss_last"] == record["loss_check"] == stored.loss
    assert record["loss_now_first"] == record["loss_now_latest"] == row.latest.loss
    assert record["standard_error"] > 0
    assert record["overrides"] == ["seed 0 → 9"]
    change = percent(comparison.relative_change(row, row.latest))
    assert change.startswith("−")
    assert f" ({change}, {row.latest.answer})  seed 0 → 9" in printed(capsys, "compare")[0]


def test_command_says_what_became_of_a_run_without_an_epoch(store: RunStore, parent: Run, capsys: Capture) -> None:
    child = resume(store, parent, 0, 1)
    assert train(child, should_stop=lambda: True) == "stopped"
    assert "loss_now no epoch yet  same settings" in printed(capsys, "compare")[0]
    set_state(child, "failed")
    assert "loss_now none, failed without an epoch" in printed(capsys, "compare")[0]


@pytest.mark.slow
def test_command_resumes_from_several_checkpoints(store: RunStore, parent: Run, capsys: Capture) -> None:
    records = answered(capsys, "resume", parent.id, "all", "--epochs", "1", "--learning-rate", "0.0001")
    assert [record["parent"] for record in records] == [{"run": parent.id, "epoch": epoch} for epoch in (0, 1)]
    for record in records:
        assert record["state"] == "finished"
        assert record["resumption"]["changes"] == {"learning_rate": {"before": 0.001, "after": 0.0001}}
    assert printed(capsys, "compare")[0].count("loss_last") == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["0,9"], "has no checkpoint of epoch 9; it has those of epoch 0, 1."),
        (["one"], "Epoch should be a number such as 0, several as 0,2,5, or all, not 'one'."),
        (["0", "--epochs", "0"], "Additional epochs should be at least 1, not 0."),
        (["0", "--model", "cnn"], "Nothing of the checkpoint's mlp fits cnn"),
        (["0", "--learning-rate", "-1"], "Learning rate should be greater than 0"),
        (["0", "--device", "cuda:77"], "There is no device cuda:77 on this machine"),
    ],
)
def test_bad_input_is_one_sentence_and_makes_nothing(
    store: RunStore, parent: Run, capsys: Capture, arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(capsys, "resume", parent.id, *arguments)
    assert [run.id for run in store.runs()] == [parent.id]


def test_runs_of_one_click_share_a_group_and_are_cancelled_together(store: RunStore, parent: Run) -> None:
    requests = [ResumeRequest(epoch, 2_000, {"learning_rate": rate}) for epoch in (0, 1) for rate in ("0.01", "0.001")]
    runs = plan.resume(store, parent, requests)
    (group,) = {run.record.resumption.group for run in runs if run.record.resumption}
    assert group is not None
    assert [run.id for run in plan.runs_of_group(store, group)] == [run.id for run in runs]
    assert plan.runs_of_group(store, "another") == []
    queue.cancel(runs)
    for run in runs:
        assert run.state() in ("stopped", "stopping")
