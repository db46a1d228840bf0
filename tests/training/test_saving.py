"""Saving beside what goes on: in turn, to the end, and with errors that are heard of."""

import threading
from collections.abc import Callable

import pytest

from fashion_core.training.saving import Saver
from tests.support.processes import wait_until


class DiskFullError(Exception):
    """What saving raises in these tests."""


def fail() -> None:
    raise DiskFullError


def after(gate: threading.Event, then: Callable[[], None]) -> Callable[[], None]:
    def save() -> None:
        assert gate.wait(60)
        then()

    return save


def test_caller_goes_on_while_it_saves() -> None:
    gate, done = threading.Event(), threading.Event()
    with Saver() as saver:
        saver.begin(after(gate, done.set))
        saver.check()
        assert not done.is_set()
        gate.set()
    assert done.is_set()


def test_second_begins_once_the_first_has_ended() -> None:
    order: list[str] = []
    gate = threading.Event()
    with Saver() as saver:
        saver.begin(after(gate, lambda: order.append("first ends")))
        threading.Timer(0.05, gate.set).start()
        saver.begin(lambda: order.append("second begins"))
    assert order == ["first ends", "second begins"]


def test_error_is_raised_where_training_looks_or_waits_or_ends() -> None:
    saver = Saver()
    saver.begin(fail)

    def is_heard() -> bool:
        try:
            saver.check()
        except DiskFullError:
            return True
        return False

    wait_until(is_heard, "the error is heard of")
    with pytest.raises(DiskFullError):
        saver.wait()
    with pytest.raises(DiskFullError), Saver() as other:
        other.begin(fail)


def test_what_ended_training_stands_before_what_ended_saving() -> None:
    def diverge() -> None:
        with Saver() as saver:
            saver.begin(fail)
            raise KeyError

    with pytest.raises(KeyError):
        diverge()
