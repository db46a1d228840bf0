"""The commands about datasets: what they print, what they note, and how they refuse."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fashion_core.access import audit
from fashion_core.cli.main import main
from fashion_core.data.description import ARRAYS
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, answered, printed, refused
from tests.support.processes import ROOT, command_line
from tests.support.runs import new_run
from tests.support.sources import both_sides, class_folders, write


@pytest.fixture(autouse=True)
def data_root(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return both_sides(tmp_path / "pets")


def test_added_dataset_is_told_in_lines(capsys: Capture, pets: Path, data_root: Path) -> None:
    write(pets / "train" / "cat" / "x.png", b"hello")
    out, error = printed(capsys, "data", "add", pets, "--name", "pets", "--label", "Our pets", "--size", 16)
    assert error == ""
    first, *lines = out.splitlines()
    assert first == "pets: Our pets, 2 classes, 12 training and 4 test images, 16 × 16, grey"
    assert "           6         2  cat" in lines
    assert any(line.startswith("note: 1 file can't be read") and line.endswith("(train/cat/x.png)") for line in lines)
    assert lines[-1] == f"It is in {data_root / 'pets'}"


def test_added_dataset_is_one_json_document(capsys: Capture, pets: Path, data_root: Path) -> None:
    found = answered(capsys, "data", "add", pets, "--name", "pets")
    assert {key: found[key] for key in ("name", "train", "test", "classes", "path")} == {
        "name": "pets", "train": 12, "test": 4, "classes": ["cat", "dog"], "path": str(data_root / "pets"),
    }  # fmt: skip
    assert found["counts"] == [{"name": name, "train": 6, "test": 2} for name in ("cat", "dog")]
    assert [finding["kind"] for finding in found["findings"]] == ["order"]
    assert {path.name for path in (data_root / "pets").iterdir()} == {*ARRAYS, "dataset.json", "report.json"}


def test_every_flag_reaches_the_dataset(capsys: Capture, pets: Path, data_root: Path) -> None:
    flags = ("--label", "Pets", "--size", "8", "--channels", "3", "--fit", "crop")
    found = answered(capsys, "data", "add", pets, "--name", "pets", *flags)
    assert [found[key] for key in ("label", "height", "width", "channels", "fit")] == ["Pets", 8, 8, 3, "crop"]
    assert np.load(data_root / "pets" / "train_images.npy").shape == (12, 3, 8, 8)


def test_preview_keeps_nothing_and_is_no_action(capsys: Capture, store: RunStore, pets: Path, data_root: Path) -> None:
    preview = answered(capsys, "data", "add", pets, "--name", "pets", "--preview")
    assert preview["path"] is None
    assert not (data_root / "pets").exists()
    assert audit.read(store.root) == []
    assert {**answered(capsys, "data", "add", pets, "--name", "pets"), "path": None} == preview


def test_show_tells_what_add_told(capsys: Capture, pets: Path) -> None:
    told = answered(capsys, "data", "add", pets, "--name", "pets")
    assert answered(capsys, "data", "show", "pets") == told
    lines, _ = printed(capsys, "data", "show", "pets")
    assert lines.startswith("pets: pets, 2 classes, 12 training and 4 test images, 28 × 28, grey\n")


def test_built_in_datasets_are_shown_too(capsys: Capture) -> None:
    found = answered(capsys, "data", "show", "synthetic")
    assert (found["train"], found["path"], found["counts"]) == (12_000, None, [])
    lines, _ = printed(capsys, "data", "show", "fashion-mnist")
    assert "classes: T-shirt/top, Trouser" in lines


def test_list_has_a_line_for_each_and_says_what_is_damaged(capsys: Capture, pets: Path, data_root: Path) -> None:
    answered(capsys, "data", "add", pets, "--name", "pets")
    write(data_root / "broken" / "dataset.json", b"{}")
    out, _ = printed(capsys, "data", "list")
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        "synthetic", "fashion-mnist", f"{data_root / 'broken' / 'dataset.json'} is damaged", "pets",
    ]  # fmt: skip
    found = answered(capsys, "data", "list")
    assert [one["name"] for one in found] == ["synthetic", "fashion-mnist", "broken", "pets"]
    assert "is damaged" in found[2]["error"]


def test_many_classes_are_cut_in_lines_and_whole_in_json(capsys: Capture, tmp_path: Path) -> None:
    counts = {f"{half}/class {number}": 1 for half in ("train", "test") for number in range(25)}
    root = class_folders(tmp_path / "many", counts, size=(8, 8))
    out, _ = printed(capsys, "data", "add", root, "--name", "many")
    assert "  and 5 more; --json lists every one" in out.splitlines()
    assert len(answered(capsys, "data", "show", "many")["counts"]) == 25


def test_removed_dataset_makes_room_for_its_name(capsys: Capture, pets: Path) -> None:
    answered(capsys, "data", "add", pets, "--name", "pets")
    sentence = "There is a dataset pets already: choose another name, or `data remove pets` first."
    assert refused(capsys, "data", "add", str(pets), "--name", "pets") == sentence
    assert answered(capsys, "data", "remove", "pets") == {"removed": "pets", "runs": 0}
    answered(capsys, "data", "add", pets, "--name", "pets")


def test_removal_tells_how_many_runs_can_not_go_on(capsys: Capture, store: RunStore, pets: Path) -> None:
    answered(capsys, "data", "add", pets, "--name", "pets")
    new_run(store, dataset="pets", train_images=0, batch_size=1)
    lines = printed(capsys, "data", "remove", "pets")[0].splitlines()
    assert lines == [
        "pets is removed", "1 run on it stays, and can't be continued, resumed or measured without these images.",
    ]  # fmt: skip


def test_who_added_and_removed_is_noted(capsys: Capture, store: RunStore, pets: Path) -> None:
    answered(capsys, "data", "add", pets, "--name", "pets")
    answered(capsys, "data", "remove", "pets")
    refused(capsys, "data", "remove", "pets")
    lines = [(line.what, line.detail, line.outcome.partition(":")[0]) for line in audit.read(store.root)]
    assert lines == [
        ("add data", f"pets from {pets}", "done"), ("remove data", "pets", "done"), ("remove data", "pets", "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "nowhere", "--name", "pets"), "There is no nowhere here: give a folder or zip of class folders"),
        (("add", ".", "--name", "Pets"), "The name 'Pets' is not possible: use at most 40 small letters and digits"),
        (("add", ".", "--name", "synthetic"), "synthetic is a dataset that comes with the app: choose another name."),
        (("add", ".", "--name", "pets", "--size", "4"), "The size 4 is not possible: choose 8 to 256 pixels."),
        (
            ("show", "nothing"),
            "There is no dataset nothing here: choose one of synthetic, fashion-mnist, or add it (again) with "
            "`data add`.",
        ),
        (("remove", "synthetic"), "synthetic comes with the app and can't be removed; name one that was added."),
        (("remove", "../data"), "There is no dataset ../data that was added: `data list` shows those that are here."),
    ],
)
def test_refusal_is_one_line(capsys: Capture, arguments: tuple[str, ...], sentence: str) -> None:
    assert refused(capsys, "data", *arguments).startswith(sentence)


@pytest.mark.parametrize(
    "arguments",
    ["", "paint", "add", "add pets", "add --name pets", "add . --name a --channels 2", "add . --name a --fit tile",
     "add . --name a --size big", "show", "remove", "list pets"],
)  # fmt: skip
def test_wrong_usage_exits_with_two(capsys: Capture, arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", *arguments.split()])
    assert caught.value.code == 2


def test_command_as_the_shell_sees_it(pets: Path, data_root: Path) -> None:
    done = command_line("data", "add", str(pets), "--name", "pets", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["name"] == "pets"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_leaves_nothing(tmp_path: Path, data_root: Path, number: signal.Signals) -> None:
    counts = {f"{half}/{name}": 800 for half in ("train", "test") for name in "ab"}
    root = class_folders(tmp_path / "many", counts, size=(8, 8))
    command = [sys.executable, "-m", "fashion_core", "data", "add", str(root), "--name", "many", "--size", "256"]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell starts in the background
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as adding:
        while not [*data_root.glob(".tmp-dataset-*/train")]:
            assert adding.poll() is None
        adding.send_signal(number)
        _, error = adding.communicate(timeout=60)
    assert adding.returncode in (130, 128 + number)
    assert "Traceback" not in error
    assert [path.name for path in data_root.iterdir()] == [".datasets.lock"]
