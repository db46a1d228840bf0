"""Adding as a whole: bounds, progress, stopping, killing; what is kept is whole, what is not leaves nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fashion_core.config import DATASET_LABELS
from fashion_core.data import adding, report
from fashion_core.data.adding import AddRequest
from fashion_core.data.description import describe, folder_of, names
from fashion_core.errors import DataError, DiskError
from tests.support.processes import ROOT
from tests.support.sources import add, both_sides, class_folders, labels, noise, npz, write

BUILT_IN = list(DATASET_LABELS)


def left(root: Path) -> list[str]:
    """What lies in a data folder that is no lock."""
    return sorted(path.name for path in root.iterdir() if path.name != ".datasets.lock")


def test_what_is_added_is_listed_and_described(tmp_path: Path, data_root: Path) -> None:
    kept = add(both_sides(tmp_path / "pets"), label=" Our pets ", fit="crop")
    assert names() == [*BUILT_IN, "mine"]
    assert describe("mine").label == "Our pets"
    assert describe("mine").fit == "crop"
    assert report.read("mine") == kept.report
    assert left(data_root) == ["mine"]


def test_preview_reports_the_same_and_keeps_nothing(tmp_path: Path, data_root: Path) -> None:
    root = both_sides(tmp_path / "pets")
    with adding.prepared(str(root), AddRequest("mine")) as ready:
        found = ready.report
    assert left(data_root) == []
    assert found == add(root).report


def test_prepared_dataset_can_be_looked_at_and_then_kept(tmp_path: Path, data_root: Path) -> None:
    with adding.prepared(str(both_sides(tmp_path / "pets")), AddRequest("mine")) as ready:
        seen = np.load(ready.folder / "train_images.npy", mmap_mode="r")
        assert seen.shape == (12, 1, 28, 28)
        assert names() == BUILT_IN
        ready.keep()
        assert names() == [*BUILT_IN, "mine"]
    assert left(data_root) == ["mine"]


def test_name_that_somebody_took_meanwhile_is_refused(tmp_path: Path, data_root: Path) -> None:
    root = both_sides(tmp_path / "pets")
    with adding.prepared(str(root), AddRequest("mine")) as ready:
        first = add(root)
        with pytest.raises(DataError, match="There is a dataset mine already"):
            ready.keep()
    assert describe("mine") == first.description
    assert left(data_root) == ["mine"]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (AddRequest("synthetic"), "synthetic is a dataset that comes with the app: choose another name."),
        (AddRequest("../evil"), "The name '../evil' is not possible: use at most 40 small letters and digits"),
        (AddRequest("Shoes"), "The name 'Shoes' is not possible"),
        (AddRequest("shoes\n"), "is not possible"),
        (AddRequest("a" * 41), "is not possible"),
        (AddRequest(""), "The name '' is not possible"),
        (AddRequest("taken"), "There is a dataset taken already: choose another name, or `data remove taken` first."),
        (AddRequest("a", label="a\nb"), "The label should be one line of at most 80 printable characters"),
        (AddRequest("a", label="x" * 81), "The label should be one line"),
        (AddRequest("a", size=7), "The size 7 is not possible: choose 8 to 256 pixels."),
        (AddRequest("a", size=0), "The size 0 is not possible"),
        (AddRequest("a", size=257), "The size 257 is not possible"),
        (AddRequest("a", channels=4), "Images can't have 4 channels: choose 1, grey, or 3, colour."),
        (AddRequest("a", fit="tile"), "Images can't be made to fit by tile: choose one of pad, crop, stretch."),  # type: ignore[arg-type]
    ],
)
def test_request_that_can_not_be_met_is_refused_at_once(data_root: Path, request_: AddRequest, sentence: str) -> None:
    (data_root / "taken").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        adding.add("/nowhere", request_)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "There is no nowhere here: give a folder or zip of class folders, .* names mnist, kmnist"),
        ("a\nb", "There is no a�b here"),
        ("x" * 5000, "There is no x|can't be used: its name is too long"),
        ("/dev/null", "/dev/null is a device or a pipe, which may never end"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x begins with a user that this computer does not know"),
        ("notes.txt", "notes.txt is not a dataset that is read here: give a folder or zip"),
    ],
)
def test_source_that_is_none_is_one_sentence(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    write(tmp_path / "notes.txt", b"hello")
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataError, DiskError), match=sentence):
        add(source)
    assert left(data_root) == []


def test_more_pixels_than_a_device_should_hold_are_refused_at_once(tmp_path: Path, data_root: Path) -> None:
    path = npz(tmp_path / "big.npz", images=np.zeros((22_000, 8, 8), np.uint8), labels=labels(22_000, 2))
    sentence = r"^22,000 images of 256 × 256 × 3 would take 4\.0 GiB, .*, because a dataset is kept on the device"
    with pytest.raises(DataError, match=sentence):
        add(path, size=256, channels=3)
    assert left(data_root) == []


def test_progress_counts_to_the_end(tmp_path: Path, data_root: Path) -> None:
    seen: list[tuple[int, int]] = []
    adding.add(str(class_folders(tmp_path / "a", {"cat": 200, "dog": 100}, size=(8, 8))), AddRequest("mine"),
               lambda done, total: seen.append((done, total)))  # fmt: skip
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == (300, 300)


def test_failure_in_the_middle_leaves_nothing(tmp_path: Path, data_root: Path) -> None:
    def progress(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adding.add(str(both_sides(tmp_path / "pets")), AddRequest("mine"), progress)
    assert left(data_root) == []


CHILD = """
import os, signal, sys
from fashion_core.data import adding
from fashion_core.data.adding import AddRequest, arrays

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

source, request, moment = sys.argv[1], AddRequest("mine"), sys.argv[2]
if moment == "reading":
    adding.add(source, request, die)
elif moment == "writing":
    arrays._count = die  # after each piece that is written for good
    adding.add(source, request)
elif moment == "before it has its name":
    with adding.prepared(source, request):
        die()
"""


@pytest.mark.parametrize("moment", ["reading", "writing", "before it has its name"])
def test_killed_adding_leaves_nothing_that_counts_and_the_next_one_sweeps_it(
    tmp_path: Path, data_root: Path, moment: str
) -> None:
    root = both_sides(tmp_path / "pets")
    done = subprocess.run([sys.executable, "-c", CHILD, str(root), moment], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert names() == BUILT_IN
    (leftover,) = left(data_root)
    assert leftover.startswith(".tmp-dataset-")
    add(root)
    assert left(data_root) == ["mine"]


def test_sweeping_leaves_what_another_process_works_on(tmp_path: Path, data_root: Path) -> None:
    root = both_sides(tmp_path / "pets")
    waiting = "def die(*_):\n    print('here', flush=True)\n    sys.stdin.read()\n\ndef unused():"
    code = CHILD.replace("def die(*_):", waiting)
    command = [sys.executable, "-c", code, str(root), "reading"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == "here\n"
        adding.add(str(root), AddRequest("first"))
        assert other.poll() is None
        other.stdin.close()
        assert other.wait(60) == 0
    assert names() == [*BUILT_IN, "first", "mine"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_can_not_be_written_is_one_sentence(tmp_path: Path, data_root: Path) -> None:
    data_root.mkdir(mode=0o500)
    with pytest.raises(DiskError, match="this user has no permission there"):
        add(both_sides(tmp_path / "pets"))


def test_file_where_the_data_folder_should_be_is_one_sentence(tmp_path: Path, data_root: Path) -> None:
    write(data_root, b"")
    with pytest.raises(DiskError, match=r"there is a file where a folder is needed|a part of that path is a file"):
        add(both_sides(tmp_path / "pets"))


def test_memory_stays_bounded_however_many_images(tmp_path: Path, data_root: Path) -> None:
    """The pixels of these are 79 MB."""
    path = npz(tmp_path / "big.npz", images=np.tile(noise(10, 0, (256, 256)), (120, 1, 1)), labels=labels(1200, 3))
    code = "import sys\nfrom fashion_core.data import adding\nfrom fashion_core.data.adding import AddRequest\n"
    code += "adding.add(sys.argv[1], AddRequest(sys.argv[2]))\n"
    code += "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"

    def most(source: Path, name: str) -> int:
        command = [sys.executable, "-c", code, str(source), name]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)

    few = npz(tmp_path / "few.npz", images=noise(60, 0, (256, 256)), labels=labels(60, 3))
    assert most(path, "big") - most(few, "few") < 40 * 1024  # KiB


def test_removed_dataset_is_gone(tmp_path: Path, data_root: Path) -> None:
    add(both_sides(tmp_path / "pets"))
    adding.remove("mine")
    assert names() == BUILT_IN
    assert left(data_root) == []


@pytest.mark.parametrize("name", ["synthetic", "fashion-mnist", "FashionMNIST", "nothing", "..", ".", "", "/", "other"])
def test_only_what_was_added_can_be_removed(data_root: Path, name: str) -> None:
    write(data_root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz", b"x")
    write(data_root / "other" / "a.png", b"x")
    write(data_root.parent / "dataset.json", b"{}")
    write(data_root / "dataset.json", b"{}")
    with pytest.raises(DataError, match=r"can't be removed|There is no dataset .* that was added"):
        adding.remove(name)
    assert left(data_root) == ["FashionMNIST", "dataset.json", "other"]


@pytest.mark.parametrize("name", ["My shoes", ".mine", "mine\n", "x" * 41])
def test_folder_that_no_dataset_could_be_called_is_neither_listed_nor_removed(data_root: Path, name: str) -> None:
    write(data_root / name / "dataset.json", b"{}")
    assert names() == BUILT_IN
    with pytest.raises(DataError, match=r"There is no dataset .* that was added"):
        adding.remove(name)
    assert left(data_root) == [name]


def test_linked_dataset_is_not_removed(tmp_path: Path, data_root: Path) -> None:
    write(tmp_path / "elsewhere" / "dataset.json", b"{}")
    data_root.mkdir()
    folder_of("mine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="There is no dataset mine that was added"):
        adding.remove("mine")


def test_damaged_dataset_can_be_removed(tmp_path: Path, data_root: Path) -> None:
    add(both_sides(tmp_path / "pets"))
    (folder_of("mine") / "dataset.json").write_bytes(b"hello")
    adding.remove("mine")
    assert left(data_root) == []
