"""A filled chart as it is sent: the spec, and its rows in Arrow's format."""

import pandas as pd
import pyarrow as pa

from fashion_core.charts import live
from fashion_core.charts.base import ChartSpec, filled_in, layered, named


def sent(frame: pd.DataFrame) -> list[dict[str, object]]:
    content = ChartSpec(layered([named("rows").mark_point()]), {"rows": frame}).to_dict()["datasets"]["rows"]
    return pa.ipc.open_stream(content).read_all().to_pylist()  # type: ignore[no-any-return]


def test_rows_arrive_as_they_are_without_their_index() -> None:
    frame = pd.DataFrame({"epoch": [0, 1], "loss": [0.5, 0.25], "saved": [True, False], "text": ["a", "ü"]}, [7, 9])
    assert sent(frame) == frame.to_dict("records")


def test_what_is_missing_is_a_gap_and_no_rows_are_no_rows() -> None:
    missing = pd.DataFrame({"loss": [float("nan")], "text": pd.Series([None], dtype="str")})
    assert sent(missing) == [{"loss": None, "text": None}]
    assert sent(missing.iloc[:0]) == []


def test_layer_without_rows_is_left_out_and_not_fed_unless_it_has_a_selection() -> None:
    rows, none = pd.DataFrame({"x": [1]}), pd.DataFrame({"x": []})
    spec = layered([*(named(data).mark_point() for data in "ab"), named("c").mark_rule().properties(name="hover")])
    sent = ChartSpec(spec, {"a": rows, "b": none, "c": none}).to_live_dict("losses")
    assert [layer["data"]["name"] for layer in sent["layer"]] == ["a", "c"]
    assert [one["name"] for one in sent["params"] if one["name"].startswith("fed_")] == ["fed_a", "fed_c"]


def test_height_is_that_of_the_rows_where_they_decide_it() -> None:
    spec = layered([named("rows").mark_point()], height=100)
    assert (ChartSpec(spec, {}).without_rows()["height"], ChartSpec(spec, {}, 40).without_rows()["height"]) == (100, 40)


def test_template_that_the_browser_fills_in_is_an_expression_whatever_it_quotes() -> None:
    assert filled_in("epoch {epoch}") == "'epoch ' + datum.epoch"
    assert filled_in("{name}: F1 {f1:.1%}") == "datum.name + ': F1 ' + format(datum.f1, '.1%')"
    assert filled_in("l'époque {epoch}") == '"l\'époque " + datum.epoch'


def test_another_choice_of_a_checkpoint_sends_other_rows_and_the_same_spec() -> None:
    epochs = pd.DataFrame({"epoch": [0, 1], "loss": [0.5, 0.25], "accuracy": [0.8, 0.9], "checkpoint": [True, True]})
    first, second = (live.chooser_chart(epochs, chosen) for chosen in (0, 1))
    assert first.without_rows() == second.without_rows()
    assert [list(chart.frames["epochs"]["chosen"]) for chart in (first, second)] == [[True, False], [False, True]]
