"""What a page shows to whom, and that the gate holds where a button was pressed that should not have been."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fashion_core.access import audit, texts
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import login as access_views
from tests.support.bundles import small_run
from tests.support.pages import dashboard, labels, open_page, press, sent, streamlit_option, widget, words
from tests.support.runs import copied, new_run, set_running, set_state, train

AUTH = {"redirect_uri": "http://localhost:8501/oauth2callback", "cookie_secret": "x" * 32, "client_id": "x"}
ANNA, BERT = "anna@example.org", "bert@example.org"


@pytest.fixture(autouse=True)
def fresh_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_views, "_login_asked", threading.Event())


@pytest.fixture
def shared() -> Iterator[None]:
    """Streamlit listens everywhere, as far as the app can tell."""
    with streamlit_option("server.address", "0.0.0.0"):
        yield


@pytest.fixture
def stopped(store: RunStore) -> Run:
    run = new_run(store, name="to be seen")
    set_state(run, "stopped")
    return run


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    train(run := new_run(module_store, name="Lesson", epochs=1))
    set_state(run, "stopped")
    return run


@pytest.fixture
def trained(store: RunStore, trained_once: Run) -> Run:
    return copied(trained_once, store)


def secrets(operators: tuple[str, ...] = (ANNA,), viewers: tuple[str, ...] = (BERT,)) -> dict[str, Any]:
    return {"auth": AUTH, "access": {"operators": list(operators), "viewers": list(viewers)}}


def login(email: str, seconds: float = 3600) -> dict[str, Any]:
    return {"is_logged_in": True, "email": email, "exp": time.time() + seconds}


def open_as(user: dict[str, Any], page: str = "overview", **query: str) -> AppTest:
    app = dashboard(page, **query)
    app.secrets, app.user = secrets(), user
    app.run()
    assert not app.exception
    return app


STRANGERS = {
    "nobody": ({}, texts.LOGIN_FIRST, "Log in"),
    "logged out": ({"is_logged_in": False}, texts.LOGIN_FIRST, "Log in"),
    "expired": (login(ANNA, -1), texts.EXPIRED, "Log in"),
    "carl": (login("carl@example.org"), "has no access to this server", "Log out"),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_stranger_is_told_what_to_do_and_sees_nothing_of_the_store(stopped: Run, who: str) -> None:
    user, said, label = STRANGERS[who]
    app = open_as(user, run=stopped.id)
    assert [title.value for title in app.title] == ["Fashion Core"]
    assert said in app.markdown[0].value.replace("\\", "")
    assert labels(app) == [label]
    assert "to be seen" not in sent(app)


def test_stranger_comes_into_no_page(stopped: Run) -> None:
    for page in ("train", "checkpoints", "resume", "predict", "lesson"):
        app = open_as({}, page, run=stopped.id)
        assert labels(app) == ["Log in"]
        assert "to be seen" not in sent(app)


def test_viewer_sees_runs_and_can_press_nothing_that_changes_them_and_bring_no_file(stopped: Run) -> None:
    app = open_as(login(BERT), "overview", run=stopped.id)
    assert list(app.dataframe[0].value["name"]) == ["to be seen"]
    assert {one.label: one.disabled for one in app.button} == {"Bundle…": False, "Delete…": True, "Save": True}
    assert all("only operators" in one.help for one in app.button if one.disabled)
    assert "only operators" in app.caption[0].value
    app = open_as(login(BERT), "checkpoints", view="Import")
    assert "only operators" in app.info[0].value
    assert not app.get("file_uploader")


def test_viewer_bundles_runs_and_imports_none(store: RunStore) -> None:
    run = small_run(store)
    app = open_as(login(BERT), "overview", run=run.id)
    assert press(app, "Bundle…").get("download_button")
    app = open_as(login(BERT), "overview", run=run.id)
    app.session_state["import runs"] = True  # its expander is open
    app.run()
    assert "only operators" in app.info[0].value
    assert not app.get("file_uploader")


def test_operator_is_told_nothing_and_can_press_everything(stopped: Run) -> None:
    app = open_as(login(ANNA), "overview", run=stopped.id)
    assert {one.label: one.disabled for one in app.button} == {"Bundle…": False, "Delete…": False, "Save": False}
    assert not app.warning
    assert "operators" not in sent(app)


def test_role_taken_away_after_the_page_was_drawn_refuses_the_press(store: RunStore, stopped: Run) -> None:
    app = open_as(login(ANNA), "train", run=stopped.id)
    app.secrets = secrets(operators=(), viewers=(ANNA,))
    assert "You are not allowed to do that" in press(app, "Continue").error[0].value
    assert stopped.state() == "stopped"
    assert [(line.who, line.what, line.outcome) for line in audit.read(store.root)] == [(ANNA, "continue", "refused")]


def test_login_that_ended_after_the_page_was_drawn_refuses_the_press(store: RunStore, stopped: Run) -> None:
    app = open_as(login(ANNA), "train", run=stopped.id)
    app.user = login(ANNA, -1)
    press(app, "Continue")
    assert stopped.state() == "stopped"
    assert labels(app) == ["Log in"]


def test_person_who_is_another_one_by_now_is_refused_the_form(store: RunStore, stopped: Run) -> None:
    app = open_as(login(ANNA), "overview", run=stopped.id)
    widget(app, "Name").set_value("theirs")
    app.user = login(BERT)
    press(app, "Save")
    assert stopped.labels.name == "to be seen"
    assert [(line.who, line.what, line.outcome) for line in audit.read(store.root)] == [(BERT, "relabel", "refused")]


OFFERED = [
    ("overview", {"run": "{run}"}, ["Delete…", "Save"]),
    ("train", {}, ["Start"]),
    ("train", {"run": "{run}"}, ["Continue"]),
    ("checkpoints", {"run": "{run}", "epoch": "0"}, ["Delete…"]),
    ("checkpoints", {"view": "Verify and tidy up"}, ["Verify all"]),
    ("checkpoints", {"view": "Verify and tidy up", "of": "{run}"}, ["Verify this run"]),
    ("resume", {"run": "{run}", "epoch": "0"}, ["Start"]),
    ("predict", {"run": "{run}", "epoch": "0"}, []),
    ("lesson", {}, ["Run the lesson"]),
    ("lesson", {"run": "{run}"}, ["Continue"]),
]
"""The pages with a trained run in their address, and all buttons on them that change something: a bundle only reads."""


def disabled(app: AppTest) -> dict[str, bool]:
    """Whether each button is disabled, but for links to another address of the page and reports: these change nothing
    and anyone may ask for them."""
    return {one.label: one.disabled for one in app.button if not str(one.key).startswith(("link ", "report "))}


@pytest.mark.parametrize("read_only", [True, False], ids=["shared", "on this machine"])
def test_shared_pages_are_read_only_and_say_why(trained: Run, request: pytest.FixtureRequest, read_only: bool) -> None:
    if read_only:
        request.getfixturevalue("shared")
    for page, query, offered in OFFERED:
        app = open_page(page, **{key: value.replace("{run}", trained.id) for key, value in query.items()})
        assert [one.value[:4] for one in app.warning if "FASHION" in one.value] == ["Read"] * read_only
        found = {label: is_disabled for label, is_disabled in disabled(app).items() if label != "Bundle…"}
        assert found == dict.fromkeys(offered, read_only), (page, query)


@pytest.mark.usefixtures("shared")
def test_shared_without_a_login_stops_downloads_and_takes_nothing(stopped: Run) -> None:
    set_running(stopped)
    app = open_page("train", run=stopped.id)
    assert disabled(app) == {"Stop": True}
    app = open_page("train")
    app.selectbox(key="train demo dataset").select("fashion-mnist").run()
    assert disabled(app) == {"Download Fashion-MNIST": True, "Start": True}
    app = open_page("checkpoints", view="Import")
    assert app.info[0].value.startswith("Read")
    assert not app.get("file_uploader")
    assert not app.button


@pytest.mark.usefixtures("shared")
def test_everyone_may_do_all_where_that_is_set(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_ACCESS", "everyone")
    app = open_page("overview")
    assert not app.warning
    assert {one.label: one.disabled for one in app.button} == {"Watch it train": False, "Take the lesson": False}


@pytest.mark.parametrize(
    ("setting", "given", "sentence"),
    [
        ("all", {}, "should be everyone or not set"),
        ("", {"access": {"operators": [ANNA]}}, "The secrets have [access] and no [auth]"),
    ],
)
def test_bad_setting_is_one_sentence_and_shows_nothing(
    stopped: Run, monkeypatch: pytest.MonkeyPatch, setting: str, given: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setenv("FASHION_ACCESS", setting)
    app = dashboard()
    app.secrets = given
    assert sentence in words(app.run())
    assert not app.dataframe


def test_login_stays_needed_when_the_secrets_are_gone(stopped: Run) -> None:
    assert open_as(login(BERT)).dataframe
    app = dashboard()
    app.secrets = {"something": "else"}
    app.run()
    assert not app.dataframe
    assert labels(app) == ["Log in"]


@pytest.mark.parametrize("content", [b"[auth", b"\xff", b""], ids=["torn", "not text", "empty"])
def test_secrets_that_can_not_be_read_let_nobody_in(stopped: Run, tmp_path: Path, content: bytes) -> None:
    """An empty file is no login; the door stays open to this machine, as without one."""
    (tmp_path / "secrets.toml").write_bytes(content)
    with streamlit_option("secrets.files", [str(tmp_path / "secrets.toml")]):
        app = dashboard().run()
    assert bool(app.error) == bool(content)
    assert bool(app.dataframe) == (not content)


def test_door_names_each_provider(store: RunStore) -> None:
    app = dashboard()
    app.secrets = {"auth": {"cookie_secret": "x", "google": {"client_id": "x"}, "entra": {"client_id": "y"}}}
    app.run()
    assert labels(app) == ["Log in with google", "Log in with entra"]
