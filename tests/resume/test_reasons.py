"""Reasons are stored in no language: as ids with values, which ``reasons.texts`` puts in words."""

from typing import Any

import pytest

from fashion_core.formats.inspect import MISSING
from fashion_core.resume import reasons
from fashion_core.runs.schema import Message, Resumption


def test_every_part_that_a_file_can_lack_has_its_sentence() -> None:
    for what, phrase in MISSING.items():
        assert reasons.texts([Message(id=f"no {what}")]) == [f"it does not carry {phrase}"]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("as an earlier version wrote it", "as an earlier version wrote it"),
        ({"id": "of a later version", "values": {"x": 1}}, "of a later version"),
        ({"id": "cosine"}, "cosine"),
        ({"id": "all kept", "values": {"kept": "a text"}}, "all kept"),
        ({"id": "setting", "values": {"setting": "gone", "before": 1, "after": 2}}, "gone 1 → 2"),
        ({"id": "setting", "values": {"setting": "seed", "before": "{0}", "after": 2}}, "seed {0} → 2"),
    ],
)
def test_reasons_of_other_versions_are_shown_as_far_as_they_are_known(reason: Any, text: str) -> None:
    read = Resumption.model_validate({"parent_name": "", "changes": {}, "verdict": "exact", "reasons": [reason]})
    assert reasons.texts(read.reasons) == [text]
