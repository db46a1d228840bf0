"""A power cut after each file operation of a run's life: whatever the disk kept, what is listed is whole."""

import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fashion_core.files import TEMPORARY_PREFIX
from fashion_core.formats import save
from fashion_core.runs import metrics
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from tests.faults.disks import Disk, Recorder, State
from tests.faults.lives import Tally, settings
from tests.faults.operations import watched
from tests.support.runs import After, never, new_run, train

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads in /proc what a descriptor stands for")


BEGINS_TO_SAVE = {f"create new {file}" for file in ("checkpoint", "partial", "model_weights.pth", "model.pth")}
"""Files are saved one at a time: when the next save begins, all before it have returned."""


def live_a_life(store: RunStore, full: bool) -> tuple[Disk, list[int], dict[str, torch.Tensor]]:
    """Create a run, train it, stop twice inside one epoch, train to the end, rename it, delete a file, delete all.

    Return what happened to the disk, the numbers of operations after which each of these had returned, and the weights.
    """
    recorder, returned = Recorder(), list[int]()
    with watched(store.root, recorder):
        run = new_run(store, **settings(full))
        returned.append(len(recorder.story))
        for should_stop in (After(11), After(3), never):
            train(run, should_stop)
            returned.append(len(recorder.story))
            run.write_status(run.status.model_copy(update={"state": "stopped"}))
        weights = torch.load(run.weights_path, weights_only=True)
        run.write_labels(Labels(name="another", notes="once more"))
        for file in (run.model_path, None):
            store.delete(run, file)
            returned.append(len(recorder.story))
    return Disk(store.root, recorder.story), returned, weights


def listed(state: State) -> dict[str, bytes]:
    """What has a file info beside it, and the record of each run, by path."""
    records = {path for path in state if path.endswith("/run.json") and TEMPORARY_PREFIX not in path}
    return {
        path: data for path, data in state.items() if data is not None and (path in records or f"{path}.json" in state)
    }


class Cuts:
    def __init__(self, disk: Disk, returned: list[int], folder: Path, most: int, sample: int) -> None:
        self.disk, self.folder, self.most, self.sample = disk, folder, most, sample
        nothing_is_saved = [at for at, (one, _) in enumerate(disk.story) if one.label(disk.root) in BEGINS_TO_SAVE]
        self.returned = [0, *returned, *nothing_is_saved]
        self.listings = [listed(disk.live(length)) for length in range(len(disk.story) + 1)]
        self.paths = sorted({path for listing in self.listings for path in listing})
        self.pool: dict[bytes, Path] = {}
        self.seen: set[object] = set()
        self.possible, self.files, self.rebuilt = 0, 0, list[State]()
        folder.mkdir()

    def try_all(self) -> None:
        for length in range(len(self.listings)):
            operation = self.disk.story[length - 1][0]  # the last one before the power fails
            if length and operation.kind == "write" and operation.path.name.startswith(TEMPORARY_PREFIX):
                continue  # half-made files are not read: it is the same as before this write
            allowed = self._allowed(length)
            for state in self.disk.after_power_cut(length, self.most, self.sample):
                self.possible += 1
                self._try(state, allowed)

    def _allowed(self, length: int) -> dict[str, frozenset[bytes | None]]:
        """What was listed at each path at some time since its folder was last synced: the old, the new or neither.

        Synced or not, a save that returned is promised: at most the epoch in progress and the current save are lost.
        """
        found, returned = {}, max(at for at in self.returned if at <= length)
        for path in self.paths:
            above = [path.rpartition("/")[0], path.partition("/")[0], ""]
            sure = min(until for folder in above if (until := self.disk.sure(folder, length)) is not None)
            since = max(sure, returned)
            found[path] = frozenset(listing.get(path) for listing in self.listings[since : length + 1])
        return found

    def _try(self, state: State, allowed: dict[str, frozenset[bytes | None]]) -> None:
        visible = frozenset((path, data) for path, data in state.items() if TEMPORARY_PREFIX not in path)
        key = visible, frozenset(allowed.items())
        if key in self.seen:
            return
        self.seen.add(key)
        self.rebuilt.append(state)
        root = self._rebuild(state)
        self._read(RunStore(root), allowed)
        shutil.rmtree(root)

    def _rebuild(self, state: State, place: Callable[[Path, Path], object] = os.link) -> Path:
        root = self.folder / f"{len(self.rebuilt)}"
        root.mkdir()
        for path, data in state.items():
            if data is None:
                (root / path).mkdir()
                continue
            if data not in self.pool:
                self.pool[data] = self.folder / f"content-{len(self.pool)}"
                self.pool[data].write_bytes(data)
            place(self.pool[data], root / path)
        return root

    def _read(self, store: RunStore, allowed: dict[str, frozenset[bytes | None]]) -> None:
        found, records = dict[str, bytes](), dict[str, bytes]()
        for run in store.runs():
            assert run.record.id == run.id
            records[run.record_path.relative_to(store.root).as_posix()] = run.record_path.read_bytes()
            assert run.labels.name in ("mlp sgd 0.001", "another")
            assert run.state() in ("queued", "stopped", "lost")
            measured = {row["epoch"] for row in metrics.read_epochs(run.metrics_path)}
            for file in run.saved_files():
                assert run.is_whole(file), f"{run.name_of(file)} is listed and damaged"
                found[file.relative_to(store.root).as_posix()] = file.read_bytes()
            for epoch in run.epochs_saved():
                assert save.load_checkpoint(run.checkpoint_path(epoch))["epoch"] == epoch
                assert epoch in measured, "a checkpoint without its row"
        self.files += len(found)
        for path, values in allowed.items():
            there = found.get(path, records.get(path))
            assert there in values, f"{path} is {'gone' if there is None else 'neither as it was nor as it became'}"

    def continue_run(self, state: State, expected: dict[str, torch.Tensor]) -> bool:
        root = self._rebuild(state, shutil.copyfile)
        runs = RunStore(root).runs()
        for run in runs:
            assert train(run) == "finished"
            weights = torch.load(run.weights_path, weights_only=True)
            assert all(torch.equal(weights[key], expected[key]) for key in expected)
        shutil.rmtree(root)
        return bool(runs)


@pytest.mark.slow
def test_power_cut_after_each_operation(store: RunStore, tmp_path: Path, tally: Tally) -> None:
    disk, returned, weights = live_a_life(store, tally.full)
    most, sample = tally.rounds(4, 12), tally.rounds(2, 200)
    cuts = Cuts(disk, returned, tmp_path / "cuts", most, sample)
    cuts.try_all()
    wanted = min(tally.rounds(6, 300), len(cuts.rebuilt))
    went_on = sum(cuts.continue_run(state, weights) for state in random.sample(cuts.rebuilt, wanted))
    tally.survived(
        f"{len(disk.story)} file operations of a life, the power cut after each: {cuts.possible:,} subsets of what "
        f"was not synced (all of up to {most} operations, else up to 2, their complements and {sample} others), "
        f"{len(cuts.rebuilt):,} states that differ, {cuts.files:,} listed files: 0 damaged, 0 wrong, 0 lost; "
        f"{went_on} of {wanted} went on to the same weights, the others had no run yet or no more"
    )
    assert went_on > wanted // 2
