"""The gate: what it lets through, what it refuses, and the lines that it leaves in the audit."""

import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fashion_core.access import audit
from fashion_core.access.gate import Actions, forget_upload
from fashion_core.access.roles import Actor
from fashion_core.access.texts import LOOK_ONLY
from fashion_core.data import adding
from fashion_core.data.request import AddRequest
from fashion_core.errors import DiskError, NotAllowedError, RunStateError
from fashion_core.files import TEMPORARY_PREFIX, now
from fashion_core.formats import import_file
from fashion_core.resume import drill
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill, Labels
from fashion_core.runs.store import LEFTOVER_SECONDS, RunStore
from tests.support.commands import Capture, answered, printed
from tests.support.files import files_below, small_disk
from tests.support.processes import python
from tests.support.runs import config, copied, new_run, set_running, set_state
from tests.support.runs import trained as trained_run

OPERATOR = Actor("anna@example.org", "operator", logged_in=True)
VIEWER = Actor("bert@example.org", "viewer", LOOK_ONLY, logged_in=True)
EVERY_ACTION: dict[str, Callable[[Actions, Run], object]] = {
    "start": lambda actions, run: actions.start(run.record.config),
    "start seeds": lambda actions, run: actions.start_seeds(run.record.config, 2),
    "stop": lambda actions, run: actions.stop(run),
    "cancel": lambda actions, run: actions.cancel([run]),
    "continue": lambda actions, run: actions.continue_run(run),
    "continue here": lambda actions, run: actions.continue_here(run, os.getpid()),
    "crash": lambda actions, run: actions.crash(run),
    "resume": lambda actions, run: actions.resume(run, [ResumeRequest(0, 1, {})]),
    "reproduce": lambda actions, run: actions.reproduce(run, {}),
    "lesson": lambda actions, run: actions.begin_lesson({}),
    "upload": lambda actions, run: actions.keep_upload({}, "id", "theirs.pth", io.BytesIO(b"x")),
    "import": lambda actions, run: actions.import_file(run.weights_path, "theirs.pth", {}),
    "unbundle": lambda actions, run: actions.unbundle(run.weights_path, "runs.zip"),
    "delete": lambda actions, run: actions.delete(run),
    "delete file": lambda actions, run: actions.delete(run, run.checkpoint_path(0)),
    "delete files": lambda actions, run: actions.delete_checkpoints(run, [0]),
    "relabel": lambda actions, run: actions.relabel(run, Labels(name="theirs"), run.labels),
    "verify": lambda actions, run: list(actions.verify([run])),
    "download": lambda actions, run: actions.download(lambda done, total: None),
    "add data": lambda actions, run: actions.add_dataset(
        "no", AddRequest("mine"), lambda done, total: None, adding.add
    ),
    "remove data": lambda actions, run: actions.remove_dataset("mine"),
}


def test_every_public_method_is_tried_below() -> None:
    """But ``continue_lesson`` and ``continue_drill``, which nobody asks for: they have tests of their own."""
    used = {name for action in EVERY_ACTION.values() for name in action.__code__.co_names}
    methods = {name for name in vars(Actions) if not name.startswith("_")}
    assert methods - used == {"continue_lesson", "continue_drill"}


@pytest.fixture(scope="module")
def trained_once(module_store: RunStore) -> Run:
    return trained_run(module_store, epochs=2, name="Lesson")


@pytest.fixture
def trained(store: RunStore, trained_once: Run) -> Run:
    return copied(trained_once, store)


@pytest.mark.parametrize("name", EVERY_ACTION)
def test_viewer_changes_nothing_and_the_refusal_is_noted(store: RunStore, trained: Run, name: str) -> None:
    before = files_below(store.root)
    with pytest.raises(NotAllowedError, match=r"You are not allowed to do that\. You may look"):
        EVERY_ACTION[name](Actions(store, VIEWER), trained)
    assert files_below(store.root) == before
    assert [(line.who, line.outcome) for line in audit.read(store.root)] == [("bert@example.org", "refused")]


def test_lesson_does_not_go_on_by_itself_for_a_viewer(store: RunStore, trained: Run) -> None:
    assert Actions(store, VIEWER).continue_lesson(trained) is None
    assert audit.read(store.root) == []
    made = Actions(store, OPERATOR).continue_lesson(trained)
    again = Actions(store, VIEWER).continue_lesson(trained)
    assert made
    assert again
    assert again.id == made.id
    told = [(line.what, line.run, line.detail) for line in audit.read(store.root)]
    assert told == [("resume", trained.id, f"lesson, made {made.id}"), ("start", made.id, f"resumed from {trained.id}")]


def test_killed_run_continues_and_gets_a_twin_without_a_refusal_while_nobody_may(store: RunStore) -> None:
    set_running(new_run(store, seed=1))  # it takes the slot, so that no worker starts
    run = new_run(store)
    run.write_drill(Drill(killed=0, pid=1, epoch=0, batch=5))
    set_state(run, "lost")
    assert not Actions(store, VIEWER).continue_drill(run)
    assert (run.state(), audit.read(store.root)) == ("lost", [])
    assert Actions(store, OPERATOR).continue_drill(run)
    assert not Actions(store, OPERATOR).continue_drill(run)
    set_state(run, "lost")  # later, by itself: nobody asked for more than the drill
    assert not Actions(store, OPERATOR).continue_drill(run)
    twin = drill.twin(store, run)
    assert twin
    told = [(line.what, line.run, line.detail) for line in audit.read(store.root)]
    assert told == [("continue", run.id, "crash drill"), ("start", twin.id, f"twin of {run.id}")]


def test_each_of_many_runs_has_a_line_when_it_is_made_and_when_it_is_cancelled(store: RunStore, trained: Run) -> None:
    actions = Actions(store, OPERATOR)
    made = actions.resume(trained, [ResumeRequest(0, 1, {"seed": seed}) for seed in range(15)])
    actions.cancel(made)
    lines = audit.read(store.root)
    assert [line.run for line in lines if line.what == "start"] == [run.id for run in made]
    assert {line.run for line in lines if line.what == "cancel"} == {run.id for run in made}


def test_each_seed_has_a_line_and_one_seed_is_noted_as_any_run(store: RunStore) -> None:
    set_running(new_run(store))  # so that none of them starts
    actions = Actions(store, OPERATOR)
    made, alone = actions.start_seeds(config(seed=4), 2), actions.start_seeds(config(), 1)
    whole = f"2 seeds, made {made[0].id}, {made[1].id}"
    told = [(None, whole), (made[0].id, "seed 4"), (made[1].id, "seed 5"), (alone[0].id, "")]
    assert [(line.run, line.detail) for line in audit.read(store.root) if line.what == "start"] == told


def test_operator_acts_and_each_line_says_who_when_and_what(store: RunStore, trained: Run) -> None:
    actions = Actions(store, OPERATOR)
    run = actions.start(config(name="mine", epochs=1))
    actions.relabel(run, Labels(name="renamed"), run.labels)
    made = actions.import_file(trained.weights_path, "theirs.pth", {}, importer=import_file.import_file)
    lines = audit.read(store.root)
    assert [(line.who, line.what, line.run, line.detail, line.outcome) for line in lines] == [
        ("anna@example.org", "start", run.id, "", "done"),
        ("anna@example.org", "relabel", run.id, "renamed", "done"),
        ("anna@example.org", "import", made.id, "theirs.pth", "done"),
    ]
    assert all(line.when.endswith("+00:00") for line in lines)


def test_damaged_labels_are_kept_beside_those_that_replace_them_once(store: RunStore) -> None:
    actions, run = Actions(store, OPERATOR), new_run(store)
    before = run.labels
    run.labels_path.write_text('{"notes": "a week of work",')
    assert run.whole_labels is None
    actions.relabel(run, Labels(name="mended"), before)
    assert run.labels.name == "mended"
    assert run.damaged_labels_path.read_text() == '{"notes": "a week of work",'
    with pytest.raises(RunStateError, match="the name is now mended"):
        actions.relabel(run, Labels(name="late"), None)
    assert run.labels.name == "mended"


def test_what_fails_or_is_broken_off_is_noted(store: RunStore, trained: Run) -> None:
    with pytest.raises(RunStateError):
        Actions(store, OPERATOR).stop(trained)
    verifying = Actions(store, OPERATOR).verify([trained])
    next(verifying)
    verifying.close()  # type: ignore[attr-defined]
    failed, interrupted = audit.read(store.root)
    assert failed.outcome.startswith(f"failed: Run {trained.id} is finished already")
    assert (interrupted.what, interrupted.outcome) == ("verify", "interrupted")


def test_name_can_forge_no_line(store: RunStore) -> None:
    forged = json.dumps({"when": "x", "who": "x", "what": "delete"})
    audit.write(store.root, entry := audit.entry(f"a\n{forged}\n", "relabel", detail=f"\r\n{forged}\u2028"))
    assert entry.outcome == "interrupted"
    assert not (store.root / audit.NAME).exists()
    entry.outcome = audit.DONE
    audit.write(store.root, entry)
    assert len((store.root / audit.NAME).read_text().splitlines()) == 1
    assert [line.what for line in audit.read(store.root)] == ["relabel"]


def test_torn_line_costs_only_itself(store: RunStore) -> None:
    log = store.root / audit.NAME
    store.root.mkdir()
    log.write_bytes(b'{"when": "2026')
    line = audit.entry("anna", "stop", outcome=audit.DONE)
    audit.write(store.root, line)
    log.write_bytes(log.read_bytes() + b'\n[1]\n"x"\n\xff\n{"who": 1}\n')
    audit.write(store.root, line)
    assert audit.read(store.root) == [line, line]


def test_many_writers_at_once_lose_no_line(store: RunStore) -> None:
    def write(name: int) -> None:
        for number in range(50):
            audit.write(store.root, audit.entry(str(name), str(number), outcome=audit.DONE))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    lines = audit.read(store.root)
    assert {(line.who, line.what) for line in lines} == {(str(a), str(b)) for a in range(8) for b in range(50)}


def test_nothing_is_done_that_can_not_be_noted(store: RunStore, trained: Run) -> None:
    (store.root / audit.NAME).mkdir()
    before = files_below(store.root)
    for action in EVERY_ACTION.values():
        if action is not EVERY_ACTION["upload"]:
            with pytest.raises(DiskError):
                action(Actions(store, OPERATOR), trained)
    assert files_below(store.root) == before


def test_full_disk_opens_no_door_and_lets_things_be_deleted(store: RunStore, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1024) as folder:
        full = RunStore(folder / "runs")
        run = new_run(full)
        set_state(run, "stopped")
        audit.write(full.root, audit.entry("anna", "start", outcome=audit.DONE))
        with pytest.raises(OSError, match="No space"):
            (folder / "filler").write_bytes(bytes(1 << 21))
        with pytest.raises(NotAllowedError):
            Actions(full, VIEWER).delete(run)
        Actions(full, OPERATOR).delete(run)
        assert audit.read(full.root)[-1].what == "delete"


def test_line_that_is_cut_short_is_an_error(store: RunStore) -> None:
    done = python(
        "import resource\nfrom pathlib import Path\nfrom fashion_core.access import audit\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        f"audit.write(Path({str(store.root)!r}), audit.entry('anna', 'start', outcome=audit.DONE))"
    )
    assert "audit.jsonl can't be used: the disk is full" in done.stderr
    assert (store.root / audit.NAME).stat().st_size == 50


def test_audit_command_tells_all_or_those_of_one_run(store: RunStore, trained: Run, capsys: Capture) -> None:
    Actions(store, OPERATOR).delete(trained)
    with pytest.raises(NotAllowedError):
        Actions(store, VIEWER).start(config())
    told = printed(capsys, "audit")[0].splitlines()
    assert [("anna@example.org" in line, "refused" in line) for line in told] == [(True, False), (False, True)]
    [line] = answered(capsys, "audit", trained.id)
    assert (line["what"], line["run"], line["outcome"]) == ("delete", trained.id, "done")


def keep(store: RunStore, session: dict[str, Any], upload: str, source: io.BytesIO) -> Path:
    return Actions(store, OPERATOR).keep_upload(session, upload, "theirs.pth", source)


def leftovers(store: RunStore) -> list[Path]:
    return list(store.root.glob(f"{TEMPORARY_PREFIX}*"))


def test_upload_is_copied_once_under_a_name_of_ours_until_another_takes_its_place(store: RunStore) -> None:
    session: dict[str, Any] = {}
    source = io.BytesIO(b"numbers" * 100_000)
    source.seek(5)
    path = keep(store, session, "first", source)
    assert path.read_bytes() == b"numbers" * 100_000
    assert keep(store, session, "first", io.BytesIO()) == path
    assert (leftovers(store), store.runs()) == ([path.parent], [])
    second = keep(store, session, "second", io.BytesIO(b"2"))
    assert (path.exists(), second.read_bytes()) == (False, b"2")
    forget_upload(session)
    assert (leftovers(store), session) == ([], {})
    forget_upload(session)


def test_copy_goes_with_the_session_that_kept_it(store: RunStore) -> None:
    session: dict[str, Any] = {}
    keep(store, session, "first", io.BytesIO(b"1"))
    del session
    assert leftovers(store) == []


def test_copy_is_cleared_away_once_it_is_old_and_then_made_again(store: RunStore) -> None:
    session: dict[str, Any] = {}
    path = keep(store, session, "first", io.BytesIO(b"1"))
    store.remove_leftovers()
    assert path.exists()
    long_ago = now() - LEFTOVER_SECONDS - 1
    os.utime(path.parent, (long_ago, long_ago))
    store.remove_leftovers()
    assert leftovers(store) == []
    assert keep(store, session, "first", io.BytesIO(b"1")).read_bytes() == b"1"


def test_upload_that_cannot_be_stored_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="choose another folder"):
        keep(RunStore(tmp_path / "file" / "runs"), {}, "first", io.BytesIO(b"1"))

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    store = RunStore(tmp_path / "runs")
    with pytest.raises(DiskError, match="the disk is full"):
        keep(store, {}, "first", Broken(b"1"))
    assert leftovers(store) == []
