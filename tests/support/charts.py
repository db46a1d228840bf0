"""Answers of models, histories of checkpoints, and colours."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest

from fashion_core.charts.base import ChartSpec
from fashion_core.charts.evaluation_tables import History
from fashion_core.config import CLASS_NAMES, CLASSES
from fashion_core.inference.scores import Answers, Array

THEME: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8")
)["theme"]


def contrast(*colors: str) -> float:
    """Of two colours, by their relative luminances as WCAG 2.2 defines both."""
    shares = [[int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)] for color in colors]
    linear = [[part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb] for rgb in shares]
    low, high = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear)
    return (high + 0.05) / (low + 0.05)


def drawing(chart: ChartSpec) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The spec without its rows, and a frame of the rows of each source."""
    return chart.without_rows(), {name: frame.reset_index(drop=True) for name, frame in chart.frames.items()}


def layers(spec: dict[str, Any], mark: str, data: str | None = None) -> list[dict[str, Any]]:
    found = [layer for layer in spec["layer"] if layer["mark"]["type"] == mark]
    return found if data is None else [layer for layer in found if layer["data"]["name"] == data]


def fields(layer: dict[str, Any], *channels: str) -> tuple[Any, ...]:
    return tuple(layer["encoding"][channel].get("field") for channel in channels)


def as_sent(*charts: ChartSpec, **options: Any) -> list[Any]:
    """What Streamlit sends of each chart, when a page shows one after another in the same place."""

    def page() -> None:
        import streamlit as st

        st.vega_lite_chart(st.session_state["chart"], key="chart", **st.session_state["options"])

    app, sent = AppTest.from_function(page), []
    app.session_state["options"] = options
    for chart in charts:
        app.session_state["chart"] = chart.to_dict()
        sent.append(app.run().get("vega_lite_chart")[0].proto)
    return sent


def tuples(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return list(frame[list(columns)].itertuples(index=False, name=None))


def answers_from(*pairs: tuple[int, int, float]) -> Answers:
    """Answers by (label, predicted, confidence); the other classes share the rest of 1."""
    rows = np.array([[(1 - sure) / (CLASSES - 1)] * CLASSES for _, _, sure in pairs], dtype=np.float32)
    for row, (_, predicted, sure) in zip(rows, pairs, strict=True):
        row[predicted] = sure
    return Answers(rows, np.array([label for label, _, _ in pairs], dtype=np.int64), CLASS_NAMES)


def right_and_wrong(pattern: str) -> Answers:
    """One answer a letter: r is right, w is wrong."""
    return answers_from(*((0, 0 if letter == "r" else 1, 0.9) for letter in pattern))


FOUR = answers_from((0, 0, 0.9), (0, 6, 0.8), (6, 6, 0.7), (1, 1, 0.6))
SHIRT, COAT, T_SHIRT = 6, 4, 0
PIXELS = np.arange(4 * 784, dtype=np.uint32).astype(np.uint8).reshape(4, 1, 28, 28)


def row(*shares: tuple[int, float]) -> Array:
    """(10,) with these probabilities, the rest spread evenly."""
    given = dict(shares)
    rest = (1 - sum(given.values())) / (10 - len(given))
    return np.array([given.get(label, rest) for label in range(10)], np.float32)


def history(run: str, epochs: dict[int, Array], parent: str | None = None, branch: int | None = None) -> History:
    numbers, shares = np.array(list(epochs), np.int64), np.array(list(epochs.values()))
    return History(run, f"name of {run}", parent, branch, numbers, shares)


FAMILY = [
    history("grandchild", {4: row((COAT, 0.7), (SHIRT, 0.2))}, "child", 3),
    history("base", {epoch: row((T_SHIRT, 0.6), (SHIRT, 0.1 * epoch)) for epoch in range(3)}),
    history("child", {2: row((SHIRT, 0.5)), 3: row((SHIRT, 0.6))}, "base", 1),
]
