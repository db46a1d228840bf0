"""What every chart owes to the reader's theme: its series' colours, inks that follow the background, readable axes."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from fashion_core.charts import base, live
from tests.charts import test_comparison, test_evaluation, test_files
from tests.charts.test_live import batches, epochs, loss_last

ALL: dict[str, Callable[[], Any]] = {
    **test_comparison.ALL,
    **test_evaluation.ALL,
    **test_files.ALL,
    "live": lambda: live.live_chart(batches(10), epochs(2), 500, loss_last(0.4)),
    "accuracy": lambda: live.accuracy_chart(epochs(2), range(5)),
}


@pytest.fixture(scope="module", params=ALL)
def spec(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = ALL[request.param]().without_rows()
    return found


def test_series_are_painted_by_the_theme(spec: dict[str, Any]) -> None:
    nominal = [
        encoding["scale"]
        for layer in spec["layer"]
        for channel in ("color", "stroke", "fill")
        if (encoding := layer["encoding"].get(channel)) and encoding.get("type") == "nominal"
    ]
    assert nominal
    assert all(set(scale) == {"domain"} for scale in nominal)


def test_no_colour_is_there_but_the_inks_that_follow_the_background(spec: dict[str, Any]) -> None:
    text = json.dumps(spec)
    for ink in (base.INK, base.MUTED, base.FAINT, base.PAPER):
        text = text.replace(json.dumps(str(ink.expr))[1:-1], "")
    assert re.findall("#[0-9A-Fa-f]{6}", text) == []


def test_texts_and_axes_have_a_colour_that_is_not_black(spec: dict[str, Any]) -> None:
    for layer in spec["layer"]:
        if layer["mark"]["type"] == "text":
            assert "color" in layer["mark"] or "color" in layer["encoding"]
        for channel in ("x", "y"):
            if axis := layer["encoding"].get(channel, {}).get("axis"):
                assert axis["labelColor"] == axis["titleColor"] == base.MUTED.to_dict()
