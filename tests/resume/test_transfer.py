"""Onto other classes, another dataset or another model: what is kept is what PyTorch keeps; what is frozen stays so."""

import itertools
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core.config import Shape
from fashion_core.data.description import describe
from fashion_core.errors import ConfigError, DamagedFileError
from fashion_core.formats import export
from fashion_core.formats.import_file import import_file
from fashion_core.formats.inspect import inspect
from fashion_core.models import build_model
from fashion_core.resume import bitwise, comparison, drill, plan, reasons, tables
from fashion_core.resume.labels import short_label
from fashion_core.resume.plan import Plan, ResumeRequest
from fashion_core.resume.transfer import layers_of
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change, Resumption
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, answered, printed, refused
from tests.support.datasets import COLOUR, add_dataset, data_folder
from tests.support.exact import KilledError, epoch_rows, killed_after, load, same
from tests.support.files import change_json, flip_a_bit
from tests.support.processes import wait_until, worker_is_gone
from tests.support.runs import After, config, copied, finish, new_run, train

HEADS = {"mlp": "linear_relu_stack.4.", "cnn": "classifier.4.", "resnet18": "fc."}
DATASETS = {
    "shoes": COLOUR,
    "hats": Shape(3, 32, 32, 7),
    "wide": Shape(3, 24, 40, 5),  # of the same classes as shoes
    "stamps": Shape(1, 28, 28, 10),  # as Fashion-MNIST, but of other classes
    "coins": Shape(1, 28, 28, 5),
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01, "weight_decay": 0.1},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "adam": {"optimizer": "adam", "precision": "bf16", "augmentation": "flip and shift", "weight_decay": 0.1},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Path:
    with data_folder(shutil.copytree(synthetic_data, tmp_path_factory.mktemp("transfer") / "data")) as folder:
        for name, shape in DATASETS.items():
            add_dataset(name, shape)
    return folder


@pytest.fixture(autouse=True)
def data_here(store: RunStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_DATA", str(data))


def by_torch(before: nn.Module, after: nn.Module) -> dict[str, str]:
    """What plain PyTorch says to the checkpoint's state_dict: in its error, then in what it reports as missing."""
    theirs, mismatched = before.state_dict(), set()
    try:
        after.load_state_dict(theirs, strict=False)
    except RuntimeError as error:
        mismatched = set(re.findall(r"size mismatch for (\S+):", str(error)))
    fitting = {name: tensor for name, tensor in theirs.items() if name not in mismatched}
    missing, unexpected = after.load_state_dict(fitting, strict=False)
    kept = dict.fromkeys(fitting.keys() - {*unexpected}, "kept")
    return {**kept, **dict.fromkeys(missing, "new"), **dict.fromkeys(unexpected, "left behind")}


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")  # nothing of it has numbers
@pytest.mark.parametrize("models", [*itertools.product(HEADS, HEADS)], ids="-".join)
def test_layers_are_what_pytorch_says_for_each_pair_of_models_and_shapes(
    store: RunStore, models: tuple[str, str]
) -> None:
    names = ("synthetic", *DATASETS)
    runs = {name: new_run(store, model=models[0], dataset=name, train_images=120) for name in names}
    for before, after in itertools.permutations(names, 2):
        run, asked = runs[before], config(model=models[1], dataset=after, train_images=120)
        one, other = describe(before), describe(after)
        with torch.device("meta"):
            built = build_model(models[0], 0, one.shape), build_model(models[1], 0, other.shape)
        expected = by_torch(*built)
        if "kept" not in expected.values():
            with pytest.raises(ConfigError, match=f"Nothing of the checkpoint's {models[0]} fits {models[1]} for"):
                layers_of(run.record, asked)
            continue
        if one.classes != other.classes:
            expected.update({name: "new" for name in expected if name.startswith(HEADS[models[1]])})
        layers = layers_of(run.record, asked)
        assert layers is not None
        assert {row.name: row.fate for row in layers.rows} == expected
        for row in layers.rows:
            shapes = [
                tuple(state[row.name].shape) if row.name in (state := one.state_dict()) else None for one in built
            ]
            assert [row.before, row.after] == shapes
            assert (row.why is None) == (row.fate == "kept")


def test_classes_of_other_names_have_a_new_head_though_it_would_fit(store: RunStore) -> None:
    layers = layers_of(new_run(store).record, config(dataset="stamps", train_images=120))
    assert layers is not None
    assert [(row.name[-8:], row.why) for row in layers.rows if row.fate == "new"] == [
        ("4.weight", "classes"),
        ("k.4.bias", "classes"),
    ]
    assert reasons.texts([layers.told]) == ["4 of 6 tensors are kept, 2 are new: linear_relu_stack.4"]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "adamw")) for name in OPTIMIZERS]
)
def cnn(request: pytest.FixtureRequest, module_store: RunStore, data: Path) -> Run:
    """Trained on 32 × 32 colour images of 5 classes; with batch norm and dropout."""
    with data_folder(data):
        settings = {**OPTIMIZERS[request.param], "model": "cnn", "dataset": "shoes", "batch_size": 64, "epochs": 1}
        return finish(new_run(module_store, **settings, train_images=200))


def planned(run: Run, freeze: bool | None = None, epoch: int = 0, **overrides: Any) -> Plan:
    (found,) = plan.plan_runs(run, [ResumeRequest(epoch, 2, overrides, freeze=freeze)])
    return found


def resumed(store: RunStore, run: Run, freeze: bool | None = None, epoch: int = 0, **overrides: Any) -> Run:
    return plan.create(store, run, [ResumeRequest(epoch, 2, overrides, freeze=freeze)])[0]


def told(run: Run) -> Resumption:
    assert run.record.resumption is not None
    return run.record.resumption


def weights(run: Run, epoch: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load(run.checkpoint_path(epoch))["model_state_dict"]
    return found


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not same(before[name], after[name])}


def learned(run: Run, epoch: int) -> set[str]:
    """The parameters of a CNN for which its optimizer keeps a state."""
    names = [name for name, _ in build_model("cnn", 0).named_parameters()]
    return {names[index] for index in load(run.checkpoint_path(epoch))["optimizer_state_dict"]["state"]}


def test_frozen_layers_are_the_checkpoints_to_the_last_bit_and_all_others_are_trained(
    store: RunStore, cnn: Run
) -> None:
    parent = copied(cnn, store)
    child = resumed(store, parent, freeze=True, dataset="hats")
    head = {"classifier.4.weight", "classifier.4.bias"}
    assert {*child.record.frozen} == weights(parent, 0).keys() - head
    train(child)
    before, after = weights(parent, 0), weights(child, 2)
    assert moved(before, after) == head
    assert moved(weights(child, 1), after) == head
    assert learned(child, 2) == head
    assert child.load_check is not None
    assert (child.load_check.comparable, child.load_check.optimizer) == (False, "fresh")
    assert told(child).changes["frozen"] == Change(before=0, after=14)


def test_without_freezing_all_layers_are_trained_from_what_was_kept(store: RunStore, cnn: Run) -> None:
    parent = copied(cnn, store)
    child = resumed(store, parent, dataset="hats")
    assert child.record.frozen == ()
    with pytest.raises(KilledError):
        train(child, killed_after(1))  # before the first batch
    train(child)
    counters = {name for name in weights(parent, 0) if name.endswith("num_batches_tracked")}
    assert moved(weights(child, 1), weights(child, 2)) == weights(child, 2).keys()
    assert all(weights(child, 1)[name] == weights(parent, 0)[name] + 4 for name in counters)


@pytest.fixture
def straight(store: RunStore, cnn: Run) -> Run:
    """Transferred and frozen, and trained without an interruption."""
    return finish(resumed(store, copied(cnn, store), freeze=True, dataset="hats"))


def assert_same_end(run: Run, straight: Run) -> None:
    ours, theirs = (load(one.checkpoint_path(2)) for one in (run, straight))
    assert ours["frozen"] == theirs["frozen"]
    for key in ("model_state_dict", "optimizer_state_dict", "loss"):
        assert same(ours[key], theirs[key]), key
    measured = [[row[key] for key in ("loss", "train_loss")] for row in epoch_rows(run)]
    assert measured == [[row[key] for key in ("loss", "train_loss")] for row in epoch_rows(straight)][-len(measured) :]


def test_frozen_run_that_was_stopped_or_killed_ends_in_the_same_bits(store: RunStore, straight: Run) -> None:
    for end in (After(3), killed_after(3)):
        child = store.create(straight.record.config, straight.record.environment, straight.record.parent,
                             resumption=straight.record.resumption, frozen=straight.record.frozen)  # fmt: skip
        with suppress(KilledError):
            assert train(child, end) == "stopped"
        assert train(child) == "finished"
        assert_same_end(child, straight)


def test_resume_of_a_frozen_run_freezes_the_same_layers_and_is_exact(store: RunStore, straight: Run) -> None:
    found = planned(straight, epoch=1)
    assert (found.verdict.kind, found.verdict.reasons, found.layers) == ("exact", (), None)
    (child,) = plan.create(store, straight, [ResumeRequest(1, 1, {})])
    assert child.record.frozen == straight.record.frozen
    train(child)
    assert_same_end(child, straight)
    assert bitwise.check_bitwise(child, straight).kind == "identical"


def test_layers_that_were_frozen_can_be_trained_too_which_is_approximate_and_said(
    store: RunStore, straight: Run
) -> None:
    found = planned(straight, freeze=False, epoch=2)
    count = len(straight.record.frozen)
    why = f"{count} of {count + 2} tensors were frozen and are trained too; the optimizer begins anew with them"
    assert (found.verdict.kind, reasons.texts(found.verdict.reasons)) == ("approximate", [why])
    child = resumed(store, straight, freeze=False, epoch=2)
    assert child.record.frozen == ()
    train(child)
    assert child.load_check is not None
    assert child.load_check.comparable
    (row,) = (row for row in comparison.compare(store) if row.run == child.id)
    assert (row.overrides, short_label(row.changes)) == (("frozen tensors 14 → 0",), "none frozen")
    assert moved(weights(straight, 2), weights(child, 4)) == weights(child, 4).keys()
    assert "frozen" not in load(child.checkpoint_path(4))


def test_checkpoint_of_a_frozen_run_is_exact_to_inspect_and_comes_back_as_it_was(
    store: RunStore, straight: Run, tmp_path: Path
) -> None:
    export.export(straight, 1, "checkpoint", tmp_path / "out")
    found = inspect(tmp_path / "out")
    assert (found.verdict, found.missing, found.notes) == ("exact", (), ())
    back = import_file(store, tmp_path / "out", "out", {})
    assert back.record.frozen == straight.record.frozen
    (child,) = plan.create(store, back, [ResumeRequest(1, 1, {})])
    assert told(child).verdict == "exact"
    train(child)
    assert_same_end(child, straight)


def test_twin_of_a_frozen_run_is_frozen_and_one_that_trains_all_is_no_twin(store: RunStore, straight: Run) -> None:
    store.create(straight.record.config, straight.record.environment, straight.record.parent,
                 resumption=straight.record.resumption)  # fmt: skip
    assert drill.twin(store, straight) is None
    made = drill.start_twin(store, straight)
    assert made is not None
    assert made.record.frozen == straight.record.frozen


@pytest.fixture
def parent(store: RunStore, module_store: RunStore) -> Run:
    return copied(_garments(module_store), store)


_made: list[Run] = []


def _garments(store: RunStore) -> Run:
    if not _made or _made[0].path.parent != store.root:
        _made[:] = [finish(new_run(store, optimizer="adam", epochs=1))]
    return _made[0]


def test_verdict_is_transfer_with_the_layers_and_what_starts_fresh(parent: Run) -> None:
    found = planned(parent, freeze=True, dataset="coins", train_images=0)
    assert found.verdict.kind == "transfer"
    assert reasons.texts(found.verdict.reasons) == [
        "dataset synthetic → coins",
        "training images 500 → 200",
        "adam starts fresh: the state in the checkpoint is one for other layers",
        "DIFFERENT DATASET: the checkpoint was trained on other images",
        "4 of 6 tensors are kept, 2 are new: linear_relu_stack.4",
        "4 of 6 tensors are frozen: training leaves them as they are",
    ]


def test_what_was_decided_is_written_down(store: RunStore, parent: Run) -> None:
    child = resumed(store, parent, freeze=True, dataset="coins", train_images=0)
    transfer = told(child).transfer
    assert transfer is not None
    new = ("linear_relu_stack.4.weight", "linear_relu_stack.4.bias")
    assert (transfer.kept, transfer.new, transfer.left, transfer.same_parameters) == (4, new, (), False)
    assert told(child).verdict == "transfer"
    assert child.record.frozen == tuple(name for name in child.record.frozen if name not in new)
    assert len(child.record.frozen) == 4


def test_damaged_checkpoint_stays_damaged(store: RunStore, parent: Run) -> None:
    flip_a_bit(parent.checkpoint_path(0))
    assert planned(parent, freeze=True, model="cnn").verdict.kind == "damaged"
    with pytest.raises(DamagedFileError, match="is damaged"):
        resumed(store, parent, dataset="coins", train_images=0)
    assert store.ids() == [parent.id]


def test_run_of_a_version_without_freezing_reads_as_it_was(parent: Run) -> None:
    change_json(parent.record_path, frozen=...)
    assert parent.record.frozen == ()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["nobody.weight"], "it names frozen tensors that its model does not have"),
        (["../../etc"], "it names frozen tensors that its model does not have"),
    ],
)
def test_frozen_names_of_no_tensor_are_damage_before_a_resume_and_before_training(
    store: RunStore, parent: Run, names: list[str], sentence: str
) -> None:
    change_json(parent.record_path, frozen=names)
    for press in (lambda: resumed(store, parent), lambda: train(parent)):
        with pytest.raises(DamagedFileError, match=sentence):
            press()
    assert store.ids() == [parent.id]


@pytest.mark.parametrize("names", [[1], ["a\nb"], [""], ["a" * 201], ["a", "a"], "a", {"a": 1}])
def test_record_with_frozen_names_that_are_none_is_damaged(parent: Run, names: object) -> None:
    change_json(parent.record_path, frozen=names)
    with pytest.raises(DamagedFileError, match="is damaged"):
        _ = parent.record


def test_record_that_freezes_everything_is_damaged_when_it_would_train(store: RunStore, parent: Run) -> None:
    change_json(parent.record_path, frozen=list(build_model("mlp", 0).state_dict()))
    with pytest.raises(DamagedFileError, match="nothing would be trained"):
        train(parent)


@pytest.mark.parametrize("changes", [{"kept": 3}, {"new": []}, {"new": ["linear_relu_stack.4.weight"]}])
def test_transfer_whose_record_does_not_fit_its_checkpoint_ends_in_one_sentence(
    store: RunStore, parent: Run, changes: dict[str, Any]
) -> None:
    child = resumed(store, parent, dataset="coins", train_images=0)
    transfer = {**told(child).model_dump(mode="json")["transfer"], **changes}
    change_json(child.record_path, resumption={**told(child).model_dump(mode="json"), "transfer": transfer})
    with pytest.raises(DamagedFileError, match="its layers are not those that its run names"):
        train(child)


def test_transfer_is_compared_in_the_group_of_its_dataset_never_with_the_old_loss(store: RunStore, parent: Run) -> None:
    child = finish(resumed(store, parent, dataset="coins", train_images=0))
    (row,) = comparison.compare(store)
    assert (row.dataset, row.verdict, row.transferred) == (child.record.images, "transfer", True)
    assert row.check.loss_last is not None
    assert row.loss_last == row.check.loss_check != row.check.loss_last
    assert row.now(True) is not None
    assert str(comparison.as_record(row)["answer"]).endswith(", not counted")
    assert bitwise.check_bitwise(child, parent).kind == "none"
    dots, _ = tables.part_frames(tables.lineage_parts(store), 0)
    assert dots[dots["run"] == child.id]["label"].iloc[-1].startswith("transfer: on coins")


def test_command_line_prints_the_layers_before_it_starts_and_show_what_was_kept(
    store: RunStore, parent: Run, capsys: Capture
) -> None:
    asked = ("resume", parent.id, "0", "--dataset", "coins", "--freeze", "--no-start")
    lines = printed(capsys, *asked)[0].splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["tensor", "linear_relu_stack.0.weight"]
    assert [lines[1].split()[1:4], lines[6].split()[1:8]] == [
        ["■", "kept,", "frozen"],
        ["◆", "new:", "it", "has", "another", "shape", "(10,)"],
    ]
    assert lines[7].startswith("from epoch 0: transfer; dataset synthetic → coins; ")
    record = answered(capsys, *asked)
    assert [row["fate"] for row in record["layers"]] == ["kept"] * 4 + ["new"] * 2
    assert [row["name"] for row in record["layers"] if row["frozen"]] == record["frozen"]
    assert record["layers"][5]["checkpoint"] == [10]
    told = printed(capsys, "show", record["id"])[0].splitlines()
    assert told[1].endswith(", transfer")
    assert told[2] == "  tensors: 4 kept, 2 new, 0 left behind"
    assert told[3] == "  frozen: 4 tensors, which training leaves as they are"


def test_what_can_not_be_frozen_is_one_sentence(store: RunStore, parent: Run, capsys: Capture) -> None:
    nothing_kept = refused(capsys, "resume", parent.id, "0", "--model", "cnn", "--freeze")
    assert nothing_kept.startswith("Nothing of the checkpoint's mlp fits cnn")
    assert store.ids() == [parent.id]


TEAM = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))
        self.register_buffer("seen", torch.zeros(()))
        first = [nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)]
        self.stem = nn.Sequential(*first, *(nn.ReLU() for _ in range(6)), nn.Conv2d(8, 8, 1))  # stem.1 and stem.10
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        self.seen += self.training
        return self.head(self.stem(x * self.scale).mean((2, 3)))


class Tall(Small):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.more = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x):
        return self.head(self.more(self.stem(x * self.scale).mean((2, 3))))


MODELS = {"small": Small, "tall": Tall}
"""


@pytest.mark.slow
def test_from_one_of_a_teams_models_to_another_and_back(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heads.py").write_text(TEAM)
    monkeypatch.setenv("FASHION_MODELS", str(tmp_path / "heads.py"))
    small = finish(new_run(store, model="small", dataset="coins", train_images=200, optimizer="adam", epochs=1))
    tall = finish(resumed(store, small, freeze=True, model="tall"))
    stem = {name for name in weights(small, 0) if name.startswith("stem.")}
    assert {*tall.record.frozen} == stem  # without the buffers of the whole, whose own code runs on
    assert moved(weights(small, 0), weights(tall, 2)) == {"head.weight", "head.bias"}  # kept, of the same classes
    transfer = told(tall).transfer
    assert transfer is not None
    assert (transfer.new, transfer.left) == (("more.0.weight", "more.0.bias"), ())
    back = resumed(store, tall, epoch=2, model="small", dataset="stamps")
    assert {*back.record.frozen} == stem  # as its parent did
    found = layers_of(tall.record, back.record.config)
    built = build_model("tall", 0, describe("coins").shape), build_model("small", 0, describe("stamps").shape)
    assert found is not None
    assert {row.name: row.fate for row in found.rows} == by_torch(*built)
    assert found.names("left behind") == transfer.new
    train(back)
    assert moved(weights(tall, 2), weights(back, 4) | {name: weights(tall, 2)[name] for name in transfer.new}) == {
        "head.weight",
        "head.bias",
        "seen",
    }
    (row,) = (row for row in comparison.compare(store) if row.run == tall.id)
    assert (row.dataset, row.changed_dataset, row.transferred) == (tall.record.images, False, True)
    assert row.loss_last == row.check.loss_check


@pytest.mark.slow
def test_synthetic_to_fashion_mnist_to_five_classes_with_frozen_layers(
    store: RunStore, data: Path, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real workers that choose their own threads, then with two processes."""
    both = tmp_path / "both"
    both.mkdir()
    for name, path in {path.name: path for folder in (real_data, data) for path in folder.iterdir()}.items():
        (both / name).symlink_to(path)
    monkeypatch.setenv("FASHION_DATA", str(both))
    settings = {"model": "cnn", "train_images": 2_000, "epochs": 1, "threads": 0, "optimizer": "adamw"}
    parent = ended(queue.start(store, config(**settings, weight_decay=0.5)))
    garments = ended_resume(store, parent, dataset="fashion-mnist")
    five = ended_resume(store, garments, dataset="coins", train_images=200, processes=2)
    head = {"classifier.4.weight", "classifier.4.bias"}
    assert moved(weights(parent, 0), weights(garments, 1)) == moved(weights(garments, 1), weights(five, 2)) == head
    assert [told(run).verdict for run in (garments, five)] == ["transfer", "transfer"]
    assert [learned(run, epoch) for run, epoch in ((garments, 1), (five, 2))] == [head, head]
    kept = [transfer.kept for run in (garments, five) if (transfer := told(run).transfer)]
    assert kept == [len(weights(parent, 0)), len(weights(parent, 0)) - 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(data))
        rows = {row.run: row for row in comparison.compare(store)}
    assert [rows[run.id].dataset for run in (garments, five)] == ["fashion-mnist", five.record.images]


def ended(run: Run) -> Run:
    wait_until(lambda: worker_is_gone(run), "the run ends", 240)
    assert run.state() == "finished", run.log_tail(5)
    return run


def ended_resume(store: RunStore, parent: Run, **overrides: Any) -> Run:
    epoch = parent.record.config.epochs - 1
    return ended(plan.resume(store, parent, [ResumeRequest(epoch, 1, overrides, freeze=True)])[0])
