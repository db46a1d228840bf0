"""Runs repeated with other seeds: made together, told apart by their seed alone, and what they say together."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from fashion_core.config import MAX_NAME, MAX_SEEDS
from fashion_core.errors import ConfigError, DiskError, DivergedError
from fashion_core.resume import answers, comparison, plan, repeats, tables
from fashion_core.resume.comparison import Compared
from fashion_core.resume.plan import ResumeRequest
from fashion_core.resume.repeats import over_seeds, runs_beside
from fashion_core.runs import metrics, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Repeat
from fashion_core.runs.store import RunStore
from fashion_core.runs.tables import runs_frame
from tests.benchmarks.comparison import made_run
from tests.support.commands import Capture, answered, printed, refused
from tests.support.files import small_disk
from tests.support.runs import (
    config,
    copied,
    epoch_row,
    new_run,
    on_other_images,
    resume,
    set_running,
    set_state,
    train,
    trained,
)

FIVE = [0.412, 0.431, 0.402, 0.425, 0.418]


@pytest.fixture
def no_slot(store: RunStore) -> None:
    """What is queued stays in the queue."""
    set_running(new_run(store, name="in the slot"))


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=2, seed=3)


@pytest.fixture
def parent(store: RunStore, trained_once: Run, no_slot: None) -> Run:
    return copied(trained_once, store)


def made_seeds(store: RunStore, parent: Run, losses: Sequence[float], epoch: int = 0, **settings: Any) -> list[Run]:
    """Finished runs that were resumed from an epoch of this one with as many seeds, and ended with these losses."""
    made = [made_run(store, [loss], parent, epoch, seed=seed, **settings) for seed, loss in enumerate(losses)]
    for index, run in enumerate(made):
        set_repeat(run, Repeat(group="g", index=index, seeds=len(losses)))
    return made


def set_repeat(run: Run, repeat: Repeat) -> None:
    run.record_path.write_text(run.record.model_copy(update={"repeat": repeat}).model_dump_json())


def beside(store: RunStore, run: Run) -> list[str]:
    return [one.id for one in runs_beside(store, run)]


@pytest.mark.parametrize("count", [2, 3, 5, MAX_SEEDS])
def test_mean_and_interval_equal_a_plain_computation(count: int) -> None:
    values = [(FIVE[number % 5] + number / 100) for number in range(count)]
    found, mean, deviation = over_seeds(values), statistics.fmean(values), statistics.stdev(values)
    low, high = stats.t.interval(0.95, count - 1, mean, deviation / math.sqrt(count))
    assert found
    assert found.seeds == count
    assert [found.mean, found.mean - found.interval, found.mean + found.interval] == pytest.approx([mean, low, high])
    assert found.luck == pytest.approx(2 * deviation)


def test_one_seed_has_no_mean() -> None:
    assert over_seeds([0.4]) is None


def test_trained_seeds_are_one_group_in_which_only_the_seed_differs(store: RunStore, no_slot: None) -> None:
    made = queue.start_seeds(store, config(seed=7, name="mine"), 3)
    assert [run.record.config for run in made] == [config(seed=seed, name="mine") for seed in (7, 8, 9)]
    assert [run.title for run in made] == ["mine, seed 7", "mine, seed 8", "mine, seed 9"]
    (group,) = {run.record.repeat.group for run in made if run.record.repeat}
    assert [run.record.repeat for run in made] == [Repeat(group=group, index=n, seeds=3) for n in range(3)]
    assert {run.state() for run in made} == {"queued"}
    for run in made:
        assert beside(store, run) == [one.id for one in made]
    queue.cancel(made)


def test_one_seed_is_a_run_as_it_always_was(store: RunStore, no_slot: None) -> None:
    (run,) = queue.start_seeds(store, config(name="mine"), 1)
    assert (run.record.repeat, run.title) == (None, "mine")
    assert beside(store, run) == []


def test_each_resume_is_a_group_of_its_own_and_begins_with_the_seed_of_its_parent(store: RunStore, parent: Run) -> None:
    requests = plan.with_seeds(parent, [ResumeRequest(epoch, 1, {}) for epoch in (0, 1)], 2)
    made = plan.resume(store, parent, requests)
    assert [run.record.config.seed for run in made] == [3, 4, 3, 4]
    assert [run.record.repeat.index for run in made if run.record.repeat] == [0, 1, 0, 1]
    assert beside(store, made[0]) == [run.id for run in made[:2]]
    assert beside(store, made[3]) == [run.id for run in made[2:]]
    assert len({run.record.resumption.group for run in made if run.record.resumption}) == 1


def test_resumed_seeds_with_a_given_seed_and_name_count_on_from_it(store: RunStore, parent: Run) -> None:
    requests = plan.with_seeds(parent, [ResumeRequest(0, 1, {"seed": "10", "name": "mine"})], 2)
    made = plan.resume(store, parent, requests)
    assert [(run.title, run.record.config.seed) for run in made] == [("mine, seed 10", 10), ("mine, seed 11", 11)]


def test_resumed_seeds_have_a_name_each_however_much_they_change_and_however_long_it_is(
    store: RunStore, parent: Run
) -> None:
    changed = {"learning_rate": 1e-4, "optimizer": "adam"}
    made = plan.resume(store, parent, plan.with_seeds(parent, [ResumeRequest(0, 1, changed)], 3))
    assert [run.title for run in made] == [f"base ↻ 0, lr ÷10, → adam, seed {seed}" for seed in (3, 4, 5)]
    long = {"name": "n" * MAX_NAME}
    for run in [
        *plan.resume(store, parent, plan.with_seeds(parent, [ResumeRequest(0, 1, long)], 2)),
        *queue.start_seeds(store, config(**long, seed=3), 2),
    ]:
        assert len(run.title) == MAX_NAME
        assert run.title.endswith(f"n, seed {run.record.config.seed}")


@pytest.mark.parametrize(("seeds", "seed"), [(0, 0), (MAX_SEEDS + 1, 0), (2, 2**31 - 1)])
def test_seeds_that_do_not_exist_are_one_sentence_and_leave_none(
    store: RunStore, parent: Run, seeds: int, seed: int
) -> None:
    before = store.runs()
    with pytest.raises(ConfigError):
        queue.start_seeds(store, config(seed=seed), seeds)
    with pytest.raises(ConfigError):
        plan.resume(store, parent, plan.with_seeds(parent, [ResumeRequest(0, 1, {"seed": seed})], seeds))
    assert store.runs() == before


def test_seeds_that_can_not_all_be_made_leave_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 128) as folder:
        full = RunStore(folder / "runs")
        with pytest.raises(DiskError, match="the disk is full"):
            queue.start_seeds(full, config(), MAX_SEEDS)
        assert full.runs() == []
        queue.cancel([new_run(full), new_run(full)])  # there is room for some


def test_no_seed_starts_before_all_are_made(store: RunStore) -> None:
    with queue.making(store) as made:
        made.append(new_run(store))
        queue.advance(store, patience=0)
        assert made[0].state() == "queued"


def test_run_of_an_earlier_version_opens_without_a_group(store: RunStore) -> None:
    run = new_run(store)
    fields = json.loads(run.record_path.read_text())
    del fields["repeat"]
    run.record_path.write_text(json.dumps(fields))
    assert run.record.repeat is None


def test_losses_of_another_dataset_are_in_no_mean(store: RunStore) -> None:
    base = made_run(store, [0.5])
    here = made_seeds(store, base, [0.4, 0.42])
    there = made_run(store, [0.1], base, seed=2, dataset="fashion-mnist")
    set_repeat(there, Repeat(group="g", index=2, seeds=3))
    assert beside(store, here[0]) == [run.id for run in here]
    (found,) = answers.answered(comparison.compare(store))
    assert found.seeds == "2 seeds"
    assert found.change == pytest.approx(-0.18)


def test_losses_of_other_images_of_the_same_name_are_in_no_mean(store: RunStore) -> None:
    base = made_run(store, [0.5])
    *here, there = made_seeds(store, base, [0.4, 0.42, 0.1])
    on_other_images(there)
    assert beside(store, here[0]) == [run.id for run in here]
    assert beside(store, there) == []
    assert [found.seeds for found in answers.answered(comparison.compare(store))] == ["2 of 3 seeds", "1 of 3 seeds"]
    runs = runs_frame(store)
    shown = dict(zip(runs["id"], tables.last_losses_over_seeds(runs), strict=True))
    assert [shown[run.id][:9] for run in (*here, there)] == ["0.4100 ± ", "0.4100 ± ", ""]


def test_seeds_resumed_onto_another_dataset_have_no_answer(store: RunStore) -> None:
    made_seeds(store, made_run(store, [0.5]), [0.4, 0.42], dataset="fashion-mnist")
    assert answers.answers_over_seeds(comparison.compare(store)) == []


def rows(store: RunStore, *losses: float) -> list[Compared]:
    made_seeds(store, made_run(store, [0.5], name="base"), losses)
    return comparison.compare(store)


@pytest.mark.parametrize(
    ("losses", "answer"),
    [
        ((0.40, 0.41, 0.405), "−19.0% ± 2.5 over 3 seeds; seed luck alone moves 2.0%."),
        ((0.49, 0.48, 0.49, 0.48, 0.495, 0.485), "−2.7% ± 1.3 over 6 seeds; seed luck alone moves 2.4%."),
        ((0.499, 0.49, 0.489, 0.498, 0.49, 0.499), "so one seed can't tell."),
        ((0.49, 0.51, 0.5), "+0.0% ± 5.0 over 3 seeds, too few to tell: seed luck alone moves 4.0%."),
        ((6.5, 6.75), "×13 ± 3.2 over 2 seeds; seed luck alone moves 70.7%."),
    ],
)
def test_answer_over_seeds_says_when_one_seed_or_all_can_not_tell(
    store: RunStore, losses: tuple[float, ...], answer: str
) -> None:
    (said,) = answers.answers_over_seeds(rows(store, *losses))
    assert said.startswith("Resumed from base epoch 0, same settings: ")
    assert said.endswith(answer)


def test_seeds_that_have_not_ended_the_newest_epoch_do_not_count_yet(store: RunStore) -> None:
    found = rows(store, 0.40, 0.41, 0.30)
    assert found[0].latest
    further = [*(replace(row, latest=replace(row.latest, epoch=9)) for row in found[:2] if row.latest), found[2]]
    (said,) = answers.answers_over_seeds(further)
    assert "over 2 of 3 seeds" in said
    assert answers.answers_over_seeds(found[:1]) == []


def one_of_three_diverged(store: RunStore, parent: Run) -> list[Run]:
    """Three seeds that a worker would leave so: the last one's rate was too high for its luck, and it failed."""
    made = made_seeds(store, parent, [0.40, 0.41], epoch=1)
    lost = resume(store, parent, 1, 1, seed=2, learning_rate=1e6, momentum=0.9)
    with pytest.raises(DivergedError):
        train(lost)
    set_state(lost, "failed")
    for index, run in enumerate([*made, lost]):
        set_repeat(run, Repeat(group="g", index=index, seeds=3))
    return [*made, lost]


def test_seed_that_failed_is_told_beside_the_mean_of_the_others(store: RunStore, parent: Run) -> None:
    made = one_of_three_diverged(store, parent)
    (said,) = answers.answers_over_seeds(comparison.compare(store))
    assert " over 2 of 3 seeds (1 failed)" in said
    found = repeats.final_means(made, 3)
    assert found
    assert found.seeds == "2 of 3 seeds (1 failed)"
    runs = runs_frame(store)
    assert set(tables.last_losses_over_seeds(runs)) == {"", "0.4050 ± 0.0635 · 2 of 3 seeds (1 failed)"}


def test_run_that_is_deleted_meanwhile_is_in_no_final_mean(store: RunStore) -> None:
    made = made_seeds(store, made_run(store, [0.5]), [0.40, 0.41, 0.42])
    store.delete(made[0])
    found = repeats.final_means(made, 3)
    assert found
    assert found.seeds == "2 of 3 seeds"
    assert found.loss.mean == pytest.approx(0.415)


def test_repeats_count_once_in_the_answer_and_their_luckiest_seed_is_not_the_lowest(store: RunStore) -> None:
    base = made_run(store, [0.5], name="base")
    made_seeds(store, base, [0.40, 0.44, 0.42], learning_rate=1e-4)
    made_run(store, [0.41], base, name="single")
    assert answers.sentence(comparison.compare(store)) == (
        "2 of 2 resumed runs are below the loss of the checkpoint, 0 within noise, 0 above. Median change −17.0%; "
        "lowest loss now 0.410 (single, from base epoch 0). "
        "Runs that differ in nothing but the seed count once, by their mean. "
        "1 of them has one seed only, which can't tell help from luck."
    )


def test_lowest_loss_of_repeats_is_their_mean(store: RunStore) -> None:
    made_seeds(store, made_run(store, [0.5], name="base"), [0.40, 0.44, 0.42], learning_rate=1e-4)
    said = answers.sentence(comparison.compare(store))
    assert "1 of 1 resumed run is below" in said
    assert "0.420 (mean of 3 seeds with learning rate 0.001 → 0.0001, from base epoch 0)" in said


def test_sentence_counts_the_runs_whose_one_seed_can_not_tell(store: RunStore) -> None:
    found = rows(store, 0.40, 0.41)
    assert "one seed" not in answers.sentence(found)
    alone = replace(found[0], repeat=None)
    assert answers.sentence([*found, alone]).endswith("1 of them has one seed only, which can't tell help from luck.")


def test_commands_repeat_and_tell_the_mean(store: RunStore, parent: Run, capsys: Capture) -> None:
    made_seeds(store, parent, FIVE)
    out, _ = printed(capsys, "compare")
    (said,) = answers.answers_over_seeds(comparison.compare(store))
    assert f"\n{said}\n" in out
    found = answered(capsys, "compare")
    assert [row["repeat"]["index"] for row in found] == [0, 1, 2, 3, 4]
    assert {row["over_seeds"]["seeds"] for row in found} == {5}
    assert "Seeds should be from 1 to 30, not 31." in refused(capsys, "train", "--seeds", "31")
    assert "Seeds should be from 1 to 30, not 0." in refused(capsys, "resume", parent.id, "0", "--seeds", "0")


def test_each_epoch_has_the_means_of_the_seeds_that_have_ended_it() -> None:
    ended = [[epoch_row(epoch) | {"loss": loss, "accuracy": 1 - loss} for epoch, loss in enumerate(losses)]
             for losses in ([0.5, 0.4], [0.6, 0.5], [0.7])]  # fmt: skip
    frame = tables.seeds_frame(ended, config(epochs=3, batch_size=50), 0)
    assert list(frame) == list(tables.SEED_COLUMNS)
    assert frame[["epoch", "step", "seeds"]].to_numpy().tolist() == [[0, 10, 3], [1, 20, 2]]
    for row, losses in zip(frame.itertuples(), ([0.5, 0.6, 0.7], [0.4, 0.5]), strict=True):
        found = over_seeds(losses)
        assert found
        assert [row.loss, row.loss_interval, row.loss_luck] == [found.mean, found.interval, found.luck]
        assert [row.accuracy, row.accuracy_interval] == pytest.approx([1 - found.mean, found.interval])


def test_list_of_runs_has_the_mean_of_each_group_and_dataset_once_two_have_finished(store: RunStore) -> None:
    base = made_run(store, [0.5])
    made = made_seeds(store, base, [0.4, 0.42, 0.3])
    set_state(made[2], "stopped")
    elsewhere = made_run(store, [0.1], base, dataset="fashion-mnist")
    set_repeat(elsewhere, Repeat(group="g", index=3, seeds=3))
    for run, loss in zip(made, (0.5, 0.54, 0.3), strict=True):  # after a better epoch, which is not what is told
        metrics.append_row(run.metrics_path, {**epoch_row(2), "loss": loss})
    runs = runs_frame(store)
    shown = dict(zip(runs["id"], tables.last_losses_over_seeds(runs), strict=True))
    text = "0.5200 ± 0.2541 · 2 of 3 seeds (1 stopped)"
    told = repeats.final_means(made, 3)
    assert told
    assert text.startswith(f"{told.loss.mean:.4f} ± {told.loss.interval:.4f}")
    assert shown == {**dict.fromkeys((run.id for run in made), text), base.id: "", elsewhere.id: ""}


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_command_trains_and_resumes_several_seeds_to_one_mean(store: RunStore, capsys: Capture) -> None:
    short = ("--train-images", "500", "--device", "cpu", "--threads", "1", "--epochs", "1")
    out, _ = printed(capsys, "train", *short, "--seeds", "2")
    losses = [metrics.read_epochs(run.metrics_path)[-1]["loss"] for run in store.runs()]
    assert f"over 2 seeds: test loss {statistics.fmean(losses):.4f} ± " in out
    out, _ = printed(capsys, "resume", store.runs()[0].id, "0", "--epochs", "1", "--seeds", "2")
    assert "over 2 seeds" in out.splitlines()[-1]
    assert out.splitlines()[-1].startswith("Resumed from mlp sgd 0.001, seed 1 epoch 0, same settings: ")
    found = answered(capsys, "train", *short, "--seeds", "2")
    assert [run["over_seeds"]["loss"]["seeds"] for run in found] == [2, 2]
    assert found[0]["over_seeds"]["accuracy"]["mean"] == statistics.fmean(
        run["epochs"][-1]["accuracy"] for run in found
    )
