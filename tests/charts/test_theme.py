"""What every chart owes to the reader's theme: its series' colours, inks that follow the background, readable axes."""

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from fashion_core.charts import base, live
from tests.charts import test_comparison, test_evaluation, test_files
from tests.charts.test_live import batches, epochs, loss_last
from tests.support.processes import ROOT

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


Color = tuple[float, ...]


def color(text: str) -> Color:
    return tuple(int(text[at : at + 2], 16) for at in (1, 3, 5))


def mixed(front: Color, share: float, back: Color) -> Color:
    return tuple(share * one + (1 - share) * other for one, other in zip(front, back, strict=True))


def contrast(one: Color, other: Color) -> float:
    """Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(rgb: Color) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in rgb)]
    return sum(map(float.__mul__, (0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize(("scheme", "nth"), [("light", 0), ("dark", 1)])
def test_texts_reach_a_contrast_of_four_and_a_half(scheme: str, nth: int) -> None:
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"][scheme]
    page, panel, text = (color(theme[f"{name}Color"]) for name in ("background", "secondaryBackground", "text"))
    for name in ("blue", "orange", "gray"):
        badge = mixed(color(theme[f"{name}Color"]), 0.1 if scheme == "light" else 0.2, page)
        assert contrast(color(theme[f"{name}TextColor"]), badge) >= 4.5, name
    assert contrast(mixed(text, 0.6, page), page) >= 4.5, "captions"
    code = mixed(page, 0.5, panel)
    pairs = re.findall(
        r"light-dark\((#\w+), (#\w+)\)", (ROOT / "fashion_core" / "ui" / "present" / "page.css").read_text()
    )
    assert len(pairs) >= 6
    for pair in pairs:
        assert contrast(color(pair[nth]), code) >= 4.5, pair[nth]
