"""Charts as pictures: in the colours of the light theme, with whole epochs, and with names as text."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pandas as pd

from fashion_core.charts.live import accuracy_chart
from fashion_core.charts.overlay import overlay_chart
from fashion_core.publish import drawing
from tests.support.charts import THEME


def epochs(*numbers: int) -> pd.DataFrame:
    loss = {"loss": 0.5, "train_loss": 0.5, "accuracy": 0.8}
    rows = [{"epoch": number, "step": 10 * (number + 1), "checkpoint": True, **loss} for number in numbers]
    return pd.DataFrame(rows)


def labels(picture: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def test_colours_are_those_of_the_light_theme() -> None:
    assert THEME["light"]["chartCategoricalColors"] == drawing.CATEGORY
    picture = drawing.svg(accuracy_chart(epochs(0, 1), range(2)), drawing.WIDE)
    assert THEME["light"]["chartCategoricalColors"][1] in picture


def test_axis_of_two_epochs_names_each_once() -> None:
    for width in (drawing.WIDE, drawing.NARROW):
        shown = labels(drawing.svg(accuracy_chart(epochs(3, 4), range(3, 5)), width))
        assert [label for label in shown if label.isdecimal()] == ["3", "4"]


def test_names_are_text_in_a_picture() -> None:
    name = "<script>alert(1)</script>"
    points = epochs(0, 1).assign(label=name)
    picture = drawing.svg(overlay_chart(points), drawing.WIDE)
    assert "<script" not in picture
    assert "&lt;script" in picture


def test_every_name_of_a_legend_is_inside_its_picture() -> None:
    """Four names stand in two rows once the axis has taken its room."""
    names = [f"run {number}" for number in range(4)]
    points = pd.concat([epochs(0, 1).assign(label=name) for name in names])
    root = ElementTree.fromstring(drawing.svg(overlay_chart(points), drawing.WIDE))
    places = {text: y for text, y in texts_down(root, 0.0) if text in names}
    assert places.keys() == {*names}
    assert max(places.values()) < float(root.attrib["height"])


def texts_down(element: ElementTree.Element, y: float) -> Iterator[tuple[str, float]]:
    """Each text below an element, and how far down the picture it stands."""
    moved = re.search(r"translate\([^,)]*,([-\d.]+)\)", element.get("transform", ""))
    y += float(moved[1]) if moved else 0.0
    if element.text:
        yield element.text, y
    for child in element:
        yield from texts_down(child, y)
