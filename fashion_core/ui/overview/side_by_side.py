"""Several runs beside each other: their curves in one chart, and what differs between them in one table."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from fashion_core.charts.overlay import MOST_CURVES, overlay_chart
from fashion_core.config import model_label, settings
from fashion_core.data.description import images_label
from fashion_core.resume.labels import setting_text
from fashion_core.runs import loss_curve
from fashion_core.runs.run import Run
from fashion_core.runs.schema import RunRecord
from fashion_core.ui import address, common
from fashion_core.ui.overview import texts
from fashion_core.ui.texts import HELPED, HELPED_VIEW

_SAME = ("name", "dataset", "model")  # not among the settings: they stand above them


def show_curves(runs: Sequence[Run]) -> None:
    """A chart a dataset: losses of different ones have no scale in common."""
    labels = loss_curve.unique_titles(_first(runs))
    points = _points(labels)
    for dataset, curves in points.groupby("dataset"):
        label = images_label(str(dataset))
        st.caption(common.plain(label))
        chart, alt = overlay_chart(curves).to_dict(), texts.CURVES_CHART.format(dataset=label)
        st.vega_lite_chart(chart, key=f"curves {dataset}", alt=alt)
    if points.empty:
        st.info(texts.NO_EPOCH_YET, icon=":material/hourglass_empty:")
    elif without := [common.plain(label) for label in labels.values() if label not in set(points["label"])]:
        st.caption(texts.NO_CURVE.format(runs=", ".join(without)))


def _first(runs: Sequence[Run]) -> Sequence[Run]:
    if len(runs) > MOST_CURVES:
        st.caption(texts.FIRST_RUNS.format(shown=MOST_CURVES, count=len(runs)))
    return runs[:MOST_CURVES]


def _points(labels: Mapping[Run, str]) -> pd.DataFrame:
    """The curves of these runs, by their labels; what is wrong with one is shown."""
    curves = []
    for run, label in labels.items():
        with common.problems_shown():
            curves.append(loss_curve.curve_frame(run, label))
    return loss_curve.joined(curves)


def show_table(runs: Sequence[Run], rows: pd.DataFrame) -> None:
    """A column a run, so that nothing ranks them: what came of it, and the settings in which they differ."""
    known, columns = {row.id: row for row in rows.itertuples()}, {}
    for run, label in loss_curve.unique_titles(_first(runs)).items():
        with common.problems_shown():
            columns[label] = _results(known[run.id], run.record) | _settings(run)
    table = pd.DataFrame(columns)
    names = {setting.label for setting in settings()}
    differs = table.nunique(axis=1).gt(1) | ~table.index.isin(names)
    common.show_table(table[differs], alt=texts.DIFFERENCES_TABLE)
    st.caption(texts.SAME_LEFT_OUT)
    if rows["parent"].notna().any():
        address.link("resume.py", HELPED, ":material/compare_arrows:", {"view": HELPED_VIEW})


def _results(row: Any, record: RunRecord) -> dict[str, str]:
    return {
        texts.STATE: row.state,
        texts.DATASET: images_label(record.images),
        texts.MODEL: model_label(record.config.model),
        texts.EPOCHS_TRAINED: _cell(row.epochs),
        texts.BEST_LOSS: _cell(row.best_loss, "{:.4f}"),
        texts.ACCURACY: _cell(row.accuracy, "{:.2%}"),
        texts.RESUMED_FROM: _cell(row.parent),
    }


def _cell(value: Any, template: str = "{}") -> str:
    return "–" if pd.isna(value) else template.format(value)


def _settings(run: Run) -> dict[str, str]:
    config = run.record.config
    shown = [setting for setting in settings() if setting.name not in _SAME]
    return {one.label: setting_text(one.name, getattr(config, one.name)) for one in shown}
