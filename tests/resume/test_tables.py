"""What the comparison, the curves and the tree of runs are drawn from."""

import json
import math
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from fashion_core.errors import cut_middle
from fashion_core.resume import tables
from fashion_core.resume.comparison import Compared, LossNow, by_dataset, compare
from fashion_core.resume.labels import LABEL_LENGTH, label_pixels, percent, short_label
from fashion_core.resume.tables import branches_frame, compared_frame, lineage_parts, losses_of, part_frames
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change, LoadCheck
from fashion_core.runs.store import RunStore
from tests.benchmarks.comparison import made_run
from tests.benchmarks.stores import CONTENT, info_of, write
from tests.support.charts import tuples
from tests.support.runs import on_other_images


@pytest.fixture
def runs(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def loss_now(loss: float, difference: float = -0.1, noise: float = 0.01, epoch: int = 9) -> LossNow:
    return LossNow(epoch, loss, difference, noise)


def check(loss_last: float) -> LoadCheck:
    return LoadCheck(
        loss_last=loss_last, loss_check=loss_last, accuracy=0.8, standard_error=0.1, comparable=True, optimizer="loaded"
    )


def compared(run: str, **changes: Any) -> Compared:
    """A run resumed from epoch 3 of "base" at a loss of 0.5, with 0.4 now."""
    values: dict[str, Any] = {
        "name": f"name of {run}", "state": "finished", "dataset": "synthetic", "parent": "a-base",
        "parent_name": "base", "parent_exists": True, "epoch": 3, "check": check(0.5), "first": loss_now(0.45, epoch=4),
        "latest": loss_now(0.4), "verdict": "exact", "overrides": (), "changes": {},
    }  # fmt: skip
    return Compared(run=run, **{**values, **changes})


def changed(settings: dict[str, tuple[Any, Any]]) -> dict[str, Change]:
    return {name: Change(before=before, after=after) for name, (before, after) in settings.items()}


def frame_of(*rows: Compared, latest: bool = True) -> pd.DataFrame:
    return compared_frame(rows, latest=latest, sort="lineage")


def test_a_row_says_what_the_loss_was_is_and_changed_after_the_latest_epoch_or_the_first() -> None:
    row = frame_of(compared("r1", changes=changed({"learning_rate": (1e-3, 1e-4)}))).iloc[0]
    assert (row["run"], row["name"], row["label"], row["group"]) == ("r1", "name of r1", "lr ÷10", "base · epoch 3")
    assert (row["loss_last"], row["loss_now"], row["now_epoch"]) == (0.5, 0.4, 9)
    assert (row["change"], row["percent"], row["answer"]) == (pytest.approx(-0.2), "−20.0%", "lower")
    assert (row["state"], row["verdict"], row["parent_exists"]) == ("finished", "exact", True)
    assert tuples(frame_of(compared("r1"), latest=False), "loss_now", "now_epoch") == [(0.45, 4)]


def test_the_band_round_loss_last_is_two_standard_errors_of_the_runs_own_differences() -> None:
    frame = frame_of(compared("r1"), compared("r2", latest=loss_now(0.4, noise=0.03)))
    assert list(frame["low"]) == [pytest.approx(0.48), pytest.approx(0.44)]
    assert list(frame["high"]) == [pytest.approx(0.52), pytest.approx(0.56)]


@pytest.mark.parametrize(("difference", "outside"), [(-0.021, True), (-0.019, False), (0.019, False), (0.021, True)])
def test_a_loss_lies_outside_the_band_when_the_answer_says_so(difference: float, outside: bool) -> None:
    row = frame_of(compared("r1", latest=loss_now(0.5 + difference, difference))).iloc[0]
    assert (row["answer"] != "within noise") == outside
    assert (not row["low"] <= row["loss_now"] <= row["high"]) == outside


def some_rows() -> list[Compared]:
    """Run 1 and 4 from one checkpoint, 2 from a later one of the same parent, 3 and 5 from another parent's."""
    other: dict[str, Any] = {"parent": "b-base", "parent_name": "other", "epoch": 1, "check": check(1.0)}
    return [
        compared("r3", **other, latest=loss_now(0.95)),
        compared("r2", epoch=6, latest=loss_now(0.2)),
        compared("r1", latest=loss_now(0.45)),
        compared("r5", **other, latest=loss_now(0.1)),
        compared("r4", latest=loss_now(0.3)),
    ]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("lineage", ["r1", "r4", "r2", "r3", "r5"]),
        ("change", ["r5", "r3", "r2", "r4", "r1"]),
        ("loss now", ["r5", "r3", "r2", "r4", "r1"]),
        ("newest", ["r5", "r3", "r4", "r1", "r2"]),
    ],
)
def test_checkpoints_are_sorted_by_their_first_row_and_stay_together(sort: Any, order: list[str]) -> None:
    assert list(compared_frame(some_rows(), latest=True, sort=sort)["run"]) == order
    assert list(compared_frame([], latest=True, sort=sort).columns) == list(tables.COMPARED_COLUMNS)


def test_change_and_loss_are_two_orders() -> None:
    rows = [compared("r1", latest=loss_now(0.4)), compared("r2", epoch=6, check=check(2.0), latest=loss_now(0.8))]
    assert list(compared_frame(rows, latest=True, sort="change")["run"]) == ["r2", "r1"]
    assert list(compared_frame(rows, latest=True, sort="loss now")["run"]) == ["r1", "r2"]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "same settings"),
        ({"learning_rate": (1e-3, 1e-4)}, "lr ÷10"),
        ({"learning_rate": (1e-3, 3e-3)}, "lr ×3"),
        ({"learning_rate": (1e-3, 1.5e-3)}, "lr ×1.5"),
        ({"learning_rate": (1e-3, 4.2e-4)}, "lr 0.00042"),
        ({"optimizer": ("sgd", "adam")}, "→ adam"),
        ({"batch_size": (64, 32)}, "batch 64 → 32"),
        ({"momentum": (0.0, 0.9)}, "momentum 0.9"),
        ({"weight_decay": (0.0, 0.05)}, "decay 0.05"),
        ({"schedule": ("constant", "cosine")}, "cosine lr"),
        ({"augmentation": ("none", "flip and shift")}, "augmented"),
        ({"augmentation": ("flip and shift", "none")}, "not augmented"),
        ({"seed": (0, 7)}, "seed 7"),
        ({"train_images": (0, 1000)}, "1,000 images"),
        ({"train_images": (1000, 0)}, "all images"),
        ({"keep": ("all", "last")}, "same settings"),
        ({"optimizer": ("sgd", "adam"), "learning_rate": (1e-3, 1e-4)}, "lr ÷10, → adam"),
        ({"optimizer": ("sgd", "adam"), "learning_rate": (1e-2, 3e-3)}, "lr 0.003, → adam"),
        ({"learning_rate": (1e-3, 1e-4), "batch_size": (64, 32)}, "lr ÷10 +1"),
        (
            {"learning_rate": (1e-3, 1e-4), "optimizer": ("sgd", "adam"), "batch_size": (64, 32), "seed": (0, 1)},
            "lr ÷10, → adam +2",
        ),
        (
            {"learning_rate": (1e-3, 1e-4), "seed": (0, 1), "dataset": ("synthetic", "fashion-mnist")},
            "on fashion-mnist +2",
        ),
    ],
)
def test_a_label_says_in_few_characters_what_was_changed(changes: dict[str, tuple[Any, Any]], label: str) -> None:
    assert short_label(changed(changes)) == label
    assert len(label) <= LABEL_LENGTH


def test_a_run_that_still_trains_is_marked_and_its_changes_are_told_whole() -> None:
    overrides = ("learning rate 0.001 → 0.0001", "batch size 64 → 32")
    frame = frame_of(compared("r1", state="running"), compared("r2", overrides=overrides))
    assert tuples(frame, "label", "changed") == [
        ("same settings …", "same settings"),
        ("same settings (2)", "learning rate 0.001 → 0.0001, batch size 64 → 32"),
    ]


def test_labels_are_numbered_by_age_within_a_checkpoint_in_every_order_and_before_a_first_epoch() -> None:
    rows = [compared("r3"), compared("r1", first=None, latest=None), compared("r2"), compared("r4", epoch=6)]
    labels = {"r2": "same settings (2)", "r3": "same settings (3)", "r4": "same settings"}
    for sort in get_args(tables.Sort):
        assert dict(tuples(compared_frame(rows, latest=True, sort=sort), "run", "label")) == labels


def test_headings_cut_long_names_in_the_middle_and_tell_equal_ones_apart() -> None:
    parents = [("aaaa", "the first of many runs with one name, number 1"), ("cccc", "twin"),
               ("bbbb", "the first of many runs with one name, number 2"), ("dddd", "twin")]  # fmt: skip
    rows = [
        compared(f"r{at}", parent=f"20260101-000000-000-{end}", parent_name=name, parent_exists=end != "dddd")
        for at, (end, name) in enumerate(parents)
    ]
    first, second, *twins = frame_of(*rows)["group"]
    assert max(map(len, (first, second, *twins))) <= 40
    assert first != second
    assert first.startswith("the first")
    assert second.endswith("number 2 · epoch 3")
    assert twins == ["twin cccc · epoch 3", "twin dddd · epoch 3 · deleted"]


def test_runs_on_other_images_or_pixels_than_their_checkpoint_have_a_heading_and_a_loss_last_of_their_own() -> None:
    other = check(0.5).model_copy(update={"comparable": False, "loss_check": 2.0})
    frame = frame_of(
        compared("r1"),
        compared("r2", changes=changed({"dataset": ("fashion-mnist", "synthetic")}), check=other),
        compared("r3", changes=changed({"pixels": ("unit", "raw")}), check=other),
        compared("r4"),
    )
    assert tuples(frame, "run", "group", "loss_last", "answer") == [
        ("r1", "base · epoch 3", 0.5, "lower"),
        ("r4", "base · epoch 3", 0.5, "lower"),
        ("r2", "base · epoch 3 · from Fashion-MNIST", 2.0, "lower, not counted"),
        ("r3", "base · epoch 3 · raw pixels", 2.0, "lower"),
    ]


@pytest.mark.parametrize(
    ("relative", "text"),
    [
        (-0.12, "−12.0%"), (0.036, "+3.6%"), (0.0, "+0.0%"), (-3e-4, "+0.0%"), (9.99, "+999.0%"), (11.0, "×12"),
        (6392.0, "×6,393"), (2e7, "×2e7"), (math.inf, "from 0"), (math.nan, "diverged"),
    ],
)  # fmt: skip
def test_a_change_is_short_enough_for_its_column(relative: float, text: str) -> None:
    assert percent(relative) == text
    assert len(text) <= 8


def test_cutting_keeps_both_ends() -> None:
    assert cut_middle("abcdefghij", 10) == "abcdefghij"
    assert cut_middle("abcdefghijk", 10) == "abcde…hijk"
    assert [len(cut_middle("x" * 50, limit)) for limit in (5, 10, 21)] == [5, 10, 21]


def test_the_room_for_labels_has_few_sizes() -> None:
    assert label_pixels([]) == 0
    assert label_pixels(["x" * 13, "x"]) == 80
    assert len({label_pixels(["x" * length]) for length in range(1, 25)}) <= 9


def branches(store: RunStore, latest: bool = True) -> pd.DataFrame:
    rows = compare(store)
    return branches_frame(rows, losses_of(store, rows), latest)


def curve_of(frame: pd.DataFrame, run: Run) -> list[tuple[Any, ...]]:
    return tuples(frame[frame["run"] == run.id], "epoch", "loss")


def test_a_resumed_curve_begins_at_loss_last_and_a_parents_has_all_its_epochs(runs: RunStore) -> None:
    base = made_run(runs, [0.9, 0.7, 0.6], name="base")
    child = made_run(runs, [0.5, 0.4], base, 1)
    below = made_run(runs, [0.8], child, 3)
    made_run(runs, [], made_run(runs, [0.9]), 0)  # without an epoch it has no curve, nor has its parent
    frame = branches(runs)
    assert list(frame.columns) == list(tables.BRANCH_COLUMNS)
    assert curve_of(frame, base) == [(0, 0.9), (1, 0.7), (2, 0.6)]
    assert curve_of(frame, child) == [(1, 0.7), (2, 0.5), (3, 0.4)]
    assert frame.groupby("run")["role"].agg(set).to_dict() == {
        base.id: {"parent"}, child.id: {"resumed"}, below.id: {"resumed"},
    }  # fmt: skip
    runs.delete(base, force=True)
    frame = branches(runs)
    assert curve_of(frame, base) == []
    assert curve_of(frame, child) == [(1, 0.7), (2, 0.5), (3, 0.4)]


def test_a_run_on_another_dataset_begins_at_what_it_measured_there_and_beside_no_curve_of_its_parent(
    runs: RunStore,
) -> None:
    base = made_run(runs, [0.9, 0.7])
    made_run(runs, [0.6], base, 1)
    moved = made_run(runs, [0.5, 0.4], base, 1, dataset="fashion-mnist")
    write(moved.load_check_path, check(0.7).model_copy(update={"comparable": False, "loss_check": 2.5}))
    rows = by_dataset(compare(runs))
    frame, other = (branches_frame(rows[name], losses_of(runs, rows[name])) for name in ("fashion-mnist", "synthetic"))
    assert set(frame["run"]) == {moved.id}
    assert set(frame["answer"]) == {"lower, not counted"}
    assert curve_of(frame, moved) == [(1, 2.5), (2, 0.5), (3, 0.4)]
    assert curve_of(other, base) == [(0, 0.9), (1, 0.7)]
    assert moved.id not in set(other["run"])


def test_a_curve_has_the_answer_of_the_epoch_that_is_asked_for(runs: RunStore) -> None:
    child = made_run(runs, [0.9, 0.4], made_run(runs, [0.7]), 0)
    frames = [branches(runs, latest).set_index("run").loc[child.id] for latest in (True, False)]
    assert [set(frame["answer"]) for frame in frames] == [{"lower"}, {"higher"}]


def test_each_run_is_read_once(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    base = made_run(runs, [0.9, 0.8])
    for _ in range(3):
        made_run(runs, [0.5], base, 1)
    rows, read, count = compare(runs), metrics.read_epochs, [0]

    def counted(path: Path) -> list[metrics.Row]:
        count[0] += 1
        return read(path)

    monkeypatch.setattr(metrics, "read_epochs", counted)
    losses_of(runs, rows)
    assert count == [4]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_extremes(runs: RunStore) -> None:
    losses = [1.0 + math.sin(epoch) / 10 for epoch in range(500)]
    losses[321], losses[-1] = 0.2, 0.7
    child = made_run(runs, losses, made_run(runs, [2.0]), 0)
    curve = curve_of(branches(runs), child)
    assert len(curve) <= 200
    assert curve[0] == (0, 2.0)
    assert curve[-1] == (500, 0.7)
    assert (322, 0.2) in curve


def test_many_curves_share_1500_points_and_keep_their_ends_and_extremes(runs: RunStore) -> None:
    losses = [0.5] * 40
    losses[17], losses[30] = 0.8, 0.1
    rows = [compared(f"r{number}") for number in range(100)]
    frame = branches_frame(rows, {"a-base": [], **{row.run: list(enumerate(losses, 4)) for row in rows}})
    assert len(frame) <= 1500
    for _, curve in frame.groupby("run"):
        assert {3, 21, 34, 43} <= set(curve["epoch"])
        assert curve["epoch"].is_monotonic_increasing


def dots_and_links(store: RunStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    dots, links = part_frames([list(chain.from_iterable(lineage_parts(store)))], 0)
    assert (tuple(dots.columns), tuple(links.columns)) == (tuple(tables.DOT_COLUMNS), tuple(tables.LINK_COLUMNS))
    return dots, links


def test_below_a_run_come_its_children_later_epochs_first_each_with_its_own_below(runs: RunStore) -> None:
    base = made_run(runs, [0.9, 0.8, 0.7, 0.6], name="base")
    early = made_run(runs, [0.5, 0.4], base, 0)
    late = made_run(runs, [0.5, 0.4], base, 3)
    below_early = made_run(runs, [0.3], early, 1)
    second_late = made_run(runs, [0.5], base, 3)
    other = made_run(runs, [0.9], name="other")
    dots, links = dots_and_links(runs)
    lanes = dots.drop_duplicates("lane").sort_values("lane")  # from the top down
    assert list(lanes["run"]) == [run.id for run in (other, base, late, second_late, early, below_early)]
    assert list(lanes["tree"]) == [0, 1, 1, 1, 1, 1]
    link = links.set_index("run").loc[below_early.id]
    assert (link["epoch"], link["lane"], link["next_epoch"], link["next_lane"], link["tree"]) == (1, 4, 2, 5, 1)
    assert set(links["run"]) == {late.id, second_late.id, early.id, below_early.id}


def test_parts_hold_whole_trees_and_together_all_of_them(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    base = made_run(runs, [0.9, 0.2], name="base")
    children = [made_run(runs, [0.5], base, 1) for _ in range(3)]
    others = [made_run(runs, [0.9]) for _ in range(3)]
    monkeypatch.setattr(tables, "MOST_LANES", 2)
    parts = lineage_parts(runs)
    found = [part_frames(parts, number) for number in range(len(parts))]
    assert [[*dots.drop_duplicates("lane")["run"]] for dots, _ in found] == [
        [others[2].id, others[1].id], [others[0].id], [base.id, *(child.id for child in children)],
    ]  # fmt: skip
    assert [len(links) for _, links in found] == [0, 0, 3]
    dots, links = dots_and_links(runs)
    pd.testing.assert_frame_equal(pd.concat([dots for dots, _ in found], ignore_index=True), dots)
    pd.testing.assert_frame_equal(found[2][1], links)


def test_no_link_crosses_a_lane_between_its_ends(runs: RunStore) -> None:
    random = np.random.default_rng(0)
    family = [made_run(runs, [0.9] * 6)]
    for _ in range(20):
        parent = family[random.integers(len(family))]
        epoch = int(random.choice(parent.epochs_saved()))
        family.append(made_run(runs, [0.5] * int(random.integers(1, 5)), parent, epoch))
    dots, links = dots_and_links(runs)
    first = dots.groupby("lane")["epoch"].min()
    for link in links.to_dict("records"):
        assert (first.loc[link["lane"] + 1 : link["next_lane"] - 1] >= link["next_epoch"]).all()


def test_a_dot_is_a_checkpoint_trees_have_headings_and_lanes_end_with_change_and_loss(runs: RunStore) -> None:
    base = made_run(runs, [0.9, 0.2, 0.8], name="base")
    made_run(runs, [0.51234, 0.4], base, 2, learning_rate=1e-4)
    made_run(runs, [0.7], base, 2)
    base.remove_saved(base.checkpoint_path(1))
    dots, _ = dots_and_links(runs)
    assert list(dots.loc[~dots["saved"], "loss"]) == [0.2]
    assert list(dots.loc[dots["best"], "loss"]) == [0.4]  # of those that are saved
    assert tuples(dots[dots["heading"] != ""], "heading", "epoch") == [("base · synthetic garments", 0)]
    assert tuples(dots[dots["label"] != ""], "label", "epoch") == [
        ("0.800", 2), ("lr ÷10 0.400", 4), ("same settings 0.700", 3),
    ]  # fmt: skip


def test_imported_runs_and_those_without_a_parent_are_roots_and_damaged_ones_are_passed_over(runs: RunStore) -> None:
    imported, base, damaged = made_run(runs, []), made_run(runs, [0.9]), made_run(runs, [0.8])
    set_source(imported, assumed=["pixels"])
    imported.checkpoint_path(7).write_bytes(CONTENT)
    imported.write_info(imported.checkpoint_path(7), info_of(7, 0.25))
    orphans = [made_run(runs, [0.5], parent, 0, name="child") for parent in (base, damaged)]
    made_run(runs, [])
    runs.delete(base, force=True)
    damaged.record_path.write_text("{}")
    dots, links = dots_and_links(runs)
    gone = "child · synthetic garments · its parent was deleted"
    assert tuples(dots, "run", "epoch", "loss", "saved", "best", "heading") == [
        (orphans[1].id, 1, 0.5, True, False, gone),
        (orphans[0].id, 1, 0.5, True, False, gone),
        (imported.id, 7, 0.25, True, True, f"{imported.title} · synthetic garments"),
    ]
    assert links.empty


def set_source(run: Run, **known: Any) -> None:
    source = {"name": "x.pth", "format": "model", "sha256": "0", **known}
    run.record_path.write_text(json.dumps(run.record.model_dump(mode="json") | {"source": source}))


@pytest.mark.parametrize("known", [{"assumed": ["dataset"]}, {}], ids=["assumed", "of an earlier version"])
def test_import_whose_dataset_was_assumed_is_never_the_best(runs: RunStore, known: dict[str, Any]) -> None:
    imported = made_run(runs, [])
    set_source(imported, **known)
    imported.checkpoint_path(7).write_bytes(CONTENT)
    imported.write_info(imported.checkpoint_path(7), info_of(7, 0.25))
    base = made_run(runs, [0.9])
    dots, _ = dots_and_links(runs)
    assert tuples(dots, "run", "dataset", "best") == [
        (base.id, "synthetic garments", True),
        (imported.id, "synthetic garments (assumed)", False),
    ]


def test_each_dataset_has_a_best_checkpoint_in_all_parts(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hard = made_run(runs, [0.9, 0.7], dataset="fashion-mnist")
    moved = made_run(runs, [0.3, 0.4], hard, 1, dataset="synthetic")
    made_run(runs, [0.5], name="easy")
    monkeypatch.setattr(tables, "MOST_LANES", 1)
    parts = lineage_parts(runs)
    (first, _), (second, _) = (part_frames(parts, number) for number in range(2))
    assert tuples(first, "heading", "dataset", "best") == [("easy · synthetic garments", "synthetic garments", False)]
    assert tuples(second[second["best"]], "run", "dataset", "loss") == [
        (hard.id, "Fashion-MNIST", 0.7), (moved.id, "synthetic garments", 0.3),
    ]  # fmt: skip


def test_other_images_of_the_same_name_have_a_heading_and_a_best_checkpoint_of_their_own(runs: RunStore) -> None:
    there = on_other_images(made_run(runs, [0.3, 0.2]))
    here = made_run(runs, [0.5, 0.4])
    moved = made_run(runs, [0.6], there, 1)
    dots, _ = dots_and_links(runs)
    assert tuples(dots[dots["best"]], "run", "dataset", "loss") == [
        (here.id, "synthetic garments", 0.4), (there.id, "synthetic garments (images 1a2b3c4d)", 0.2),
    ]  # fmt: skip
    (row,) = compare(runs)
    assert (row.run, set(frame_of(row)["group"]), set(frame_of(row)["answer"])) == (
        moved.id,
        {f"{cut_middle(there.title, 22)} · epoch 1 · from synthetic garments (images 1a2b3c4d)"},
        {"higher, not counted"},
    )


def test_a_long_lane_is_thinned_and_keeps_its_ends_its_best_and_what_was_resumed(runs: RunStore) -> None:
    losses = [1.0] * 450
    losses[333] = 0.1
    base = made_run(runs, losses)
    made_run(runs, [0.5], base, 101)
    dots, _ = dots_and_links(runs)
    epochs = set(dots.loc[dots["run"] == base.id, "epoch"])
    assert {0, 101, 333, 449} <= epochs
    assert len(epochs) <= tables.MOST_DOTS + 3
    assert dots.loc[dots["best"], "epoch"].item() == 333


def test_an_empty_store_gives_empty_frames(runs: RunStore) -> None:
    assert [frame.empty for frame in (*dots_and_links(runs), branches(runs))] == [True] * 3
