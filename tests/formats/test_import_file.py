"""Files from outside as runs of their own."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fashion_core import files
from fashion_core.errors import ConfigError, RefusedFileError
from fashion_core.formats import export
from fashion_core.formats.import_file import import_file
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.formats.untrusted.read import PROGRAM_METADATA
from fashion_core.inference.engine import trained_on
from fashion_core.models import build_model
from fashion_core.resume import plan, verdict
from fashion_core.resume.plan import ResumeRequest
from fashion_core.resume.reasons import texts
from fashion_core.runs.run import Run, run_record
from fashion_core.runs.schema import ExportFormat, Source
from fashion_core.runs.store import RunStore
from tests.hostile.building import four_keys
from tests.support.commands import Capture, printed
from tests.support.runs import After, new_run, train, trained


@pytest.fixture(scope="module")
def own(module_store: RunStore) -> Run:
    return trained(module_store, epochs=2, optimizer="adam", batch_size=50, seed=7)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = build_model("cnn", seed=3)
    path = tmp_path / "theirs.pth"
    torch.save(four_keys(model, torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)), path)
    return path


def test_imported_run_has_one_checkpoint_the_tutorials_with_the_same_numbers(store: RunStore, checkpoint: Path) -> None:
    theirs = torch.load(checkpoint, weights_only=True)
    run = import_file(store, checkpoint, "theirs.pth", {})
    assert (run.state(), run.epochs_saved()) == ("imported", [4])
    facts = run.file_info(run.checkpoint_path(4))
    assert facts is not None
    assert (facts.loss, facts.epoch, facts.why) == (0.5, 4, "import")
    (epoch,) = run_record(run)["epochs"]
    assert (epoch["epoch"], epoch["loss"], epoch["accuracy"], epoch["seconds"]) == (4, 0.5, None, None)
    ours = torch.load(run.checkpoint_path(4), weights_only=True)
    assert set(ours) == {"epoch", "model_state_dict", "optimizer_state_dict", "loss"}
    for name, tensor in theirs["model_state_dict"].items():
        assert torch.equal(ours["model_state_dict"][name], tensor)
    for index, slot in theirs["optimizer_state_dict"]["state"].items():
        assert all(torch.equal(slot[key], ours["optimizer_state_dict"]["state"][index][key]) for key in slot)
    assert run.original_path.read_bytes() == checkpoint.read_bytes()
    sha256 = files.digest_of(checkpoint).sha256
    assert run.record.source == Source(name="theirs.pth", format="checkpoint", sha256=sha256)
    assert run.is_whole(run.original_path)


def test_settings_come_from_the_optimizer_in_the_file_and_given_ones_win(store: RunStore, checkpoint: Path) -> None:
    given = {"pixels": "raw", "dataset": "fashion-mnist"}
    config = import_file(store, checkpoint, "theirs.pth", given).record.config
    assert (config.model, config.optimizer, config.learning_rate, config.weight_decay) == ("cnn", "adamw", 0.01, 0.1)
    assert (config.epochs, config.pixels, config.dataset) == (5, "raw", "fashion-mnist")


def test_weights_alone_count_as_epoch_0_and_the_notes_say_what_is_missing(store: RunStore, tmp_path: Path) -> None:
    torch.save(build_model("mlp", seed=0).state_dict(), tmp_path / "w.pth")
    run = import_file(store, tmp_path / "w.pth", "w.pth", {})
    assert run.epochs_saved() == [0]
    assert run.labels.notes == (
        "The file carries no optimizer: resuming starts a fresh one. The file gives no usable epoch number, "
        "so it counts as epoch 0. "
        "The file does not say what it was trained on: assumed dataset synthetic and pixels unit."
    )


@pytest.mark.parametrize("options", [None, {"nesterov": True}, {"maximize": True}, {"dampening": 0.1}], ids=str)
def test_another_optimizer_is_told_in_the_notes(
    store: RunStore, tmp_path: Path, options: dict[str, Any] | None
) -> None:
    parameters = (model := build_model("mlp", seed=0)).parameters()
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9) if options else torch.optim.RMSprop(parameters)
    optimizer.param_groups[0].update(options or {})
    torch.save(four_keys(model, optimizer), tmp_path / "r.pth")
    run = import_file(store, tmp_path / "r.pth", "r.pth", {})
    assert "resuming starts a fresh optimizer" in run.labels.notes
    assert torch.load(run.checkpoint_path(4), weights_only=True)["optimizer_state_dict"] is None
    assert verdict.inspect_checkpoint(run, 4).kind == "weights only"


def test_adam_that_may_be_adamw_is_said_in_the_notes(store: RunStore, tmp_path: Path) -> None:
    model = build_model("mlp", seed=0)
    content = four_keys(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1))
    del content["optimizer_state_dict"]["param_groups"][0]["decoupled_weight_decay"]
    torch.save(content, tmp_path / "a.pth")
    run = import_file(store, tmp_path / "a.pth", "a.pth", {"dataset": "synthetic", "pixels": "unit"})
    assert run.labels.notes == "Its optimizer is Adam or AdamW, and the file does not say which: it counts as Adam."


def test_momentum_in_another_memory_order_is_the_same_momentum(store: RunStore, tmp_path: Path) -> None:
    model = build_model("mlp", seed=0)
    content = four_keys(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    torch.save(content, tmp_path / "plain")
    slot = content["optimizer_state_dict"]["state"][0]
    slot["momentum_buffer"] = slot["momentum_buffer"].t().contiguous().t()
    torch.save(content, tmp_path / "turned")
    weights = []
    for name in ("plain", "turned"):
        parent = import_file(store, tmp_path / name, name, {})
        assert (parent.record.config.optimizer, parent.record.config.momentum) == ("sgd", 0.9)
        (child,) = plan.create(store, parent, [ResumeRequest(4, 1, {"train_images": 300, "threads": 1})])
        assert train(child) == "finished"
        weights.append(torch.load(child.weights_path, weights_only=True))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_own_checkpoint_of_another_machine_is_judged_by_what_it_says(store: RunStore, own: Run, tmp_path: Path) -> None:
    content = torch.load(own.checkpoint_path(0), weights_only=True)
    content["environment"] |= {"torch": "1.13", "device": "cuda:0"}
    torch.save(content, tmp_path / "c.pth")
    back = import_file(store, tmp_path / "c.pth", "c.pth", {})
    (planned,) = plan.plan_runs(back, [ResumeRequest(0, 1, {})])
    assert planned.verdict.kind == "approximate"
    assert "torch 1.13 → " in " ".join(texts(planned.verdict.reasons))
    assert "device cuda:0 → cpu: rounding differs" in texts(planned.verdict.reasons)


def test_settings_that_contradict_the_file_are_one_sentence(store: RunStore, own: Run) -> None:
    with pytest.raises(ConfigError, match="The file says that its pixels was unit: leave that as it is, not raw"):
        import_file(store, own.checkpoint_path(0), "c.pth", {"pixels": "raw"})
    with pytest.raises(ConfigError, match="Pixels should be"):
        import_file(store, own.checkpoint_path(0), "c.pth", {"pixels": "foo"})
    assert store.runs() == []


def test_position_inside_an_epoch_is_known_and_never_counts_as_a_finished_one(store: RunStore) -> None:
    run = new_run(store, epochs=2)
    train(run, After(run.record.config.batches_per_epoch + 4))
    path, facts = run.partial_path, run.file_info(run.partial_path)
    assert facts is not None
    assert (facts.format, facts.epoch, facts.loss, facts.accuracy) == ("partial", 1, None, None)
    assert torch.load(path, weights_only=True)["loss"] is not None
    for found in (inspect(path), load(path)):
        assert (found.format, found.epoch, found.loss) == ("partial", 1, None)
    found = inspect(path)
    assert (found.refusal, found.verdict) == (None, "weights only")
    assert found.missing == ("end of epoch",)
    with pytest.raises(RefusedFileError, match="it was saved inside epoch 1, and only its own run can finish that"):
        import_file(store, path, "partial", {})
    assert len(store.runs()) == 1


def test_own_checkpoint_comes_back_with_its_settings(store: RunStore, own: Run, tmp_path: Path) -> None:
    export.export(own, 0, "checkpoint", tmp_path / "c.pth")
    back = import_file(store, tmp_path / "c.pth", "c.pth", {})
    assert back.record.config == own.record.config.model_copy(update={"name": "c.pth"})
    content = torch.load(back.checkpoint_path(0), weights_only=True)
    assert content["config"]["seed"] == 7
    first, facts = (one.file_info(one.checkpoint_path(0)) for one in (own, back))
    assert first is not None
    assert facts is not None
    assert (facts.loss, facts.accuracy) == (first.loss, first.accuracy)


@pytest.mark.parametrize("format", ["safetensors", "pt2"])
def test_export_without_settings_comes_back_with_what_it_was_trained_on(
    store: RunStore, tmp_path: Path, format: ExportFormat
) -> None:
    export.export(trained(store, epochs=2, pixels="standard"), 1, format, tmp_path / "file")
    assert inspect(tmp_path / "file").trained_on == {"dataset": "synthetic", "pixels": "standard"}
    back = import_file(store, tmp_path / "file", "file", {})
    assert (back.record.config.pixels, back.epochs_saved()) == ("standard", [1])
    assert "assumed" not in back.labels.notes
    with pytest.raises(ConfigError, match="The file says that its pixels was standard"):
        import_file(store, tmp_path / "file", "file", {"pixels": "raw"})


@pytest.mark.parametrize("format", ["safetensors", "pt2"])
def test_what_was_assumed_on_import_is_not_exported_as_known(
    store: RunStore, checkpoint: Path, tmp_path: Path, format: ExportFormat
) -> None:
    run = import_file(store, checkpoint, "theirs.pth", {})
    export.export(run, 4, format, tmp_path / "file")
    assert inspect(tmp_path / "file").trained_on == {}
    assert trained_on(run.checkpoint_path(4), load(run.checkpoint_path(4))) == {}
    said = {"dataset": "fashion-mnist", "pixels": "raw"}
    run = import_file(store, checkpoint, "theirs.pth", said)
    export.export(run, 4, format, tmp_path / "said")
    assert inspect(tmp_path / "said").trained_on == said


def test_dataset_that_is_not_known_here_counts_as_not_said(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(export.as_program(build_model("mlp", seed=0), {"dataset": "theirs", "epoch": "x"}))
    back = import_file(store, tmp_path / "file", "file", {})
    assert "assumed dataset synthetic and pixels unit" in back.labels.notes


@pytest.mark.parametrize("metadata", ["{", "[]", '{"epoch": 3}', f'{{"a": "{"x" * 2_200_000}"}}'], ids=len)
def test_metadata_of_a_program_that_this_app_did_not_write_is_refused(
    tmp_path: Path, metadata: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.export.save
    extra = {PROGRAM_METADATA: metadata}
    monkeypatch.setattr(torch.export, "save", lambda program, buffer, **_: save(program, buffer, extra_files=extra))
    (tmp_path / "file").write_bytes(export.as_program(build_model("mlp", seed=0), {"epoch": "3"}))
    with pytest.raises(RefusedFileError, match=r"description|metadata|bytes"):
        load(tmp_path / "file")


def test_refused_file_and_a_bad_setting_leave_nothing(store: RunStore, checkpoint: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(RefusedFileError, match="those of none of mlp, cnn and resnet18: it has weight 3"):
        import_file(store, tmp_path / "other.pth", "other.pth", {})
    torch.save({**torch.load(checkpoint, weights_only=True), "epoch": 20_000}, tmp_path / "e")
    with pytest.raises(RefusedFileError, match="its settings can't be used here: Epochs should be"):
        import_file(store, tmp_path / "e", "e", {})
    with pytest.raises(ConfigError):
        import_file(store, checkpoint, "theirs.pth", {"pixels": "purple"})
    assert not store.root.exists() or list(store.root.iterdir()) == []


@pytest.mark.parametrize("name", ["../../evil\n\x1b[31m.pth", "x" * 300, "", "/", "a\u202eb.pth"])
def test_name_of_the_file_is_only_shown(store: RunStore, checkpoint: Path, name: str) -> None:
    run = import_file(store, checkpoint, name, {})
    assert run.path.parent == store.root
    assert run.labels.name.isprintable()
    assert 0 < len(run.labels.name) <= 80


def test_command_prints_the_record_of_the_run(store: RunStore, checkpoint: Path, capsys: Capture) -> None:
    record = json.loads(printed(capsys, "import", checkpoint, "--pixels", "raw", "--json")[0])
    assert (record["state"], record["name"], record["source"]["format"]) == ("imported", "theirs.pth", "checkpoint")
    assert record["notes"].endswith("what it was trained on: assumed dataset synthetic.")


def test_command_says_where_the_run_is_and_what_was_assumed(store: RunStore, checkpoint: Path, capsys: Capture) -> None:
    said, _ = printed(capsys, "import", checkpoint, "--dataset", "synthetic", "--pixels", "unit")
    (run,) = store.runs()
    assert said == f"run {run.id} in {run.path}: cnn at epoch 4\n"
    said, _ = printed(capsys, "import", checkpoint)
    (second,) = [other for other in store.runs() if other.id != run.id]
    assert said.splitlines()[1:] == [second.labels.notes]
    assert "dataset synthetic" in second.labels.notes


def test_command_refuses_with_one_sentence(store: RunStore, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "text").write_text("no model")
    said = "fashion_core: The file is refused: it is a text; it holds no weights; choose the model file.\n"
    assert printed(capsys, "import", tmp_path / "text", status=1)[1] == said
