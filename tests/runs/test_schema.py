"""The JSON records of a run folder: people may edit them, earlier versions wrote them, and damage is one sentence."""

import json
from pathlib import Path

import pytest

from fashion_core.data.description import BUILT_IN, DIGESTS
from fashion_core.errors import DamagedFileError
from fashion_core.runs import metrics
from fashion_core.runs.run import run_record
from fashion_core.runs.schema import FileVerification, Labels, Parent, Verification, read_record
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import Verified, verify
from tests.support.runs import epoch_row, new_run, save_file

OLD = """{
  "run": "20260101-000000-000-0000",
  "epoch": 3,
  "crc32": "%s"
}
"""
"""As earlier versions wrote a record."""
OLD_ROW = (
    '{"kind": "epoch", "epoch": 0, "loss": 1.0, "accuracy": 1.0, "train_loss": 1.0, "seconds": 1.0, '
    '"samples_per_second": 1.0, "crc32": 123456789}\n'
)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000], ids=lambda content: repr(content[:9])
)
def test_what_is_no_json_object_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"{path} is damaged: it is not"):
        read_record(path, Parent)


@pytest.mark.parametrize("edit", [str, lambda text: text.replace("  ", "    "), lambda text: " ".join(text.split())])
def test_record_of_an_earlier_version_is_read_however_people_changed_it(tmp_path: Path, edit: type[str]) -> None:
    """Its checksum is not compared."""
    (tmp_path / "file").write_text(edit(OLD % "0badc0de"))
    assert read_record(tmp_path / "file", Parent) == Parent(run="20260101-000000-000-0000", epoch=3)


@pytest.mark.parametrize("dataset", DIGESTS)
def test_run_records_its_images_and_one_that_does_not_is_of_those_of_that_time(
    store: RunStore, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(store, dataset=dataset)
    fields = json.loads(run.record_path.read_text())
    assert fields["dataset_sha256"] == DIGESTS[dataset]
    assert run.record.images == dataset
    del fields["dataset_sha256"]
    run.record_path.write_text(json.dumps(fields))
    assert (run.record.images, run_record(run)["dataset_sha256"]) == (dataset, None)
    run.record.check_images()
    others = BUILT_IN[dataset].model_copy(update={"sha256": "0" * 64})
    monkeypatch.setitem(BUILT_IN, dataset, others)  # as if the name stood for others here
    assert run.record.images == f"{dataset}-{DIGESTS[dataset][:8]}"
    run.record_path.write_text(json.dumps({**fields, "dataset_sha256": "<b>" + "0" * 61}))
    with pytest.raises(DamagedFileError, match="dataset_sha256"):
        _ = run.record


def test_run_of_an_earlier_version_opens_and_is_verified(store: RunStore) -> None:
    run = new_run(store)
    save_file(run, run.checkpoint_path(0), content=b"")
    run.write_verification(Verification(files={"model_save/0": FileVerification(sha256=EMPTY, reason=None)}))
    for path in run.path.rglob("*.json"):
        path.write_text(path.read_text().removesuffix("\n}\n") + ',\n  "crc32": "0badc0de"\n}\n')
    run.metrics_path.write_text(OLD_ROW)
    assert [epoch["loss"] for epoch in run_record(store.get(run.id))["epochs"]] == [1.0]
    assert list(verify([run])) == [Verified(run.id, "model_save/0", None)]
    metrics.rewind(run.metrics_path, 1, 0)
    assert metrics.read_rows(run.metrics_path) == [epoch_row(0)]
    run.write_labels(Labels(name="renamed"))
    assert run.title == "renamed"
    assert b"crc32" not in run.labels_path.read_bytes() + run.metrics_path.read_bytes()
