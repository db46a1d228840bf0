"""What two processes of this package say to each other."""

import io
from pathlib import Path

import numpy as np
import pytest

from fashion_core.inference.client import Message, receive, send


def sent(*messages: Message) -> bytes:
    stream = io.BytesIO()
    for message in messages:
        send(stream, message)
    return stream.getvalue()


def test_messages_arrive_as_they_were_sent_one_after_the_other() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    stream = io.BytesIO(sent(Message({"ask": "x", "n": None}, {"pixels": pixels}), Message({"ask": "y"})))
    first, second = receive(stream), receive(stream)
    assert first is not None
    assert first.values == {"ask": "x", "n": None}
    np.testing.assert_array_equal(first.arrays["pixels"], pixels)
    assert second == Message({"ask": "y"})
    assert receive(stream) is None


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, -1])
def test_a_message_that_broke_off_is_none(kept: int) -> None:
    assert receive(io.BytesIO(sent(Message({"ask": "x"}))[:kept])) is None


def test_an_object_is_never_pickled_on_the_way(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        send(io.BytesIO(), Message({}, {"object": np.array([tmp_path], dtype=object)}))
