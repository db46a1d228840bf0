"""Whatever is changed in a file that carries checksums, it is refused in one sentence or gives the same numbers."""

from pathlib import Path

import pytest

from fashion_core.errors import RefusedFileError
from fashion_core.formats.load import load
from fashion_core.formats.untrusted.read import read_saved_file
from tests.support import mutations
from tests.support.mutations import CHECKED, Subject, run


@pytest.mark.parametrize(("count", "seed"), [(100, 1), pytest.param(1000, 2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("format", CHECKED)
def test_mutated_file_is_refused_or_gives_the_same_numbers(tmp_path: Path, format: str, count: int, seed: int) -> None:
    """``python -m tests.support.mutations`` makes 20,000 of each."""
    outcomes = run(format, tmp_path, count=count, seed=seed)
    assert outcomes["refused"] > count // 2


@pytest.mark.parametrize("format", ["weights", "pt2"])
def test_changed_description_is_noticed_without_reading_the_numbers(tmp_path: Path, format: str) -> None:
    path = tmp_path / format
    good = mutations.subject(format, path)
    member = b"sample_inputs/model.pt" if format == "pt2" else b"data.pkl"
    place = good.data.index(member) + 300
    mutations.apply(path, mutations.Mutation(((place, b"?"),), len(good.data)))
    with pytest.raises(RefusedFileError, match=r"the checksum of its member .* differs"):
        read_saved_file(path)


def test_safetensors_of_this_app_without_its_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "safetensors"
    path.write_bytes(mutations.good_file("safetensors").replace(b"sha256", b"sha257"))
    with pytest.raises(RefusedFileError, match="its checksum is missing"):
        load(path)


def without_crash(path: Path, _: Subject) -> str:
    """Numbers that nothing vouches for may change; anything but a sentence may not come out."""
    try:
        load(path)
    except RefusedFileError:
        return "refused"
    return "loaded"


@pytest.mark.slow
def test_mutated_file_without_checksums_never_crashes(tmp_path: Path) -> None:
    outcomes = run("legacy", tmp_path, count=300, seed=1, judge=without_crash)
    assert set(outcomes) == {"refused", "loaded"}


@pytest.mark.parametrize("format", ["weights", "checkpoint", "pt2"])
def test_members_that_changed_places_are_noticed(tmp_path: Path, format: str) -> None:
    path = tmp_path / format
    good = mutations.subject(format, path)
    swaps = list(mutations.swapped_members(good.data))
    assert len(swaps) >= 3
    for changes in swaps:
        mutation = mutations.Mutation(changes, len(good.data))
        mutations.apply(path, mutation)
        # Three members of an Adam's first step hold the same number: then nothing has changed.
        alike = all(good.data[place : place + len(written)] == written for place, written in changes)
        assert mutations.outcome(path, good) == "refused" or alike
        mutations.undo(path, good.data, mutation)
