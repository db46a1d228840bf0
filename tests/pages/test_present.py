"""What a room sees: the switch, links that carry it on, the code for phones, and the crash drill step by step."""

import pytest

from fashion_core import files
from fashion_core.files import now
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill
from fashion_core.runs.store import RunStore
from fashion_core.ui.present import mode
from tests.support.pages import labels, open_page, press, streamlit_option, words
from tests.support.runs import copied, finish, new_run, resume, set_running, set_state, trained


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained(module_store, name="base", epochs=1)


def test_switch_goes_to_the_address_and_every_link_carries_it_on(store: RunStore, trained_once: Run) -> None:
    copied(trained_once, store)
    app = open_page("train")
    assert not app.sidebar.get("page_link")
    app.sidebar.toggle[0].set_value(True).run()
    assert app.query_params == {"present": "1"}
    menu = app.sidebar.get("page_link")
    assert [link.proto.label for link in menu] == ["Overview", "Train", "Checkpoints", "Resume", "Predict", "Lesson"]
    app = open_page("train", run=trained_once.id, present="1")
    links = [link.proto.query_string for link in app.get("page_link")]
    assert len(links) == 9
    assert all("present=1" in query for query in links)
    press(app, "Start another like this")
    assert app.query_params == {"present": "1", "like": trained_once.id}
    app.sidebar.toggle[0].set_value(False).run()
    assert app.query_params == {"like": trained_once.id}


def test_code_for_phones_is_offered_where_others_can_reach_the_server(store: RunStore) -> None:
    assert "QR code for phones" not in labels(open_page("train", present="1"))
    with streamlit_option("server.address", "0.0.0.0"):
        assert "QR code for phones" not in labels(open_page("train"))
        assert "QR code for phones" in labels(open_page("train", present="1"))


def test_code_stays_while_the_page_runs_again_until_it_is_closed(store: RunStore) -> None:
    with streamlit_option("server.address", "0.0.0.0"):
        app = press(open_page("train", present="1"), "QR code for phones")
        assert len(app.get("dialog")) == 1
        assert len(app.run().get("dialog")) == 1
        app.session_state[mode.CODE] = False  # as its cross does
        assert not app.run().get("dialog")


def test_code_is_black_on_white_in_any_theme() -> None:
    svg = mode.qr_code("http://192.0.2.1:8501/train?run=20260101-000000-000-0000")
    assert svg.startswith("<svg")
    assert 'fill="#fff"' in svg
    assert 'stroke="#000"' in svg


def test_address_that_is_too_long_for_a_code_says_what_to_do(store: RunStore) -> None:
    with streamlit_option("server.address", "0.0.0.0"):
        app = open_page("train", present="1", text="x" * 3000)
        assert "choose fewer runs" in words(press(app, "QR code for phones"))


def test_crash_drill_is_offered_for_a_run_that_trains_while_presenting(store: RunStore) -> None:
    set_running(new_run(store, seed=1))  # it takes the slot
    run = new_run(store)
    assert "Crash drill" not in labels(open_page("train", run=run.id, present="1"))
    set_running(run)
    assert "Crash drill" not in labels(open_page("train", run=run.id))
    assert "Crash drill" in labels(open_page("train", run=run.id, present="1"))
    with streamlit_option("server.address", "0.0.0.0"):
        app = open_page("train", run=run.id, present="1")
        assert next(button for button in app.button if button.label == "Crash drill").disabled


def test_steps_of_a_drill_are_told_to_viewers_and_taken_by_operators(store: RunStore) -> None:
    set_running(new_run(store, seed=1))  # it takes the slot
    run = new_run(store, epochs=2)
    run.write_drill(Drill(killed=now(), pid=4242, epoch=0, batch=5))
    set_state(run, "lost")
    app = open_page("train", run=run.id)
    assert "Process 4242 got SIGKILL in epoch 0 (1 of 2), batch 5 of 8." in words(app)
    assert ("Continue" in labels(app), run.state()) == (False, "lost")
    run.write_drill(Drill(killed=now() - 60, pid=4242, epoch=0, batch=5))
    with streamlit_option("server.address", "0.0.0.0"):
        assert "It continues once an operator opens this page." in words(open_page("train", run=run.id))
        assert run.state() == "lost"
    app = open_page("train", run=run.id)
    assert run.state() == "queued"
    assert "In place, as the same run." in words(app)
    assert "Its undisturbed twin: " in words(app)


@pytest.mark.parametrize(
    ("resumed", "began", "said"),
    [
        (False, (0, 0), "From the beginning, as no epoch had been saved."),
        (False, (1, 0), "From checkpoint 0."),
        (False, (0, 5), "From epoch 0 (1 of 2), batch 5, where its last stop had saved the exact position."),
        (True, (1, 0), "From checkpoint 0 of its parent, as no epoch of its own had been saved."),
        (True, (1, 5), "From epoch 1 (1 of 2), batch 5, where its last stop had saved the exact position."),
        (True, (2, 0), "From checkpoint 1."),
    ],
)
def test_step_says_where_the_worker_went_on_from(
    store: RunStore, trained_once: Run, resumed: bool, began: tuple[int, int], said: str
) -> None:
    run = resume(store, copied(trained_once, store), 0, 2) if resumed else new_run(store, epochs=2)
    run.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5))
    run.write_status(run.status.model_copy(update={"state": "finished", "continued": 1, "began_at": began}))
    assert said in words(open_page("train", run=run.id))


def test_reason_why_a_run_does_not_continue_stands_above_its_drill(store: RunStore) -> None:
    run = new_run(store, dataset="fashion-mnist")
    run.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5))
    set_state(run, "lost")
    app = open_page("train", run=run.id)
    assert "Found lost" in words(app)
    assert "Fashion-MNIST is not in " in words(app)


def test_damaged_checkpoint_is_not_called_whole(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    run.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5))
    assert "; every checkpoint that is listed is whole." in words(open_page("train", run=run.id))
    run.checkpoint_path(0).write_bytes(b"other")
    assert "; not every checkpoint that is listed is whole." in words(open_page("train", run=run.id))


def test_both_digests_are_shown_once_both_have_ended(store: RunStore, trained_once: Run) -> None:
    twin, run = copied(trained_once, store), trained(store, epochs=1)
    run.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5))
    app = open_page("train", run=run.id)
    assert "twin: every loss, every weight, and the optimizer's state." in words(app)
    digest = files.digest_of(twin.weights_path).sha256
    assert next(code.value for code in app.code if digest in code.value).count(digest) == 2
    run.remove_saved(run.checkpoint_path(0))
    assert "twin: every loss and every weight. No epoch has checkpoints of both." in words(
        open_page("train", run=run.id)
    )
    twin.weights_path.write_bytes(b"other")
    assert "Not the same bits as its undisturbed twin." in words(open_page("train", run=run.id))


def test_drill_without_a_twin_says_so(store: RunStore, trained_once: Run) -> None:
    run = copied(trained_once, store)
    run.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5))
    assert "twin to compare with: a run of the same settings" in words(open_page("train", run=run.id))
    child = finish(resume(store, run, 0, 1))
    child.write_drill(Drill(killed=0, pid=4242, epoch=0, batch=5))
    store.delete(run, run.checkpoint_path(0), force=True)
    assert "twin to compare with: the checkpoint that it was resumed from is gone" in words(
        open_page("train", run=child.id)
    )
