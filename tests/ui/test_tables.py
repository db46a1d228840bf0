"""Tables that people download: a spreadsheet computes nothing in them."""

import io

import numpy as np
import pandas as pd
import pytest

from fashion_core.ui.common import csv_text

FORMULAS = ["=1+1", "+1+cmd", "-1+1", "@SUM(A1)", "\tx", "\rx", "\nx", " =1", "＝1", "-2+3+cmd|' /C calc'!A0", "-a"]
HARMLESS = ["run", "", "a=b", "'=1", "-0.5", "+5", "-1e-3", "-2.5 %", "1,234", "−3", "می\u200cشود"]


def cells(*texts: object) -> list[str]:
    """What a reader finds in a column of these."""
    table = pd.DataFrame({"name": list(texts), "loss": -0.5})
    return list(pd.read_csv(io.StringIO(csv_text(table)), dtype=str, keep_default_na=False)["name"])


@pytest.mark.parametrize("text", FORMULAS, ids=repr)
def test_text_that_begins_a_formula_is_quoted(text: str) -> None:
    assert csv_text(pd.DataFrame({"name": [text]})).splitlines()[1].strip('"').startswith("'")


@pytest.mark.parametrize("text", HARMLESS, ids=repr)
def test_other_text_is_as_it_is(text: str) -> None:
    assert cells(text, "end")[0] == text


def test_numbers_stay_numbers() -> None:
    table = pd.DataFrame({"loss": [-0.5, np.nan], "change": np.array([0.1, -0.2], "float32"), "epoch": [-1, 2]})
    assert csv_text(table) == table.to_csv(index=False)


@pytest.mark.parametrize("kind", ["object", "str", "category"])
def test_text_of_every_kind_of_column_is_quoted(kind: str) -> None:
    table = pd.DataFrame({"name": pd.Series(["=1+1"], dtype=kind), "missing": [None], "tags": [["=1+1", "a"]]})
    (line,) = csv_text(table).splitlines()[1:]
    assert line.startswith("'=1+1,")
    assert "'=1+1" in line.partition(",")[2]


def test_tables_on_pages_are_given_the_same_as_their_toolbar_downloads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import streamlit as st

    from fashion_core.ui import common

    given: list[pd.DataFrame] = []
    monkeypatch.setattr(st, "dataframe", given.append)
    common.show_table(pd.DataFrame({"name": ["=1+1"], "tags": [["=1"]]}))
    assert given[0].to_dict("list") == {"name": ["'=1+1"], "tags": [["'=1"]]}
