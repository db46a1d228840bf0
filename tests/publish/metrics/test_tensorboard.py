"""TensorBoard's files, read back by TensorBoard's own reader."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from fashion_core.errors import ConfigError, DamagedFileError, DiskError
from fashion_core.publish.metrics import rows, tensorboard
from fashion_core.runs.store import RunStore
from tests.publish.metrics.conftest import Family
from tests.support.runs import copied


def read_back(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return found


@pytest.fixture(scope="module")
def folders(family: Family, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tensorboard.write(family.store, [family.parent, family.child], tmp_path_factory.mktemp("tensorboard"))


def test_reader_sees_every_number_with_its_step_and_time(family: Family, folders: list[Path]) -> None:
    for run, folder in zip((family.parent, family.child), folders, strict=True):
        found, points = read_back(folder), [*rows.points(rows.read(family.store, run))]
        tags = {point.tag for point in points}
        assert {*found.Tags()["scalars"]} == tags
        for tag in tags:
            expected = [(p.step, p.time, np.float32(p.value)) for p in points if p.tag == tag]
            assert [(e.step, e.wall_time, np.float32(e.value)) for e in found.Scalars(tag)] == expected


def test_curves_of_a_resumed_run_begin_where_its_checkpoint_was(folders: list[Path]) -> None:
    parent, child = (read_back(folder).Scalars("step/train_loss") for folder in folders)
    at_checkpoint = [event.step for event in read_back(folders[0]).Scalars("step/test_loss")][1]
    assert child[0].step == at_checkpoint + 1
    assert [event.step for event in parent] == [*range(1, 16)]


def test_settings_are_what_the_page_of_hyperparameters_reads(family: Family, folders: list[Path]) -> None:
    def content(run: int, tag: str) -> Any:
        return read_back(folders[run]).SummaryMetadata(tag).plugin_data.content

    names = []
    for run in (0, 1):
        experiment = metadata.parse_experiment_plugin_data(content(run, metadata.EXPERIMENT_TAG))
        assert [one.name.tag for one in experiment.metric_infos] == [*tensorboard.RESULTS]
        names.append([one.name for one in experiment.hparam_infos])
    assert names[0] == names[1], "the page takes the names from one of them"
    started = metadata.parse_session_start_info_plugin_data(content(1, metadata.SESSION_START_INFO_TAG)).hparams
    assert started["batch_size"].number_value == 50
    assert started["schedule"].string_value == "cosine"
    assert started["parent"].string_value == f"epoch 1 of {family.parent.id}"


def test_folder_is_named_for_the_run_and_safe(family: Family, folders: list[Path]) -> None:
    assert folders[0].name == f"{family.parent.id} first-one"


def test_run_that_is_there_already_is_refused_and_nothing_changes(family: Family, tmp_path: Path) -> None:
    tensorboard.write(family.store, [family.parent], tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DiskError, match=f"holds run {family.parent.id} already; choose another folder"):
        tensorboard.write(family.store, [family.child, family.parent], tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_left_if_one_of_them_can_not_be_read(family: Family, store: RunStore, tmp_path: Path) -> None:
    runs = [copied(family.parent, store), copied(family.child, store)]
    runs[1].record_path.write_text("{")
    with pytest.raises(DamagedFileError):
        tensorboard.write(store, runs, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []


def test_missing_library_is_one_sentence_that_says_what_to_install(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'tensorboardX>=2.6,<3'\."):
        tensorboard.write(family.store, [family.parent], tmp_path)
