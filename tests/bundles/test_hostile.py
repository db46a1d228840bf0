"""Bundles from strangers: each is refused in one sentence, quickly, and leaves nothing behind."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fashion_core.bundles import unbundle
from fashion_core.errors import RefusedFileError, RunStateError
from fashion_core.runs.store import RunStore
from tests.hostile import bundles as hostile
from tests.hostile.building import Case
from tests.hostile.bundles import Good
from tests.support.bundles import bundled, small_run

FEWEST = 600
SECONDS = 5.0


@pytest.fixture(scope="module")
def good(module_store: RunStore) -> Good:
    first = small_run(module_store)
    second = small_run(module_store, first)
    return Good(bundled(module_store, second), first.id, second.id)


def test_the_bundle_that_all_of_them_change_is_a_good_one(good: Good, tmp_path: Path) -> None:
    path = tmp_path / "same.zip"
    path.write_bytes(good.with_parts(good.parts))
    assert unbundle.unbundle(RunStore(tmp_path / "runs"), path).made == (good.first, good.second)


def cases(good: Good) -> Iterator[Case]:
    for family in hostile.FAMILIES:
        yield from family(good)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("family", hostile.FAMILIES, ids=lambda family: family.__name__)
def test_hostile_bundles_are_refused_in_one_sentence_and_leave_nothing(
    good: Good, tmp_path: Path, family: Callable[[Good], Iterator[Case]]
) -> None:
    store, path = RunStore(tmp_path / "runs"), tmp_path / "hostile.zip"
    store.root.mkdir()
    for name, make in family(good):
        path.write_bytes(make())
        began = time.monotonic()
        try:
            unbundle.unbundle(store, path)
        except (RefusedFileError, RunStateError) as error:
            sentence = str(error)
        else:
            pytest.fail(f"{name} was taken")
        assert re.search(hostile.FAMILIES[family], sentence), (name, sentence)
        assert time.monotonic() - began < SECONDS, name
        assert re.fullmatch(r"[A-Z].{20,450}\.", sentence), (name, sentence)
        assert [one.name for one in store.root.iterdir()] in ([], [".queue.lock"]), name
        assert {one.name for one in tmp_path.iterdir()} == {"runs", "hostile.zip"}, name


def test_there_are_as_many_of_them_as_promised(good: Good) -> None:
    assert len(list(cases(good))) >= FEWEST


def test_ids_of_runs_that_are_here_change_nothing_of_them(good: Good, tmp_path: Path) -> None:
    """Somebody else's bundle with the ids of our runs: what is there stays as it is."""
    store, path = RunStore(tmp_path / "runs"), tmp_path / "theirs.zip"
    unbundle.unbundle(store, good.path)
    before = {one: one.read_bytes() for one in store.root.rglob("*") if one.is_file()}
    name = "labels.json"
    path.write_bytes(good.edited(name, lambda labels: labels.update(name="theirs")))
    assert unbundle.unbundle(store, path).made == ()
    path.write_bytes(good.edited("run.json", lambda record: record["config"].update(seed=7)))
    with pytest.raises(RunStateError, match="differs"):
        unbundle.unbundle(store, path)
    assert {one: one.read_bytes() for one in store.root.rglob("*") if one.is_file()} == before
