"""Adding a dataset in a process of its own, as the Train page does."""

from pathlib import Path

import numpy as np
import pytest

from fashion_core.access import audit, gate
from fashion_core.data.description import describe, folder_of
from fashion_core.data.request import AddRequest
from fashion_core.errors import DataError
from fashion_core.runs.store import RunStore
from fashion_core.ui.data import child
from tests.support.sources import npz


@pytest.fixture
def many(tmp_path: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A set of 900 classes: what is said of it is longer than a pipe holds."""
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "data"))
    pixels = np.random.default_rng(0).integers(0, 256, (1800, 32, 32, 3), np.uint8)
    labels = np.arange(1800) % 900
    arrays = {"train_images": pixels, "train_labels": labels, "test_images": pixels[:900], "test_labels": labels[:900]}
    return str(npz(tmp_path / "many.npz", **arrays))


def test_preview_shows_samples_and_keeps_nothing_and_adding_is_noted_once(many: str, store: RunStore) -> None:
    seen: list[tuple[int, int]] = []
    found = child.preview(many, AddRequest("many"), lambda done, total: seen.append((done, total)))
    assert (len(found.report.counts), len(found.samples)) == (900, 24)
    assert found.samples[0][1].startswith("data:image/png;base64,")
    assert seen[-1] == (2700, 2700)
    assert not folder_of("many").exists()
    added = gate.from_command_line(store).add_dataset(many, AddRequest("many"), lambda done, total: None, child.add)
    assert (added.description, added.counts) == (describe("many"), found.report.counts)
    assert [entry.what for entry in audit.read(store.root)] == ["add data"]


def test_what_is_wrong_is_said_as_the_command_says_it(many: str, store: RunStore) -> None:
    with pytest.raises(DataError, match=r"^The name 'No Name' is not possible: use at most 40 small letters"):
        child.add(many, AddRequest("No Name"), lambda done, total: None)
    with pytest.raises(DataError, match="There is no /nowhere here"):
        child.preview("/nowhere", AddRequest("many"), lambda done, total: None)


def test_an_upload_is_told_by_the_name_that_it_had(many: str, tmp_path: Path, store: RunStore) -> None:
    upload = Path(many).rename(tmp_path / "upload.npz")
    found = child.add(str(upload), AddRequest("many", called="our *photos*.npz"), lambda done, total: None)
    assert found.description.source == describe("many").source == "the arrays of our *photos*.npz"
    upload.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"^our \*photos\*\.npz is damaged or no zip file"):
        child.preview(str(upload), AddRequest("more", called="our *photos*.npz"), lambda done, total: None)


def test_process_is_ended_by_whoever_no_longer_waits(many: str, store: RunStore) -> None:
    def leave(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.add(many, AddRequest("many"), leave)
    assert not folder_of("many").exists()
