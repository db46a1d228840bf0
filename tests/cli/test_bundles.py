"""The commands bundle and unbundle: what they print, what they note, and how they refuse."""

import zipfile
from pathlib import Path

import pytest

from fashion_core.access import audit
from fashion_core.cli.main import main
from fashion_core.files import digest_of
from fashion_core.runs.store import RunStore
from tests.support.bundles import bundled, small_run, tiny_file
from tests.support.commands import Capture, answered, printed, refused
from tests.support.runs import save_file


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: RunStore) -> RunStore:
    """The other store; ``there`` makes it the one that commands use."""
    assert store
    return RunStore(tmp_path / "other")


def test_bundle_says_what_it_holds_and_unbundle_what_it_kept(
    capsys: Capture, store: RunStore, elsewhere: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = small_run(store)
    second, out = small_run(store, first, name="the second"), tmp_path / "out.zip"
    lines = printed(capsys, "bundle", second.id, out)[0].splitlines()
    assert lines[0].startswith(f"{out}: 2 runs (1 of them because others go back to them), 22 files, ")
    assert lines[1] == f"sha256: {digest_of(out).sha256}"
    monkeypatch.setenv("FASHION_RUNS", str(elsewhere.root))
    previewed = printed(capsys, "unbundle", out, "--preview")[0].splitlines()
    assert [line.partition(" ")[0] for line in previewed] == [first.id, second.id, "Nothing"]
    assert previewed[1].endswith("2 checkpoints, the second: new")
    assert printed(capsys, "unbundle", out)[0].splitlines() == [
        f"run {run.id} in {elsewhere.root / run.id}" for run in (first, second)
    ]
    again = printed(capsys, "unbundle", out)[0].splitlines()
    assert again == [f"run {run.id} is here already" for run in (first, second)]
    assert [one.run for one in audit.read(elsewhere.root) if one.run] == [first.id, second.id]


def test_both_are_one_json_document(
    capsys: Capture, store: RunStore, elsewhere: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs, out = [small_run(store), small_run(store)], tmp_path / "out.zip"
    found = answered(capsys, "bundle", "--all", out)
    assert found["path"] == str(out)
    assert (found["sha256"], found["bytes"]) == (digest_of(out).sha256, out.stat().st_size)
    assert sorted(found["runs"]) == sorted(run.id for run in runs)
    monkeypatch.setenv("FASHION_RUNS", str(elsewhere.root))
    assert {one["presence"] for one in answered(capsys, "unbundle", out, "--preview")["runs"]} == {"new"}
    assert answered(capsys, "unbundle", out) == {"made": found["runs"], "there": [], "more": {}}


def test_what_can_not_be_kept_is_one_line(
    capsys: Capture, store: RunStore, elsewhere: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = small_run(store)
    out = bundled(store, run)
    assert refused(capsys, "bundle", run.id, str(out)).endswith("exists already; choose another name.")
    save_file(run, run.checkpoint_path(0), content=tiny_file(8))
    assert "its model_save/0 is another one here" in refused(capsys, "unbundle", str(out))
    assert "None would be imported" in printed(capsys, "unbundle", out, "--preview")[0]
    monkeypatch.setenv("FASHION_RUNS", str(elsewhere.root))
    assert "none.zip can't be used: it or its folder does not exist" in refused(
        capsys, "unbundle", str(tmp_path / "none.zip")
    )
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert refused(capsys, "unbundle", str(tmp_path / "other.zip")).startswith("The file is refused: it is no bundle")
    assert not elsewhere.root.exists()


def test_all_of_an_empty_store_is_one_line(capsys: Capture, store: RunStore, tmp_path: Path) -> None:
    sentence = f"There is no run in {store.root}: set FASHION_RUNS to the store whose runs you want to bundle."
    assert refused(capsys, "bundle", "--all", str(tmp_path / "out.zip")) == sentence


def test_run_of_which_the_bundle_has_more_is_told(capsys: Capture, store: RunStore) -> None:
    run = small_run(store)
    out = bundled(store, run)
    run.remove_saved(run.checkpoint_path(1))
    assert (
        "small: is here already, with less than the bundle has (such as its model_save/1)"
        in printed(capsys, "unbundle", out, "--preview")[0]
    )
    assert printed(capsys, "unbundle", out)[0].startswith(
        f"run {run.id} is here already and stays as it is; the bundle has more of it, such as its model_save/1: "
    )


def test_forgotten_out_is_no_run_and_writes_no_file(capsys: Capture, store: RunStore) -> None:
    first, second = small_run(store), small_run(store)
    assert refused(capsys, "bundle", first.id, second.id).endswith("a name that ends in .zip.")


@pytest.mark.parametrize("given", [["out.zip"], ["--all", "20260101", "out.zip"]])
def test_no_run_or_all_and_some_is_wrong_usage(capsys: Capture, store: RunStore, given: list[str]) -> None:
    assert not store.root.exists()
    with pytest.raises(SystemExit) as ended:
        main(["bundle", *given])
    assert ended.value.code == 2
    assert "name the runs to bundle, or --all of them" in capsys.readouterr().err
