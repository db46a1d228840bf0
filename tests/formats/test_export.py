"""Any checkpoint in any of the five formats."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fashion_core import files
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError
from fashion_core.formats import export
from fashion_core.formats.import_file import import_file
from fashion_core.formats.load import load
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, printed
from tests.support.files import flip_a_bit
from tests.support.runs import trained


@pytest.fixture(scope="module")
def run(module_store: RunStore) -> Run:
    return trained(module_store, epochs=2, optimizer="adam")


def assert_equal(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_every_format_brings_back_the_same_numbers_and_a_program_tells_no_path(run: Run, tmp_path: Path) -> None:
    expected = torch.load(run.checkpoint_path(1), weights_only=True)["model_state_dict"]
    for format in EXPORT_NAMES:
        digest = export.export(run, 1, format, tmp_path / format)
        assert files.digest_of(tmp_path / format) == digest
        back = load(tmp_path / format).model.state_dict()
        assert list(back) == list(expected)
        assert_equal(back, expected)
    assert_equal(safetensors.torch.load_file(tmp_path / "safetensors"), expected)
    assert (tmp_path / "checkpoint").read_bytes() == run.checkpoint_path(1).read_bytes()
    program = (tmp_path / "pt2").read_bytes()
    assert not any(path in program for path in (b"site-packages", b".py"))


def test_what_can_not_be_exported_is_one_sentence_and_leaves_everything(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="has no checkpoint of epoch 9"):
        export.export(run, 9, "weights", tmp_path / "w")
    with pytest.raises(DiskError, match="can't be used"):
        export.export(run, 0, "weights", tmp_path / "no" / "w.pth")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(DiskError, match="exists already; choose another name"):
        export.export(run, 1, "weights", tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"


def test_damaged_checkpoint_is_refused(store: RunStore, tmp_path: Path) -> None:
    run = trained(store, epochs=1)
    flip_a_bit(run.checkpoint_path(0))
    with pytest.raises(DamagedFileError, match="is not the one that was recorded"):
        export.export(run, 0, "checkpoint", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_comparison_measures_each_format_on_the_same_images(run: Run) -> None:
    answer = export.compare_formats(run, 1)
    assert (answer["images"], answer["what"]) == (256, "test images")
    rows = {row["format"]: row for row in answer["formats"]}
    assert list(rows) == list(EXPORT_NAMES)
    assert {format: row["difference"] for format, row in rows.items()} == dict.fromkeys(EXPORT_NAMES, 0.0)
    assert rows["checkpoint"]["bytes"] > 2.9 * rows["weights"]["bytes"]
    assert all(row["save_seconds"] > 0 and row["load_seconds"] > 0 for row in rows.values())


def test_comparison_without_the_dataset_says_so(store: RunStore, run: Run, tmp_path: Path, capsys: Capture) -> None:
    theirs = tmp_path / "w.pth"
    export.export(run, 1, "weights", theirs)
    imported = import_file(store, theirs, "w.pth", {"dataset": "fashion-mnist"})
    answer = json.loads(printed(capsys, "formats", imported.id, 0, "--json")[0])
    assert answer["what"] == "random pixels"


def test_commands_tell_what_they_do(run: Run, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(run.path.parent))
    out = tmp_path / "w.pth"
    command = ["export", run.id, "1", "--format", "weights", out]
    record = json.loads(printed(capsys, *command, "--json")[0])
    assert (record["path"], record["sha256"]) == (str(out), files.digest_of(out).sha256)
    seen = json.loads(printed(capsys, "inspect", out, "--json")[0])
    assert (seen["format"], seen["model"], seen["sha256"]) == ("weights", "mlp", record["sha256"])
    assert printed(capsys, *command, status=1)[1].count("\n") == 1
