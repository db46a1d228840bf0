"""Runs on datasets that were added: resumed onto another one, and what is said when theirs is gone or changed."""

import shutil
from pathlib import Path

import pytest

from fashion_core.config import Shape
from fashion_core.data.description import folder_of, images_here
from fashion_core.errors import ConfigError, DamagedFileError, DataError
from fashion_core.resume import reasons
from fashion_core.runs import queue
from fashion_core.runs.index.row import read_row
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change
from fashion_core.runs.store import RunStore
from tests.support.datasets import COLOUR, TRAIN, add_dataset
from tests.support.exact import epoch_rows, load, same
from tests.support.files import change_json
from tests.support.runs import config, new_run, resume, set_state, train, trained

HEAD = ("linear_relu_stack.4.weight", "linear_relu_stack.4.bias")


@pytest.fixture(autouse=True)
def datasets(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "data"))
    add_dataset("shoes")
    add_dataset("boots", train=120)


@pytest.fixture
def parent(store: RunStore) -> Run:
    return trained(store, dataset="shoes", epochs=2, train_images=0, batch_size=40)


def replace_shoes() -> None:
    shutil.rmtree(folder_of("shoes"))
    add_dataset("shoes", COLOUR, train=TRAIN + 1)


def test_all_images_of_an_added_dataset_are_counted_and_the_number_stays_with_the_run(store: RunStore) -> None:
    run = queue.start(store, config(dataset="shoes", train_images=0, batch_size=40), here=False)
    assert (run.record.config.train_images, run.record.config.batches_per_epoch) == (TRAIN, 5)
    shutil.rmtree(folder_of("shoes"))
    assert (run.record.description.train, run.record.config.batches_per_epoch) == (TRAIN, 5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_images": TRAIN + 1}, "Shoes has 200 training images; ask for no more."),
        ({"batch_size": TRAIN + 1}, "Batch size 201 is larger than the 200 training images; choose a smaller batch."),
        (
            {"dataset": "gloves"},
            "There is no dataset gloves here: choose one of synthetic, fashion-mnist, boots",
        ),
    ],
)
def test_settings_that_the_dataset_can_not_give_are_one_sentence(
    store: RunStore, changes: dict[str, int], sentence: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=sentence):
        queue.start(store, config(**{"dataset": "shoes", "train_images": 0, **changes}))
    assert store.runs() == []


def test_resume_on_its_own_images_is_exact(store: RunStore, parent: Run) -> None:
    child = resume(store, parent, 0)
    assert child.record.resumption is not None
    assert child.record.resumption.verdict == "exact"
    train(child)
    (row,), expected = epoch_rows(child), epoch_rows(parent)[1]
    assert [row[name] for name in ("loss", "train_loss")] == [expected[name] for name in ("loss", "train_loss")]
    assert same(load(child.checkpoint_path(1))["model_state_dict"], load(parent.checkpoint_path(1))["model_state_dict"])


def test_batch_of_another_dataset_may_be_larger_than_all_images_of_before(store: RunStore, parent: Run) -> None:
    child = resume(store, parent, 1, 1, dataset="synthetic", batch_size=TRAIN + 1)
    assert (child.record.config.batch_size, child.record.config.train_images) == (TRAIN + 1, 0)


def test_resume_on_another_dataset_of_the_same_form_takes_all_of_its_images(store: RunStore, parent: Run) -> None:
    child = resume(store, parent, 1, 1, dataset="boots")
    assert (child.record.config.train_images, child.record.images) == (120, images_here("boots"))
    assert child.record.resumption is not None
    assert child.record.resumption.changes["dataset"] == Change(before="shoes", after="boots")
    said = reasons.texts(child.record.resumption.reasons)
    assert child.record.resumption.verdict == "transfer"
    assert "DIFFERENT DATASET: the checkpoint was trained on other images" in said
    train(child)
    assert child.load_check is not None
    assert not child.load_check.comparable


def test_resume_on_more_images_may_take_larger_batches_than_the_parent_had_images(store: RunStore, parent: Run) -> None:
    child = resume(store, parent, 1, 1, dataset="synthetic", batch_size=500)
    assert (child.record.config.batch_size, child.record.config.images_per_epoch) == (500, 12_000)


def test_run_whose_dataset_is_gone_is_listed_and_says_so_before_it_goes_on(store: RunStore, parent: Run) -> None:
    shutil.rmtree(folder_of("shoes"))
    assert parent.record.images == f"shoes-{parent.record.description.sha256[:8]}"
    set_state(parent, "stopped")
    for press in (lambda: queue.continue_run(store, parent), lambda: resume(store, parent, 0)):
        with pytest.raises(DataError, match="There is no dataset shoes here"):
            press()
    assert (parent.state(), store.ids()) == ("stopped", [parent.id])


def test_run_whose_dataset_was_changed_can_not_continue_and_is_resumed_as_on_another(
    store: RunStore, parent: Run
) -> None:
    replace_shoes()
    set_state(parent, "stopped")
    with pytest.raises(DataError, match=r"was begun on Shoes \(images [0-9a-f]{8}\); the images here are others"):
        queue.continue_run(store, parent)
    child = resume(store, parent, 0, 1)
    assert child.record.resumption is not None
    assert child.record.resumption.verdict == "transfer"
    assert any(text.startswith("DIFFERENT DATASET") for text in reasons.texts(child.record.resumption.reasons))
    assert parent.record.images != child.record.images == images_here("shoes")
    rows = {row.id: row.dataset for row in map(read_row, store.runs())}
    assert rows == {parent.id: parent.record.images, child.id: child.record.images}


def test_images_that_were_changed_by_hand_are_not_trained_on(store: RunStore) -> None:
    run = new_run(store, dataset="shoes", train_images=120)
    path = folder_of("shoes") / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedFileError, match="its images or labels are not those that it describes"):
        train(run)


def test_run_whose_dataset_has_another_form_by_now_is_resumed_as_onto_another(store: RunStore, parent: Run) -> None:
    shutil.rmtree(folder_of("shoes"))
    add_dataset("shoes", Shape(1, 28, 28, 10))
    child = resume(store, parent, 0, 1)
    assert child.record.description.shape == Shape(1, 28, 28, 10)
    assert child.record.resumption is not None
    assert child.record.resumption.transfer is not None
    assert child.record.resumption.transfer.new == ("linear_relu_stack.0.weight", *HEAD)


def test_record_that_does_not_describe_its_dataset_is_damaged(store: RunStore, parent: Run) -> None:
    change_json(parent.record_path, described=...)
    with pytest.raises(DamagedFileError, match="it does not describe its dataset shoes"):
        _ = parent.record
