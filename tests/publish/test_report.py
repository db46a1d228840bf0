"""A report: one file that needs nothing else, in which names are text."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fashion_core.publish import report
from fashion_core.runs.store import RunStore
from tests.publish.conftest import HOSTILE, Family
from tests.support.commands import Capture, answered, refused
from tests.support.runs import new_run


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def addresses(self) -> list[str]:
        named = ("src", "srcset", "href", "data", "action")
        return [value for _, given in self.tags for name in named if (value := given.get(name))]


@pytest.fixture(scope="module")
def page(family: Family) -> Parsed:
    return Parsed(report.render(family.store, [family.parent, family.child]))


def test_nothing_in_it_is_elsewhere_and_nothing_runs(page: Parsed) -> None:
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in page.addresses())
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    assert not [name for _, given in page.tags for name in given if name.startswith("on")]


def test_names_notes_and_tags_are_text(page: Parsed) -> None:
    for text in (HOSTILE, "<img src=x onerror=alert(1)>", "<b>tag"):
        assert text in page.text
    assert {given.get("src", "data:")[:5] for tag, given in page.tags if tag == "img"} == {"data:"}  # type: ignore[index]


def test_it_has_the_charts_of_the_pages_for_a_screen_and_for_a_phone(page: Parsed) -> None:
    titles = [given["alt"] for tag, given in page.tags if tag == "img"]
    of_a_run = ["Losses by optimizer step", "Test accuracy by epoch"]
    resumed = ["From loss_last to loss_now", "Where each run branched off", "The tree of runs"]
    assert titles == ["Test loss by epoch on synthetic garments", *resumed, *of_a_run, *of_a_run]
    for wide, narrow in zip(pictures(page, "img", "src"), pictures(page, "source", "srcset"), strict=True):
        assert float(wide.attrib["width"]) > 1000
        assert float(narrow.attrib["width"]) < 360
        assert not [one for one in wide.iter() if one.tag.endswith(("script", "image", "foreignObject"))]


def pictures(page: Parsed, tag: str, name: str) -> list[ElementTree.Element]:
    addresses = [given[name] or "" for found, given in page.tags if found == tag]
    return [ElementTree.fromstring(base64.b64decode(address.partition(",")[2])) for address in addresses]


def test_it_has_the_numbers_and_the_settings(page: Parsed, family: Family) -> None:
    for run in (family.parent, family.child):
        assert run.id in page.text
    assert "learning rate 0.001 → 0.0001" in page.text
    assert re.search(r"1 of 1 resumed run is|0 of 1 resumed run is", page.text)
    assert page.text.count("Batch size") == 2


def test_run_without_an_epoch_has_a_report_too(store: RunStore) -> None:
    page = Parsed(report.render(store, [new_run(store)]))
    assert "No epoch has ended." in page.text
    assert [tag for tag, _ in page.tags if tag == "img"] == []


def test_command_writes_one_file_and_never_over_another(
    family: Family, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(family.store.root))
    out, run = tmp_path / "r.html", family.child.id
    found = answered(capsys, "report", run, run, out)
    assert (found["runs"], found["bytes"]) == ([run], out.stat().st_size)
    assert "exists already" in refused(capsys, "report", run, str(out))
    assert "ends in .html" in refused(capsys, "report", run, family.parent.id)
    monkeypatch.setattr(report, "MOST_RUNS", 1)
    assert "at most 1 runs, not 2" in refused(capsys, "report", run, family.parent.id, str(tmp_path / "s.html"))
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
