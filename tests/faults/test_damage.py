"""Damage found later: whatever became of a file of the store, every page renders, and what is damaged is named."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import After, change_json, command_line, new_run, train
from streamlit.testing.v1 import AppTest
from test_jobs import set_state
from test_pages import open_page
from test_resuming import resume

from fashion_core import verify
from fashion_core.errors import FashionError
from fashion_core.imports import bring_in
from fashion_core.runs import RunStore
from fashion_core.schema import Labels

Survived = Callable[[str], None]
Rounds = Callable[[int, int], int]
PAGES = ("overview", "train", "checkpoints", "resume", "predict", "lesson")
SAY_NOTHING = ("train.log", "lock")
"""Files whose content promises nothing."""
STRANGE = "Größe 数 🧥 \u202e\0\u0301\ue000 [x](http://x) <b>"
ODD_VALUES: list[Any] = [
    None,
    -1,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 9000,
    "\ud800",
    "\0",
    [],
    {},
    [[]],
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[Path]:
    """A store with every kind of run: finished, resumed from it, stopped inside an epoch, imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(synthetic_data))
        store = RunStore(tmp_path_factory.mktemp("whole"))
        parent = new_run(store, epochs=2)
        parent.write_labels(Labels(name=STRANGE, notes=STRANGE, tags=(STRANGE,)))
        train(parent)
        set_state(parent, "finished")
        child = resume(store, parent, 0)
        train(child)
        set_state(child, "finished")
        stopped = new_run(store, epochs=2)
        assert train(stopped, After(12)) == "stopped"
        set_state(stopped, "stopped")
        imported = bring_in(store, parent.weights_path, "theirs.pth", {})
        for run in (parent, child, stopped, imported):
            run.log_path.write_text("what the worker printed\n")
        assert all(result.ok for result in verify.verify(store.runs()))
        yield store.root


@pytest.fixture
def copy(store: RunStore, whole: Path) -> RunStore:
    shutil.copytree(whole, store.root)
    return store


def flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 8])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def cut(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def fill_with_noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice([1, 100, 5000])))


def remove(path: Path, draw: random.Random) -> None:
    path.unlink()


def put_a_folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def set_odd_value(path: Path, draw: random.Random) -> None:
    """By hand, so no checksum tells."""
    if path.suffix != ".json":
        return flip(path, draw)
    value = json.loads(path.read_text())
    change_json(path, **{draw.choice(list(value)): draw.choice(ODD_VALUES)})
    return None


DAMAGES = (flip, flip, flip, cut, fill_with_noise, remove, put_a_folder, set_odd_value, set_odd_value)


def words(app: AppTest) -> str:
    shown = [*app.error, *app.warning, *app.markdown, *app.caption, *app.info]
    tables = [frame.value.to_string(max_colwidth=None) for frame in app.dataframe]
    return "\n".join([*(str(element.value) for element in shown), *tables]).replace("\\", "").replace("\u2060", "")


def damaged(store: RunStore) -> dict[str, str | None]:
    return {result.file: result.reason for result in verify.verify(store.runs()) if not result.ok}


def damage_one(store: RunStore, draw: random.Random) -> tuple[str, str, str]:
    """Damages one file of one run; gives the run's id, the file's path in it, and what was done."""
    run = draw.choice(store.runs())
    path = draw.choice(sorted(path for path in run.path.rglob("*") if path.is_file() and path.stat().st_size))
    how = draw.choice(DAMAGES)
    how(path, draw)
    return run.id, str(path.relative_to(run.path)), how.__name__


@pytest.mark.slow
def test_damaged_file_is_named_and_every_page_renders(
    whole: Path,
    store: RunStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rounds: Rounds,
    survived: Survived,
) -> None:
    count, named = rounds(8, 200), 0
    for number in range(count):
        draw = random.Random(number)
        shutil.rmtree(store.root, ignore_errors=True)
        store = RunStore(tmp_path / f"store {number}")
        monkeypatch.setenv("FASHION_RUNS", str(store.root))
        shutil.copytree(whole, store.root)
        run_id, name, how = damage_one(store, draw)
        what = f"round {number}: {how} {name}"
        found = damaged(store)
        said = "".join(render(page, run_id, what) for page in PAGES)
        if how in ("flip", "cut", "fill_with_noise", "put_a_folder") and name not in SAY_NOTHING:
            assert found, f"{what}: nobody noticed"
        for file in found.keys() - {"verified.json"}:  # verify has written it anew
            assert Path(file).name in said, f"{what}: {file} is named on no page"
        named += len(found) > 0
    pages = count * len(PAGES)
    survived(f"{count} files damaged in {len(set(DAMAGES))} ways: {pages} pages, all rendered; verify named {named}")


def render(page: str, run_id: str, what: str) -> str:
    try:
        return words(open_page(page, run=run_id))
    except Exception as error:
        error.add_note(f"{what}: {page}?run={run_id}")
        raise


def test_run_of_a_later_version_is_one_row_among_others(copy: RunStore) -> None:
    run = copy.runs()[0]
    change_json(run.record_path, version=99, precision_policy={"kind": "fp4"})
    for page in PAGES:
        assert not open_page(page, run=run.id).exception
    assert "is not a setting of this version" in words(open_page("train", run=run.id))
    assert "run.json" in damaged(copy)


@pytest.mark.parametrize(
    "name",
    ["run.json", "labels.json", "status.json", "metrics.jsonl", "model_save", "model_save/0", "model_save/0.json"],
)
def test_symbolic_link_is_refused(copy: RunStore, tmp_path: Path, name: str) -> None:
    run = copy.runs()[-1]
    outside = tmp_path / "outside"
    (run.path / name).rename(outside)
    (run.path / name).symlink_to(outside)
    with pytest.raises(FashionError, match="is a symbolic link"):
        copy.get(run.id)
    for page in PAGES:
        open_page(page)
    for page in ("train", "checkpoints", "resume"):
        assert "is a symbolic link" in words(open_page(page, run=run.id))
    assert "is a symbolic link" in command_line("verify").stdout


def test_run_folder_that_is_a_symbolic_link_is_no_run(copy: RunStore, tmp_path: Path) -> None:
    run = copy.runs()[0]
    run.path.rename(tmp_path / run.id)
    run.path.symlink_to(tmp_path / run.id)
    assert run.id not in [run.id for run in copy.runs()]
    assert "No run" in words(open_page("train", run=run.id))
