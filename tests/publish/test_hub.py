"""The folder for the Hub: what is in it, and that there is all of it or none."""

import json
import re
import shlex
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open

from fashion_core import files
from fashion_core.errors import ConfigError, DamagedFileError, DataError, DiskError, RunNotFoundError
from fashion_core.formats.import_file import import_file
from fashion_core.publish import hub
from fashion_core.publish.card import escaped
from fashion_core.runs.run import epoch_records
from fashion_core.runs.store import RunStore
from tests.publish.conftest import HOSTILE, Family
from tests.support.commands import Capture, answered, printed, refused
from tests.support.files import flip_a_bit
from tests.support.runs import copied, on_other_images


@pytest.fixture(scope="module")
def folder(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a checkpoint whose recorded loss and accuracy are somebody's wish: a card tells what it measures."""
    checkpoint, out = family.child.checkpoint_path(2), tmp_path_factory.mktemp("hub") / "model"
    info = family.child.file_info(checkpoint)
    assert info is not None
    family.child.write_info(checkpoint, info.model_copy(update={"loss": 1e-9, "accuracy": 1.0}))
    hub.publish(family.store, family.child, 2, out, "apache-2.0")
    return out


def test_the_hub_reads_the_card_whatever_the_names(folder: Path, family: Family) -> None:
    data = ModelCard.load(folder / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "pytorch", "image-classification")
    assert data.model_name == f"{HOSTILE}, epoch 2"
    assert data.eval_results
    (row,) = (row for row in epoch_records(family.child) if row["epoch"] == 2)
    measured = [one.metric_value for one in data.eval_results]
    assert measured == [pytest.approx(row["accuracy"]), pytest.approx(row["loss"])]


def test_card_tells_accuracy_confusion_calibration_lineage_and_environment(folder: Path, family: Family) -> None:
    text = (folder / "README.md").read_text()
    for words in ("95% interval", "Most often mixed up", "expected calibration error", "threads: 1", "not resumed"):
        assert words in text
    (row,) = (line for line in text.splitlines() if "learning rate 0.001 → 0.0001" in line)
    assert " → " in row.rpartition("|")[0].rpartition("|")[2]
    assert f"Run `{family.child.id}`" in text


def test_names_are_text_in_the_card_and_never_markup(folder: Path) -> None:
    _, _, text = (folder / "README.md").read_text().partition("\n---\n\n")
    assert f"# {escaped(HOSTILE)}, epoch 2\n" in text
    before, _, after = text.partition("```python")
    outside = before + after.partition("```")[2]
    assert f"Python {escaped(HOSTILE)}, torch {escaped(HOSTILE)}, on {escaped(HOSTILE)} ({escaped(HOSTILE)})" in outside
    assert re.search(r"(?<!\\)<", outside) is None
    tables = [line.replace("\\|", "") for line in outside.splitlines() if line.startswith("| ")]
    rows = [line for line in tables if "→" in line or "not resumed" in line]
    assert {line.count("|") for line in rows} == {7}


def test_config_says_what_a_program_needs_and_the_weights_are_those_that_it_names(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["weights"]["sha256"] == files.digest_of(folder / "model.safetensors").sha256
    assert (config["model_type"], config["architectures"]) == ("mlp", ["NeuralNetwork"])
    assert "class NeuralNetwork(nn.Module)" in (folder / config["code"]).read_text()
    assert len(config["classes"]) == 10
    low, high = config["accuracy_interval_95"]
    assert low < config["accuracy"] < high
    assert config["loss"] > 1e-3
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        assert sum(weights.get_tensor(name).numel() for name in weights.keys()) == config["parameters"]  # noqa: SIM118


def test_pictures_of_the_charts_lie_beside_the_card_which_shows_each(folder: Path) -> None:
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert pictures == ["calibration.png", "comparison.png", "confusion.png", "losses.png"]
    text = (folder / "README.md").read_text()
    for name in pictures:
        assert f"]({name})" in text
        with Image.open(folder / name) as picture:
            assert picture.width == 1520


def test_without_a_licence_the_card_says_so_and_the_metadata_has_none(
    family: Family, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(family.store.root))
    (tmp_path / "empty").mkdir()
    found = answered(capsys, "publish", family.parent.id, 0, tmp_path / "empty")
    assert {*found["files"]} == {path.name for path in (tmp_path / "empty").iterdir()}
    assert "comparison.png" not in found["files"]
    card = ModelCard.load(tmp_path / "empty" / "README.md")
    assert card.data.license is None
    assert "**No licence is given.**" in card.text


@pytest.mark.parametrize("license", ["Apache 2.0", "MIT\nx: y", "-"])
def test_what_can_be_no_licence_of_the_hub_is_refused(family: Family, tmp_path: Path, license: str) -> None:
    with pytest.raises(ConfigError, match=r"such as apache-2\.0"):
        hub.publish(family.store, family.child, 2, tmp_path / "out", license)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_stays_as_it_is(family: Family, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "link"):
        with pytest.raises(DiskError, match="exists already and is not an empty folder"):
            hub.publish(family.store, family.child, 2, tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "mine", "precious"]


def test_what_can_not_be_published_leaves_nothing(store: RunStore, family: Family, tmp_path: Path) -> None:
    out, run = tmp_path / "out", copied(family.parent, store)
    with pytest.raises(RunNotFoundError, match="has no checkpoint of epoch 9"):
        hub.publish(store, run, 9, out)
    flip_a_bit(run.checkpoint_path(1))
    with pytest.raises(DamagedFileError):
        hub.publish(store, run, 1, out)
    with pytest.raises(DataError, match="the images of that name here are others or gone"):
        hub.publish(store, on_other_images(run), 0, out)
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_command_tells_each_file_and_how_to_upload(
    family: Family, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(family.store.root))
    folder = tmp_path / "it's; a hub"
    out, _ = printed(capsys, "publish", family.parent.id, 1, folder, "--license", "MIT")
    assert 'license: "mit"' in (folder / "README.md").read_text()
    command = out.splitlines()[-1].removeprefix("To publish it: ")
    assert shlex.split(command) == ["hf", "upload", "NAME/MODEL", str(folder), "."]
    assert "is not an empty folder" in refused(capsys, "publish", family.parent.id, "1", str(folder))


def test_card_of_an_imported_model_claims_nothing_about_its_training(
    store: RunStore, folder: Path, tmp_path: Path
) -> None:
    run = import_file(store, folder / "model.safetensors", "theirs.safetensors", {"dataset": "synthetic"})
    hub.publish(store, run, 2, tmp_path / "hub")
    text = (tmp_path / "hub" / "README.md").read_text()
    assert "none of which it was trained on" not in text
    assert "imported from theirs.safetensors" in text
    assert not (tmp_path / "hub" / "losses.png").exists()
    assert "how and where it was trained is not known here" in text
    assert not any(word in text for word in ("Optimizer", "threads: ", "begun"))
    assert "| Dataset | synthetic garments |" in text
