"""Training exactly: stopped, killed or damaged on the way, a run ends bit for bit where the uninterrupted one ends."""

import math
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fashion_core.data import batches as data
from fashion_core.errors import DiskError, DivergedError
from fashion_core.models import build_model
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from tests.support.exact import KilledError, epoch_rows, killed_after, load, same
from tests.support.files import change_json, flip_a_bit, small_disk
from tests.support.processes import python
from tests.support.runs import FEW, After, config, copied, new_run
from tests.support.runs import train as train_and_measure

MODERN = {"schedule": "cosine", "augmentation": "flip and shift", "precision": "bf16"}
COVERING: dict[str, dict[str, Any]] = {
    "mlp, momentum": {"momentum": 0.9, "weight_decay": 0.01, "pixels": "raw", "learning_rate": 1e-6},
    "mlp, adam, cosine, augmented, bf16": {"optimizer": "adam", **MODERN},
    "cnn, adamw, cosine, augmented, bf16": {
        "model": "cnn",
        "optimizer": "adamw",
        "pixels": "standard",
        "weight_decay": 0.05,
        "batch_size": 16,
        "train_images": 76,
        **MODERN,
    },
    "resnet18": {
        "model": "resnet18",
        "optimizer": "adamw",
        "schedule": "cosine",
        "batch_size": 8,
        "train_images": 36,
    },
}
SLOW = {"cnn, adamw, cosine, augmented, bf16", "resnet18"}
BATCHES = 5
"""Of an epoch, the last one smaller. A stop is asked for before each, and not after the last."""
SETTINGS: dict[str, Any] = {"train_images": 300, "batch_size": 64, "epochs": 2, "seed": 5}
train = partial(train_and_measure, test_images=FEW)


def batch_losses(run: Run) -> list[tuple[int, int, float]]:
    rows = [row for row in metrics.read_rows(run.metrics_path) if row["kind"] == "batch"]
    return [
        (row["epoch"], batch, loss)
        for row in rows
        for batch, loss in enumerate(row["losses"], row["batch"] - len(row["losses"]) + 1)
    ]


def assert_ends_as(run: Run, straight: Run) -> None:
    """Train to the same checkpoints (parameters, buffers, optimizer, losses), final weights and metric rows."""
    assert train(run) == "finished"
    assert run.epochs_saved() == straight.epochs_saved()
    for epoch in straight.epochs_saved():
        assert same(load(run.checkpoint_path(epoch)), load(straight.checkpoint_path(epoch))), f"epoch {epoch} differs"
    assert same(load(run.weights_path), load(straight.weights_path))
    assert batch_losses(run) == batch_losses(straight)
    assert same(epoch_rows(run), epoch_rows(straight))
    assert not run.partial_path.exists()


def interrupt(run: Run, should_stop: Callable[[], bool]) -> None:
    with pytest.raises(KilledError):
        train(run, should_stop)


@pytest.fixture(scope="module")
def straight(module_store: RunStore) -> Run:
    run = new_run(module_store, **{**SETTINGS, "epochs": 3})
    assert train(run) == "finished"
    return run


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in COVERING]
)
def covered(request: pytest.FixtureRequest, module_store: RunStore) -> Run:
    run = new_run(module_store, **{**SETTINGS, **COVERING[request.param]})
    assert run.record.config.batches_per_epoch == BATCHES
    assert train(run) == "finished"
    return run


def again(store: RunStore, straight: Run, **changes: Any) -> Run:
    return new_run(store, **{**straight.record.config.model_dump(), **changes})


def test_stopped_in_each_epoch_and_continued_ends_in_the_same_bits(store: RunStore, covered: Run) -> None:
    run = again(store, covered)
    assert train(run, After(3)) == "stopped"
    assert train(run, After(BATCHES + 1)) == "stopped"
    assert run.status.epoch == 1
    assert_ends_as(run, covered)


def test_killed_in_each_epoch_and_continued_ends_in_the_same_bits(store: RunStore, covered: Run) -> None:
    run = again(store, covered)
    interrupt(run, killed_after(3))
    interrupt(run, killed_after(BATCHES + 4))
    assert run.epochs_saved() == [0]
    assert_ends_as(run, covered)


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    if isinstance(tree, dict | list | tuple):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors(value)


def test_saved_tensors_are_contiguous_whatever_the_layout_they_were_trained_in(covered: Run) -> None:
    for path in (covered.checkpoint_path(1), covered.weights_path):
        found = list(tensors(load(path)))
        assert found
        assert all(tensor.is_contiguous() for tensor in found)


def test_stopped_after_every_single_batch_ends_in_the_same_bits(store: RunStore, straight: Run) -> None:
    run = again(store, straight)
    stops = 0
    while train(run, After(2)) == "stopped":
        stops += 1
        assert stops < 100
    assert stops > 2 * BATCHES
    assert_ends_as(run, straight)


def test_stopped_then_killed_in_the_same_epoch_goes_on_from_the_stop(store: RunStore, straight: Run) -> None:
    train(run := again(store, straight), After(3))
    position, status = load(run.partial_path)["position"], run.status
    assert (position["epoch"], position["batch"]) == (status.epoch, status.batch) == (0, 2)
    assert (status.images_per_second or 0) > 0
    interrupt(run, killed_after(3))
    assert_ends_as(run, straight)


@pytest.mark.parametrize(("stop_at", "names"), [(1, []), (BATCHES + 1, ["0", "0.json"])])
def test_stop_before_an_epoch_needs_no_position(store: RunStore, straight: Run, stop_at: int, names: list[str]) -> None:
    run = again(store, straight)
    assert train(run, After(stop_at)) == "stopped"
    assert sorted(path.name for path in run.checkpoint_folder.iterdir()) == names
    assert_ends_as(run, straight)


@pytest.mark.parametrize("epochs", [[], [2]])
def test_killed_before_the_last_files_makes_them(store: RunStore, straight: Run, epochs: list[int]) -> None:
    """As a kill leaves it before the final files, or between writing an epoch's row and saving its checkpoint."""
    run = copied(straight, store)
    for path in (*map(run.checkpoint_path, epochs), run.weights_path, run.model_path):
        run.remove_saved(path)
    assert_ends_as(run, straight)
    assert run.is_whole(run.model_path)


def test_finished_run_trained_again_changes_nothing(store: RunStore, straight: Run) -> None:
    run = copied(straight, store)
    before = {path: path.read_bytes() for path in run.checkpoint_folder.iterdir()}
    train(run)
    assert {path: path.read_bytes() for path in run.checkpoint_folder.iterdir()} == before


Damage = Callable[[Path], None]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def spoil_facts(path: Path) -> None:
    Run.info_path(path).write_text('{"format": "check')


def unlist(path: Path) -> None:
    """As a kill leaves it while it is written, inside the epoch after."""
    Run.info_path(path).unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, spoil_facts, unlist, Path.unlink])
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(store: RunStore, straight: Run, damage: Damage) -> None:
    run = again(store, straight)
    interrupt(run, killed_after(2 * BATCHES + 3))
    assert run.epochs_saved() == [0, 1]
    damage(run.checkpoint_path(1))
    assert_ends_as(run, straight)
    assert all(run.is_whole(run.checkpoint_path(epoch)) for epoch in run.epochs_saved())


@pytest.mark.parametrize("damage", [flip_a_bit, spoil_facts])
def test_damaged_position_falls_back_to_the_checkpoint(store: RunStore, straight: Run, damage: Damage) -> None:
    train(run := again(store, straight), After(BATCHES + 4))
    damage(run.partial_path)
    assert_ends_as(run, straight)


def test_all_checkpoints_damaged_begins_again(store: RunStore, straight: Run) -> None:
    run = again(store, straight)
    interrupt(run, killed_after(BATCHES + 3))
    truncate(run.checkpoint_path(0))
    assert_ends_as(run, straight)


def test_position_of_an_epoch_that_is_saved_is_not_used(store: RunStore, straight: Run) -> None:
    """As a kill leaves it between saving the checkpoint and deleting the position."""
    train(run := again(store, straight), After(3))
    partial, facts = run.partial_path.read_bytes(), run.info_path(run.partial_path).read_bytes()
    interrupt(run, killed_after(BATCHES))
    assert run.epochs_saved() == [0]
    written = run.checkpoint_path(0).stat().st_mtime_ns
    run.partial_path.write_bytes(partial)
    run.info_path(run.partial_path).write_bytes(facts)
    assert_ends_as(run, straight)
    assert run.checkpoint_path(0).stat().st_mtime_ns == written, "it trained that epoch again"


def test_rows_of_lost_batches_are_written_once(store: RunStore, straight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no clock decides the end: losses are read from the device at each batch here, else a few times a second."""
    monkeypatch.setattr("fashion_core.training.reporting.REPORT_SECONDS", 0.0)
    run = again(store, straight)
    interrupt(run, killed_after(BATCHES + 4))
    assert batch_losses(run)[-1][:2] == (1, 2)
    assert_ends_as(run, straight)


def test_facts_rows_and_checkpoints_agree(straight: Run) -> None:
    assert [straight.is_whole(file) for file in straight.saved_files()] == [True] * 5
    for epoch, row in enumerate(epoch_rows(straight)):
        facts, content = straight.file_info(straight.checkpoint_path(epoch)), load(straight.checkpoint_path(epoch))
        assert facts is not None
        assert (facts.epoch, facts.loss, facts.accuracy) == (epoch, row["loss"], row["accuracy"])
        assert (content["epoch"], content["loss"]) == (epoch, row["loss"])
        assert {"model_state_dict", "optimizer_state_dict"} <= set(content)  # the tutorial's other two keys


def test_training_loss_is_the_mean_over_the_epochs_images(straight: Run) -> None:
    sizes = [64, 64, 64, 64, 44]
    for epoch, row in enumerate(epoch_rows(straight)):
        losses = [loss for at, _, loss in batch_losses(straight) if at == epoch]
        mean = sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / 300
        assert row["train_loss"] == pytest.approx(mean, rel=1e-5)


def plain_losses(run: Run) -> list[float]:
    """The losses of the batches of the first epoch in plain PyTorch: the tutorial's loop over the same images."""
    settings = run.record.config
    model, loss_fn = build_model(settings.model, settings.seed), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    images, losses = data.load(settings.dataset)[0].first(settings.train_images), []
    torch.manual_seed(data.seed_of_epoch(settings.seed, 0))  # for dropout
    generator = torch.Generator().manual_seed(data.seed_of_epoch(settings.seed, 0))
    order = torch.randperm(len(images), generator=generator)
    for places in torch.split(order, settings.batch_size):
        loss = loss_fn(model(images.pixels[places] / 255), images.labels[places])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("model", "images"), [("mlp", 2_000), pytest.param("cnn", 3 * 64, marks=pytest.mark.slow)], ids=["mlp", "cnn"]
)
def test_each_loss_is_that_of_the_plain_loop_within_rounding(store: RunStore, model: str, images: int) -> None:
    """A product rounded to bfloat16 would differ in the fourth digit; so would an image or a step out of place.

    The CNN's pooling makes another choice where two values are as good as equal: its later losses would show that.
    """
    train(run := new_run(store, model=model, train_images=images, epochs=1, learning_rate=0.01))
    found = [loss for _, _, loss in batch_losses(run)]
    assert len(found) == math.ceil(images / 64)
    assert found == pytest.approx(plain_losses(run), rel=1e-5)


def test_another_seed_ends_elsewhere(store: RunStore, straight: Run) -> None:
    train(run := again(store, straight, seed=6))
    assert not same(load(run.weights_path), load(straight.weights_path))


def test_longer_run_with_a_constant_rate_begins_with_the_same_epochs(store: RunStore, straight: Run) -> None:
    train(run := again(store, straight, epochs=1))
    first, whole = load(run.checkpoint_path(0)), load(straight.checkpoint_path(0))
    assert same(first["model_state_dict"], whole["model_state_dict"])


def test_cosine_brings_the_learning_rate_down_to_nothing(store: RunStore) -> None:
    train(run := new_run(store, **SETTINGS, schedule="cosine", learning_rate=0.1))
    rates = [load(run.checkpoint_path(epoch))["optimizer_state_dict"]["param_groups"][0]["lr"] for epoch in (0, 1)]
    expected = [0.05 * (1 + math.cos(math.pi * step / 10)) for step in (4, 9)]
    assert rates == pytest.approx(expected)


@pytest.mark.slow
def test_settings_that_take_all_images_use_them(store: RunStore) -> None:
    train(run := new_run(store, train_images=0, epochs=1, batch_size=6_000))
    assert [batch for _, batch, _ in batch_losses(run)] == [0, 1]


# The option -I below: a Python that sees neither this working folder nor PYTHONPATH.
FOREIGN = """
import importlib.util, sys, torch
assert importlib.util.find_spec("fashion_core") is None, "this Python can import the package"
for path in sys.argv[1:]:
    print(path, sorted(torch.load(path, weights_only=True))[:4])
"""


@pytest.mark.slow
def test_checkpoints_load_where_the_package_can_not_be_imported(store: RunStore, straight: Run, tmp_path: Path) -> None:
    train(stopped := again(store, straight), After(BATCHES + 4))
    files = [*(straight.checkpoint_path(epoch) for epoch in range(3)), straight.weights_path, stopped.partial_path]
    done = python(FOREIGN, "-I", cwd=tmp_path, arguments=tuple(map(str, files)))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(files)


TEN_LINES = """
import gzip, sys, numpy as np, torch
raw, checkpoint = sys.argv[1:]
pixels = np.frombuffer(gzip.open(raw + "/t10k-images-idx3-ubyte.gz").read(), np.uint8, offset=16).copy()
labels = np.frombuffer(gzip.open(raw + "/t10k-labels-idx1-ubyte.gz").read(), np.uint8, offset=8).copy()
images, labels = torch.from_numpy(pixels).view(-1, 784) / 255, torch.from_numpy(labels).long()
layers = torch.nn.Sequential(torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU(),
                             torch.nn.Linear(512, 10))
content = torch.load(checkpoint, weights_only=True)
layers.load_state_dict({key.removeprefix("linear_relu_stack."): v for key, v in content["model_state_dict"].items()})
print(content["loss"], torch.nn.functional.cross_entropy(layers(images), labels).item())
"""


def test_loss_of_a_checkpoint_is_what_ten_lines_of_plain_pytorch_measure(
    store: RunStore, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    run = new_run(store, dataset="fashion-mnist", train_images=6_400, epochs=1, learning_rate=0.05)
    train_and_measure(run)
    raw = real_data / "FashionMNIST" / "raw"
    if not (raw / "t10k-images-idx3-ubyte.gz").exists():
        pytest.skip(f"the packed official files are not in {raw}")
    done = python(TEN_LINES, "-I", cwd=tmp_path, arguments=(str(raw), str(run.checkpoint_path(0))))
    assert done.returncode == 0, done.stderr
    stored, measured = map(float, done.stdout.split())
    assert stored == pytest.approx(measured, rel=1e-6)
    assert stored < 2.2


@pytest.mark.slow
def test_whole_model_loads_as_the_class_it_is(straight: Run) -> None:
    """In a Python that can import this package: the file names our class, not one of ``__main__``."""
    done = python(
        "import torch\nfrom torch import nn\nfrom fashion_core.models import NeuralNetwork\n"
        f"weights = torch.load({str(straight.weights_path)!r}, weights_only=True)\n"
        "with torch.serialization.safe_globals([NeuralNetwork, nn.Flatten, nn.Sequential, nn.Linear, nn.ReLU]):\n"
        f"    model = torch.load({str(straight.model_path)!r}, weights_only=True)\n"
        "assert type(model) is NeuralNetwork and not model.training\n"
        "state = model.state_dict()\n"
        "assert all(torch.equal(state[key], weights[key]) for key in weights)"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_training_imports_neither_torchvision_nor_the_compiler(store: RunStore) -> None:
    """Each takes most of a second in which somebody waits for the first row."""
    runs = [new_run(store, **SETTINGS, optimizer=optimizer) for optimizer in ("sgd", "adam", "adamw")]
    done = python(
        "import sys\nfrom fashion_core.runs.store import RunStore\nfrom fashion_core.training.trainer import Trainer\n"
        "for run in RunStore().runs():\n    Trainer(run, lambda: False).train()\n"
        "found = {'torchvision', 'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)\n"
        "assert not found, found"
    )
    assert done.returncode == 0, done.stderr
    assert [run.epochs_saved() for run in runs] == [[0, 1]] * 3


def test_diverging_loss_is_named_with_its_place(store: RunStore) -> None:
    run = new_run(store, **SETTINGS, learning_rate=1e9)
    with pytest.raises(DivergedError) as caught:
        train(run)
    said = re.match(r"the loss became (nan|inf) at epoch 0, batch (\d): start again", str(caught.value))
    assert said
    assert run.epochs_saved() == []
    assert [batch for _, batch, _ in batch_losses(run)] == list(range(int(said[2])))


def test_diverging_test_loss_is_named_as_such(store: RunStore) -> None:
    run = new_run(store, train_images=64, epochs=1, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"^the test loss became (nan|inf) at epoch 0: start again"):
        train(run)
    assert [batch for _, batch, _ in batch_losses(run)] == [0]


def test_divergence_keeps_the_last_good_checkpoint(store: RunStore, straight: Run) -> None:
    train(run := again(store, straight), After(BATCHES + 1))
    change_json(run.record_path, config={**run.record.config.model_dump(mode="json"), "learning_rate": 1e9})
    with pytest.raises(DivergedError, match="at epoch 1, batch"):
        train(run)
    assert run.epochs_saved() == [0]
    assert run.is_whole(run.checkpoint_path(0))
    assert same(load(run.checkpoint_path(0))["model_state_dict"], load(straight.checkpoint_path(0))["model_state_dict"])


@pytest.mark.parametrize("megabytes", [2, 4, 6, 8, 10, 12])
def test_full_disk_keeps_what_was_saved_and_goes_on(straight: Run, tmp_path: Path, megabytes: int) -> None:
    """A checkpoint takes 2.7 MB: with so much room it ends at the first, the second … or at a final file."""
    with small_disk(tmp_path / "disk", megabytes * 1024) as disk:
        run = again(RunStore(disk), straight)
        with pytest.raises(DiskError, match="the disk is full; free some space there and try again"):
            train(run)
        assert all(run.is_whole(run.checkpoint_path(epoch)) for epoch in run.epochs_saved())
        assert not list(run.path.rglob(".tmp-*"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert_ends_as(run, straight)


def test_keep_best_and_last_leaves_those_two(store: RunStore) -> None:
    train(run := new_run(store, **{**SETTINGS, "epochs": 5}, learning_rate=0.3, keep="best and last"))
    losses = {row["epoch"]: row["loss"] for row in epoch_rows(run)}
    best = min(losses, key=lambda epoch: losses[epoch])
    assert best != 4, "these settings no longer have their best epoch before the last: choose others"
    assert run.epochs_saved() == [best, 4]


def test_checkpoint_that_a_run_was_resumed_from_is_kept(store: RunStore, straight: Run) -> None:
    train(run := again(store, straight, keep="last"), After(BATCHES + 1))
    store.create(config(), run.record.environment, Parent(run=run.id, epoch=0))
    train(run)
    assert run.epochs_saved() == [0, 2]


@pytest.mark.parametrize("stop_at", [BATCHES + 3, 2 * BATCHES + 1])
def test_keeping_only_the_last_still_goes_on_exactly(store: RunStore, straight: Run, stop_at: int) -> None:
    run = again(store, straight, keep="last")
    interrupt(run, killed_after(stop_at))
    train(run)
    assert sorted(path.name for path in run.checkpoint_folder.iterdir()) == ["2", "2.json"]
    last, expected = (load(one.checkpoint_path(2)) for one in (run, straight))
    assert same({**last, "config": None}, {**expected, "config": None})


def test_equality_helper_can_fail(straight: Run) -> None:
    content, again, changed = (load(straight.checkpoint_path(0)) for _ in range(3))
    next(iter(changed["model_state_dict"].values())).view(torch.int32).view(-1)[0] ^= 1
    assert same(content, again)
    assert not same(content, changed)


@pytest.mark.parametrize("keep", ["last", "best and last"])
def test_damaged_newest_checkpoint_does_not_push_out_the_whole_ones(store: RunStore, keep: str) -> None:
    run = new_run(store, **{**SETTINGS, "epochs": 3, "keep": keep})
    assert train(run) == "finished"
    truncate(run.checkpoint_path(2))
    assert train(run, After(BATCHES + 3)) == "stopped"
    assert run.epochs_saved() == [0]
    assert run.is_whole(run.checkpoint_path(0))
    assert train(run) == "finished"
    assert run.is_whole(run.checkpoint_path(2))
