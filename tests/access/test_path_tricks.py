"""Ids, epochs, names and addresses that try to leave the store: none does, and each is one sentence."""

import os
import re
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark.structures import ParameterSet

from fashion_core.cli import main
from fashion_core.formats import import_file
from fashion_core.inference.client import PREDICTOR
from fashion_core.resume import tables
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address
from tests.support.commands import Capture
from tests.support.files import files_below, files_opened
from tests.support.pages import open_page, sent
from tests.support.runs import copied, resume, set_state, train, trained

SECRET = "what stands outside the store"
ELSEWHERE = "20250101-000000-000-0000"
ENDLESS = "9" * 5000
TRICKS = (
    *(f"../outside/{ELSEWHERE}", f"..%2foutside%2f{ELSEWHERE}", f"%2e%2e/outside/{ELSEWHERE}"),
    *(f"..\\outside\\{ELSEWHERE}", f"x/../../outside/{ELSEWHERE}", "/etc/passwd", "file:///etc/passwd", "..", "."),
    *(f"{ELSEWHERE}\0", "\0", "２０２５0101-000000-000-0000", "*", ENDLESS, "-1", "x" * 100_000, "${HOME}"),
    "'; drop table runs; --",
)
LIKELIEST = {
    "run": (TRICKS[0],),
    "epoch": (f"../../../outside/{ELSEWHERE}/model_save/0", ENDLESS),
    "at": (ENDLESS,),
    "image": (ENDLESS,),
    "file": (f"../../outside/{ELSEWHERE}/model_weights.pth",),
    "with": (f"../outside/{ELSEWHERE}/model_weights.pth", f"{{run}}/../../outside/{ELSEWHERE}/model_weights.pth"),
}
"""What would lead to the copy outside, were these parameters taken for paths; and a number too long for a number."""


class Place(NamedTuple):
    """Where a page reads one parameter: what shows that it got there, and what else the address says."""

    page: str
    parameter: str
    shows: str
    rest: dict[str, str]


RUN, FILE = {"run": "{run}"}, {"run": "{run}", "epoch": "1"}
QUALITY, HISTORY = {**FILE, "view": "Evaluation"}, {**FILE, "view": "Checkpoint history"}
TWO, COMPARE = {**FILE, "view": "Two models"}, {**FILE, "show": "Compare"}
HELPED, LINEAGE = {"view": "Helped"}, {"view": "Lineage"}
NO_RUN, NO_FILE, NO_IMAGE = "No run in .* has the id", "has no saved file", "no whole number from 0 to 1,999"
NO_EPOCH, LISTED, FIRST_PAGE = "a whole number", r"2 of \d+ files", r"page 1 of \d+"
ALONE: dict[str, str] = {}
PLACES = tuple(
    Place(page, parameter, shows, rest)
    for pages, parameters, shows, rest in (
        ("overview train lesson checkpoints", "run", NO_RUN, ALONE),
        ("checkpoints", "run", NO_RUN, {"epoch": "1"}),
        ("checkpoints", "epoch", NO_EPOCH, RUN),
        ("checkpoints", "file", NO_FILE, RUN),
        ("checkpoints", "view of format at best page", LISTED, FILE),
        ("checkpoints", "show", "Bytes by layer", FILE),
        ("checkpoints", "with", f"{NO_RUN}|{NO_FILE}|Compare with", COMPARE),
        ("resume", "run", NO_RUN, {"epoch": "1"}),
        ("resume", "epoch", NO_EPOCH, RUN),
        ("resume", "view", "Additional epochs", FILE),
        ("resume", "group", "No run belongs to the group", FILE),
        ("resume", "now", "loss_now is", HELPED),
        ("resume", "sort", "Sort by", HELPED),
        ("resume", "from", "Resumed from", HELPED),
        ("resume", "focus", "Where each run branched off", HELPED),
        ("resume", "trees", "one page of trees", LINEAGE),
        ("predict", "run", NO_RUN, {"epoch": "1"}),
        ("predict", "epoch", f"{NO_EPOCH}|{NO_FILE}", RUN),
        ("predict", "file", NO_FILE, RUN),
        ("predict", "view show class gallery-page", FIRST_PAGE, FILE),
        *(("predict", "image", NO_IMAGE, rest) for rest in (FILE, HISTORY, QUALITY, TWO)),
        ("predict", "cell", "cell should be two classes", QUALITY),
        ("predict", "cell-page", f"predicted as(?s:.*){FIRST_PAGE}(?s:.*){FIRST_PAGE}", {**QUALITY, "cell": "8-8"}),
        ("predict", "mistakes-page", FIRST_PAGE, QUALITY),
        ("predict", "with", f"{NO_RUN}|{NO_FILE}|Second file", TWO),
        ("predict", "differing-page", FIRST_PAGE, TWO),
    )
    for page in pages.split()
    for parameter in parameters.split()
)
"""All that the pages read of an address, each where the rest of it is in order."""


def tricks() -> Iterator[ParameterSet]:
    """Each place with its likeliest tricks, or else the next one in turn; and, slow, with every third of the others.

    So every trick is tried somewhere, and in CI at a dozen places.
    """
    in_turn = cycle(TRICKS)
    for number, place in enumerate(PLACES):
        quick = LIKELIEST.get(place.parameter) or (next(in_turn),)
        for trick in dict.fromkeys((*quick, *TRICKS[number % 3 :: 3])):
            marks = () if trick in quick else (pytest.mark.slow,)
            name = "&".join((place.page, *place.rest.values(), place.parameter))
            yield pytest.param(place, trick, marks=marks, id=f"{name}={trick[:24]!a}")


class Family(NamedTuple):
    """A store of runs that were really trained, the second resumed from the first, and a copy of one beside it."""

    run: Run
    outside: Path
    before: dict[Path, tuple[int, int, int]]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[Family]:
    """Only looked at; what answers for its models does not outlive these tests."""
    folder = tmp_path_factory.mktemp("tricks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(synthetic_data))
        patch.setenv("FASHION_RUNS", str(folder / "runs"))
        store = RunStore()
        run = trained(store, name="inside", epochs=2, optimizer="adam")
        train(resumed := resume(store, run, 0))
        set_state(resumed, "finished")
        trained(store, name="another tree")
        PREDICTOR.close()
        yield Family(run, copied_beside(run), files_below(folder))
        PREDICTOR.close()


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "PAGE_ROWS", 2)
    monkeypatch.setattr(tables, "MOST_LANES", 1)


def copied_beside(run: Run) -> Path:
    outside = run.path.parent.parent / "outside" / ELSEWHERE
    shutil.copytree(run.path, outside)
    theirs = Run(outside)
    theirs.write_labels(theirs.labels.model_copy(update={"name": SECRET}))
    return outside


@pytest.fixture
def inside(store: RunStore, family: Family) -> Run:
    copied_beside(run := copied(family.run, store))
    return run


def led_out(paths: list[str], outside: Path) -> list[str]:
    """Those of the paths that a trick leads to."""
    reals = [Path(os.path.realpath(path)) for path in paths]
    return [str(real) for real in reals if real == Path("/etc/passwd") or real.is_relative_to(outside.parent)]


def test_reading_beside_the_store_would_be_noticed(family: Family) -> None:
    with files_opened("os.listdir", "os.scandir") as reads:
        Run(family.run.path.parent / TRICKS[0]).record  # noqa: B018  (it reads)
    assert led_out(reads, family.outside)


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize(("place", "trick"), list(tricks()))
def test_trick_in_an_address_is_one_sentence_or_the_page(family: Family, place: Place, trick: str) -> None:
    parts = {**place.rest, place.parameter: trick}
    query = {name: value.replace("{run}", family.run.id) for name, value in parts.items()}
    with files_opened("os.listdir", "os.scandir") as reads:
        app = open_page(place.page, **query)
    assert led_out(reads, family.outside) == []
    shown = sent(app)
    assert not [word for word in (SECRET, str(family.outside), "Traceback") if word in shown]
    assert len(app.error) <= 1
    assert re.search(place.shows, shown)
    assert files_below(family.outside.parent.parent) == family.before


def refused(capsys: Capture, *arguments: str) -> str:
    """The one line that a command says when it can't be done; or its usage."""
    try:
        status = main.main(arguments)
    except SystemExit as error:
        status = int(str(error.code))
    said = capsys.readouterr()
    assert status in (1, 2), (arguments, said.out)
    assert SECRET not in said.out + said.err
    return said.err


@pytest.mark.parametrize("command", ["show", "stop", "continue", "delete", "verify", "lesson"])
def test_id_on_the_command_line_stays_in_the_store(inside: Run, capsys: Capture, command: str) -> None:
    before = files_below(inside.path.parent.parent)
    for trick in TRICKS:
        assert re.match(r"fashion_core: No run in .* has the id|usage:", refused(capsys, command, trick)), trick
    assert files_below(inside.path.parent.parent) == before


@pytest.mark.parametrize("command", ["resume", "export", "formats", "delete"])
def test_epoch_on_the_command_line_stays_in_the_run(inside: Run, tmp_path: Path, capsys: Capture, command: str) -> None:
    before = files_below(inside.path.parent.parent)
    rest = ("--format", "weights", str(tmp_path / "out")) if command == "export" else ()
    for trick in (*TRICKS, "../../../outside", "0/../1", "0\0", "7"):
        assert refused(capsys, command, inside.id, trick, *rest), trick
    assert files_below(inside.path.parent.parent) == before


def test_name_of_a_file_from_outside_is_only_a_word(store: RunStore, inside: Run) -> None:
    for trick in TRICKS:
        before = set(store.root.parent.rglob("*"))
        made = import_file.import_file(store, inside.weights_path, trick, {})
        after = set(store.root.parent.rglob("*"))
        assert {path for path in after - before if not path.is_relative_to(made.path)} == set(), trick
        assert_is_a_word(made)


def assert_is_a_word(made: Run) -> None:
    assert made.record.source
    name = made.record.source.name
    assert (name.isprintable(), "/" in name, len(name) <= 80) == (True, False, True)


@pytest.mark.slow
@pytest.mark.parametrize("trick", ["--json", "a\0b\ud800" + "x" * 200_000], ids=["flag", "NUL, half and long"])
def test_name_of_an_upload_reaches_the_importing_process_as_a_word(store: RunStore, inside: Run, trick: str) -> None:
    assert_is_a_word(torch_process.import_file(store, inside.weights_path, trick, {}))
