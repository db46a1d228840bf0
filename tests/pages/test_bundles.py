"""Bundling runs and importing them, on Overview through AppTest."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.access import audit
from fashion_core.bundles import process, unbundle
from fashion_core.runs.store import RunStore
from fashion_core.ui.bundles import bundle
from tests.support.bundles import bundled, small_run, tiny_file
from tests.support.pages import dashboard, labels, press, words
from tests.support.runs import save_file, set_running


def chosen(*run_ids: str) -> AppTest:
    app = dashboard("overview")
    app.query_params["run"] = list(run_ids)
    app.run()
    assert not app.exception
    return press(app, "Bundle…")


def importing(path: Path | None = None) -> AppTest:
    app = dashboard("overview")
    app.session_state["import runs"] = True  # its expander is open
    app.run()
    if path:
        uploader: Any = app.get("file_uploader")[0]
        uploader.set_value((path.name, path.read_bytes(), "application/zip")).run()
    assert not app.exception
    return app


def test_dialog_names_the_runs_their_ancestors_and_the_size_and_offers_the_file(store: RunStore) -> None:
    first = small_run(store)
    second = small_run(store, first)
    app = chosen(second.id)
    assert "2 runs with their checkpoints" in words(app).replace("*", "")
    assert "of which 1 because others go back to it" in words(app)
    assert [one.proto.label for one in app.get("download_button")] == ["Download"]


def test_more_than_a_browser_should_download_is_a_command(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [small_run(store), small_run(store)]
    runs[1].log_path.write_bytes(bytes(40_000))
    monkeypatch.setattr(bundle, "MOST_BYTES", 40_000)
    app = chosen(*(run.id for run in runs))
    assert [one.value for one in app.code] == [f"python -m fashion_core bundle {runs[0].id} {runs[1].id} runs.zip"]
    assert not app.get("download_button")


def test_bundles_of_a_page_are_made_one_at_a_time(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.0)
    run = small_run(store)
    with process._bundling:
        app = chosen(run.id)
    assert "Other bundles are being made here: try again in a minute." in words(app)
    assert not app.get("download_button")


def test_run_that_trains_is_said_to_be_a_stopped_one_there(store: RunStore) -> None:
    run = small_run(store)
    set_running(run)
    assert "is a stopped one there" in words(chosen(run.id))


def test_damaged_checkpoint_is_one_sentence(store: RunStore) -> None:
    run = small_run(store)
    run.checkpoint_path(0).write_bytes(b"x")
    assert "model_save/0 is damaged" in words(chosen(run.id))


def test_bundle_is_previewed_then_kept(store: RunStore, tmp_path: Path) -> None:
    other = RunStore(tmp_path / "other")
    first = small_run(other, name="from elsewhere")
    second = small_run(other, first)
    app = importing(bundled(other, second))
    table: Any = app.dataframe[-1].value
    assert list(table["name"]) == ["from elsewhere", "small"]
    assert list(table["here"]) == ["new", "new"]
    assert not store.root.exists() or store.ids() == []
    press(app, "Import 2 runs")
    assert set(store.ids()) == {first.id, second.id}
    assert [one.run for one in audit.read(store.root) if one.what == "unbundle" and one.run] == [first.id, second.id]


def test_run_that_differs_is_said_and_nothing_can_be_kept(store: RunStore, tmp_path: Path) -> None:
    other = RunStore(tmp_path / "other")
    run, beside = small_run(other), small_run(other)
    path = bundled(other, run, beside)
    unbundle.unbundle(store, bundled(other, run))
    here = store.at(run.id)
    save_file(here, here.checkpoint_path(0), content=tiny_file(8))
    app = importing(path)
    assert f"Run {run.id} is here already, and differs: its model_save/0 is another one here." in words(app)
    assert [one.disabled for one in app.button if one.label == "Import 1 run"] == [True]


def test_other_file_is_refused_in_one_sentence(store: RunStore, tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    path.write_bytes(b"no zip")
    app = importing(path)
    assert "The file is refused: it is no bundle of runs" in words(app)
    assert not [label for label in labels(app) if label.startswith("Import")]
