"""Ids, epochs, names and addresses that try to leave the store: none does, and each is one sentence."""

import re
import shutil
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from helpers import new_run, train
from test_pages import open_page

from fashion_core import cli, imports, jobs
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore

SECRET = "what stands outside the store"
ELSEWHERE = "20250101-000000-000-0000"
TRICKS = (
    f"../outside/{ELSEWHERE}",
    f"..%2foutside%2f{ELSEWHERE}",
    f"%2e%2e/outside/{ELSEWHERE}",
    f"..\\outside\\{ELSEWHERE}",
    f"x/../../outside/{ELSEWHERE}",
    "/etc/passwd",
    "file:///etc/passwd",
    "..",
    ".",
    f"{ELSEWHERE}\0",
    "\0",
    "２０２５0101-000000-000-0000",
    "*",
    "9" * 5000,
    "-1",
    "x" * 100_000,
    "${HOME}",
    "'; drop table runs; --",
)
PARAMETERS = (
    "epoch",
    "file",
    "with",
    "of",
    "group",
    "from",
    "focus",
    "image",
    "cell",
    "view",
    "show",
    "sort",
    "at",
    "page",
)
OF_A_RUN = ("show", "stop", "continue", "delete", "verify", "lesson")
OF_AN_EPOCH = ("resume", "export", "formats", "delete")


def slow(*pages: str) -> list[ParameterSet]:
    return [pytest.param(page, marks=pytest.mark.slow) for page in pages]


@pytest.fixture
def trained(store: RunStore) -> Run:
    """A run in the store, and a copy of it beside the store under another name."""
    run = new_run(store, epochs=1, name="inside")
    train(run)
    run.write_status(run.status.model_copy(update={"state": "finished"}))
    outside = store.root.parent / "outside" / ELSEWHERE
    shutil.copytree(run.path, outside)
    theirs = Run(outside)
    theirs.write_labels(theirs.labels.model_copy(update={"name": SECRET}))
    return run


def files_below(folder: Path) -> dict[Path, bytes]:
    """What must not change: all but locks, and the audit of what was refused."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".lock", ".jsonl") and path.name != "lock"
    }


@pytest.mark.parametrize("page", ["train", *slow("overview", "checkpoints", "resume", "predict", "lesson")])
def test_id_in_the_address_of_a_page_stays_in_the_store(trained: Run, page: str) -> None:
    before = files_below(trained.path.parent.parent)
    for trick in TRICKS:
        app = open_page(page, run=trick)
        assert SECRET not in str(app.main), trick
        assert "No run in" in app.error[0].value, trick
    assert files_below(trained.path.parent.parent) == before


@pytest.mark.parametrize("page", ["checkpoints", *slow("overview", "train", "resume", "predict")])
def test_everything_else_in_the_address_stays_there_too(trained: Run, page: str) -> None:
    """But the view, which only chooses what of the page is drawn, each parameter at once and then without the epoch."""
    before = files_below(trained.path.parent.parent)
    for trick in TRICKS:
        for names in (PARAMETERS, PARAMETERS[1:], PARAMETERS[3:]):
            app = open_page(page, run=trained.id, **dict.fromkeys(names, trick))
            assert SECRET not in str(app.main), (trick, names)
    assert files_below(trained.path.parent.parent) == before


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command says when it can't be done; or its usage."""
    try:
        status = cli.main(arguments)
    except SystemExit as error:
        status = int(str(error.code))
    said = capsys.readouterr()
    assert status in (1, 2), (arguments, said.out)
    assert SECRET not in said.out + said.err
    return said.err


@pytest.mark.parametrize("command", OF_A_RUN)
def test_id_on_the_command_line_stays_in_the_store(
    trained: Run, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    before = files_below(trained.path.parent.parent)
    for trick in TRICKS:
        assert re.match(r"fashion_core: No run in .* has the id|usage:", refused(capsys, command, trick)), trick
    assert files_below(trained.path.parent.parent) == before


@pytest.mark.parametrize("command", OF_AN_EPOCH)
def test_epoch_on_the_command_line_stays_in_the_run(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    before = files_below(trained.path.parent.parent)
    rest = ("--format", "weights", str(tmp_path / "out")) if command == "export" else ()
    for trick in (*TRICKS, "../../../outside", "0/../1", "0\0", "1"):
        assert refused(capsys, command, trained.id, trick, *rest), trick
    assert files_below(trained.path.parent.parent) == before


@pytest.mark.parametrize("trick", TRICKS, ids=range(len(TRICKS)))
def test_name_of_a_file_from_outside_is_only_a_word(store: RunStore, trained: Run, trick: str) -> None:
    before = set(store.root.parent.rglob("*"))
    made = imports.bring_in(store, trained.weights_path, trick, {})
    assert {path for path in set(store.root.parent.rglob("*")) - before if not path.is_relative_to(made.path)} == set()
    source = made.record.source
    assert source is not None
    assert "/" not in source.name
    assert source.name.isprintable()
    assert len(source.name) <= 80


@pytest.mark.parametrize("trick", ["a\0b", "\ud800", "--json", "x" * 200_000], ids=["NUL", "half", "flag", "long"])
def test_name_of_an_upload_reaches_the_importing_process_as_a_word(store: RunStore, trained: Run, trick: str) -> None:
    made = jobs.bring_in(store, trained.weights_path, trick, {})
    assert made.record.source is not None
    assert made.record.source.name.isprintable()
