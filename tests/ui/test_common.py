"""Text that is safe to show, and can be copied."""

import pandas as pd
import pytest

from fashion_core.ui import common


@pytest.mark.parametrize(
    "text", ["localhost:8501", "train.py:12", "C:/data", "a: b", "user@host", "12:30", "20261129-073000-000-1a2b"]
)
def test_text_that_markdown_makes_nothing_of_has_no_invisible_characters(text: str) -> None:
    assert common.plain(text).replace("\\", "") == text


@pytest.mark.parametrize(
    "text", [":material/home:", ":+1:", ":smile:", "http://a.org", "www.a.org", "WWW.a.org", "x@a.org"]
)
def test_text_that_becomes_an_icon_or_a_link_is_broken_by_a_joiner(text: str) -> None:
    assert "\u2060" in common.plain(text)


@pytest.mark.parametrize(
    ("hours", "text"), [(0, "just now"), (1, "1 hour ago"), (2, "2 hours ago"), (24_000, "1,000 days ago")]
)
def test_one_is_not_plural(hours: int, text: str) -> None:
    moments = pd.Series([pd.Timestamp.now("UTC") - pd.Timedelta(hours=hours), pd.NaT])
    assert common.ages(moments).dropna().to_list() == [text]
