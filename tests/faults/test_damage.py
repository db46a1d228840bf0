"""Damage found later: whatever happened to a file of the store, every page renders and names what is damaged."""

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.cli.main import main
from fashion_core.errors import FashionError
from fashion_core.formats.import_file import import_file
from fashion_core.runs import verify
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from tests.faults.lives import Tally
from tests.support.commands import Capture
from tests.support.files import change_json
from tests.support.pages import open_page
from tests.support.runs import After, finish, new_run, resume, set_state, train, trained

PAGES = ("overview", "train", "checkpoints", "resume", "predict", "lesson")
SAY_NOTHING = {"train.log", "lock"}
"""Files whose content promises nothing."""
NOT_MISSED = {
    "metrics.jsonl",  # as of a run that has not trained yet
    "verified.json",  # nobody has verified it yet
    "loaded.json",  # nothing was measured after loading
    "stop",  # nobody asks it to stop
}
"""Files that a whole run may lack, so that nobody can tell that they were deleted."""
STRANGE = "Größe 数 🧥 \u202e\0\u0301\ue000 [x](http://x) <b>"
ODD_NUMBERS = [None, -1, 10**30, 1e308, float("nan"), float("inf")]
ODD_VALUES: list[Any] = [*ODD_NUMBERS, "", "x" * 9000, "\ud800", "\0", [], {}, [[]]]


@pytest.fixture(scope="module")
def whole(module_store: RunStore) -> Path:
    """A store with every kind of run: finished, resumed from it, stopped inside an epoch, imported."""
    parent = trained(module_store, epochs=2)
    parent.write_labels(Labels(name=STRANGE, notes=STRANGE, tags=(STRANGE,)))
    child = finish(resume(module_store, parent, 0))
    stopped = new_run(module_store, epochs=2)
    assert train(stopped, After(12)) == "stopped"
    set_state(stopped, "stopped")
    imported = import_file(module_store, parent.weights_path, "theirs.pth", {})
    for run in (parent, child, stopped, imported):
        run.log_path.write_text("what the worker printed\n")
    assert all(result.ok for result in verify.verify(module_store.runs()))
    return module_store.root


@pytest.fixture
def copy(store: RunStore, whole: Path) -> RunStore:
    shutil.copytree(whole, store.root)
    return store


def flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 8])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def put_a_folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def set_odd_value(path: Path, draw: random.Random) -> None:
    value = json.loads(path.read_text())
    change_json(path, **{draw.choice(list(value)): draw.choice(ODD_VALUES)})


KINDS: dict[str, Callable[[Path, random.Random], object]] = {
    "flip": flip,
    "cut": lambda path, draw: path.write_bytes(path.read_bytes()[: draw.randrange(1, path.stat().st_size)]),
    "empty": lambda path, draw: path.write_bytes(b""),
    "fill_with_noise": lambda path, draw: path.write_bytes(draw.randbytes(draw.choice([1, 100, 5000]))),
    "remove": lambda path, draw: path.unlink(),
    "put_a_folder": put_a_folder,
    "set_odd_value": set_odd_value,
}
DAMAGES = (*KINDS, "flip", "flip", "set_odd_value")
"""In turn, the likely ones more often."""


def is_json(path: Path) -> bool:
    texts = path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]
    with suppress(ValueError):
        return all(json.loads(text) is not None for text in texts)
    return False


def may_go_unnoticed(path: Path, how: str) -> bool:
    if how == "remove" and path.suffix == ".json" and path.with_suffix("").exists():
        return True  # without its info a file counts as not saved
    if path.name == "metrics.jsonl" and how in ("empty", "cut"):
        return path.read_bytes()[-1:] in (b"", b"\n")  # whole rows, as of a run that has not come that far
    if path.suffix in (".json", ".jsonl") and how in ("flip", "cut") and is_json(path):
        return True  # as if people had edited it
    return path.name in SAY_NOTHING or how == "set_odd_value" or (how == "remove" and path.name in NOT_MISSED)


def words(app: AppTest) -> str:
    shown = "\n".join(str(element.value) for element in (*app.error, *app.warning, *app.info))
    return shown.replace("\\", "").replace("\u2060", "")


def names(said: str, run_id: str, file: str) -> bool:
    """Whether exactly this file is named: by its path in the run, in the store or on the disk."""
    return re.search(rf"(?:(?<![\w./-])|{run_id}/){re.escape(file)}(?![\w/-]|\.\w)", said) is not None


def damaged(store: RunStore) -> dict[str, str | None]:
    return {result.file: result.reason for result in verify.verify(store.runs()) if not result.ok}


def damage_one(store: RunStore, number: int) -> tuple[str, Path, str]:
    draw, how = random.Random(number), DAMAGES[number % len(DAMAGES)]
    run = draw.choice(store.runs())
    files = run.path.rglob("*.json" if how == "set_odd_value" else "*")
    path = draw.choice(sorted(path for path in files if path.is_file() and path.stat().st_size))
    KINDS[how](path, draw)
    return run.id, path, how


@pytest.mark.slow
def test_damaged_file_is_named_and_every_page_renders(
    whole: Path, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    count, noticed, silent = tally.rounds(len(KINDS), 200), Counter[str](), Counter[str]()
    for number in range(count):
        shutil.rmtree(store.root, ignore_errors=True)
        store = RunStore(tmp_path / f"store {number}")
        monkeypatch.setenv("FASHION_RUNS", str(store.root))
        shutil.copytree(whole, store.root)
        run_id, path, how = damage_one(store, number)
        what = f"round {number}: {how} {run_id}/{path.relative_to(store.root / run_id)}"
        found = damaged(store)
        told = [tell(page, run_id, what) for page in PAGES]
        assert found or may_go_unnoticed(path, how), f"{what}: nobody noticed"
        for file in found.keys() - {"verified.json"}:  # verify has written it anew
            assert any(names(said, run_id, file) for said in told), f"{what}: {file} is named on no page: {told}"
        (noticed if found else silent)[f"{path.name} {how}"] += 1
    allowed = ", ".join(f"{times} {what}" for what, times in sorted(silent.items()))
    tally.survived(
        f"{count} files damaged in {len(KINDS)} ways: {count * len(PAGES):,} pages, all rendered; "
        f"verify named {noticed.total()}, and so did pages; of the others ({allowed or 'none'}) no run could tell"
    )


def tell(page: str, run_id: str, what: str) -> str:
    try:
        app = open_page(page, run=run_id)
        tables = [frame.value for frame in app.dataframe if {"run", "file", "damage"} <= set(frame.value.columns)]
        rows = [table[(table["run"] == run_id) & table["damage"].notna()] for table in tables]
        return "\n".join([words(app), *(file for damaged in rows for file in damaged["file"])])
    except Exception as error:
        error.add_note(f"{what}: {page}?run={run_id}")
        raise


def test_run_of_a_later_version_is_one_row_among_others(copy: RunStore) -> None:
    run = copy.runs()[0]
    change_json(run.record_path, version=99, precision_policy={"kind": "fp4"})
    for page in PAGES:
        open_page(page, run=run.id)
    assert "is not a setting of this version" in words(open_page("train", run=run.id))
    assert "run.json" in damaged(copy)


def put_a_link(path: Path, outside: Path) -> None:
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize(
    "name",
    ["run.json", "labels.json", "status.json", "metrics.jsonl", "model_save", "model_save/0", "model_save/0.json"],
)
def test_symbolic_link_is_refused(copy: RunStore, tmp_path: Path, capsys: Capture, name: str) -> None:
    run = copy.runs()[-1]
    put_a_link(run.path / name, tmp_path / "outside")
    with pytest.raises(FashionError, match=f"{name} can't be used: it is a symbolic link"):
        copy.get(run.id)
    capsys.readouterr()
    main(["verify"])
    assert f"{name} can't be used: it is a symbolic link" in capsys.readouterr().out


@pytest.mark.slow
def test_pages_name_a_symbolic_link(copy: RunStore, tmp_path: Path) -> None:
    """All of them through what refuses it."""
    run = copy.runs()[-1]
    put_a_link(run.path / "model_save" / "0", tmp_path / "outside")
    for page in PAGES:
        open_page(page)
    for page in ("train", "checkpoints", "resume"):
        assert "is a symbolic link" in words(open_page(page, run=run.id))


def test_run_folder_that_is_a_symbolic_link_is_no_run(copy: RunStore, tmp_path: Path) -> None:
    run = copy.runs()[0]
    run.path.rename(tmp_path / run.id)
    run.path.symlink_to(tmp_path / run.id)
    assert run.id not in [run.id for run in copy.runs()]
    assert "No run" in words(open_page("train", run=run.id))
