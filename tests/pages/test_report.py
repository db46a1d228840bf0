"""Making a report on a page, through AppTest: at a click, and at no other time."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from fashion_core.publish import ask
from fashion_core.runs.store import RunStore
from tests.support.pages import dashboard, press
from tests.support.runs import new_run


def opened(store: RunStore) -> AppTest:
    app = dashboard("train", run=new_run(store).id).run()
    assert not app.exception
    return app


def offered(app: AppTest) -> list[str]:
    return [one.proto.label for one in app.get("download_button")]


def test_report_that_failed_is_not_made_again_by_itself(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(store)
    monkeypatch.setattr(ask, "PATIENCE", 0.01)
    with ask._making:
        press(app, "Make report")
        (told,) = app.error
        assert "Other reports are being made" in told.value
    app.run()
    assert offered(app) == []
    assert not app.error


@pytest.mark.slow
def test_report_stays_as_it_was_made_at_the_click(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(store)
    press(app, "Make report")
    assert offered(app) == ["Download report"]
    monkeypatch.setattr(ask, "PATIENCE", 0.01)
    st.cache_data.clear()  # as others' reports do in time
    with ask._making:
        app.run()
    assert offered(app) == ["Download report"]
    assert not app.error
