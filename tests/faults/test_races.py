"""Many processes press the buttons of one run at once: one writer, and one consistent end."""

import gc
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from fashion_core.errors import RunStateError
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.faults.lives import Tally, assert_same_end
from tests.support.processes import ROOT, wait_for_end, wait_until, workers
from tests.support.runs import another, new_run, set_state, trained

EPOCHS = 12
BUTTONS = (["start", "continue", "stop"], ["continue", "stop", "delete"], ["start", "continue", "stop"])
"""In turn: a run is not deleted in each round."""
HAND = """
import json, random, sys, time
from collections import Counter
from fashion_core.errors import FashionError
from fashion_core.runs import queue
from fashion_core.runs.store import RunStore
store = RunStore()
for line in sys.stdin:
    wanted = json.loads(line)
    run, draw, answers = store.at(wanted["run"]), random.Random(wanted["seed"]), Counter()
    buttons = {
        "start": lambda: queue.advance(store),
        "continue": lambda: queue.continue_run(store, run),
        "stop": lambda: queue.stop(run),
        "delete": lambda: store.delete(run),
    }
    deadline = time.monotonic() + wanted["seconds"]
    while time.monotonic() < deadline:
        button = draw.choice(wanted["buttons"])
        try:
            buttons[button]()
            answers[button] += 1
        except FashionError as error:
            answers[f"{button} refused by {type(error).__name__}"] += 1
        time.sleep(draw.uniform(0, 0.05))
    print(json.dumps(answers), flush=True)
"""


@pytest.fixture
def hands(store: RunStore, tally: Tally) -> Iterator["list[subprocess.Popen[str]]"]:
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([sys.executable, "-c", HAND], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(tally.rounds(6, 12))
    ]
    yield started
    for hand in started:
        hand.kill()
        hand.communicate()


def press(hands: "list[subprocess.Popen[str]]", run: Run, buttons: list[str], draw: random.Random) -> Counter[str]:
    wish: dict[str, Any] = {"run": run.id, "buttons": buttons, "seconds": draw.uniform(0.2, 3)}
    for hand in hands:
        assert hand.stdin
        print(json.dumps({**wish, "seed": draw.random()}), file=hand.stdin, flush=True)
    pressed = Counter[str]()
    for hand in hands:
        line = hand.stdout.readline() if hand.stdout else ""
        assert line, f"a hand died: {hand.communicate()[1]}"
        pressed.update(json.loads(line))
    return pressed


def bring_to_its_end(store: RunStore, run: Run) -> None:
    """Whatever state the hands left: no worker too many, and the run continues to its end."""
    queue.advance(store)
    wait_for_end(run)
    wait_until(lambda: workers(run) == [], "no worker is left")
    if run.state() != "finished":
        assert run.state() == "stopped", run.log_tail(20)
        queue.continue_run(store, run)
        wait_for_end(run)
        wait_until(lambda: workers(run) == [], "the last worker has left")
    assert run.state() == "finished", run.log_tail(20)


@pytest.mark.slow
def test_many_hands_on_one_run_leave_one_writer_and_one_end(
    store: RunStore, hands: "list[subprocess.Popen[str]]", tally: Tally
) -> None:
    straight = trained(store, epochs=EPOCHS)
    count, deleted, pressed = tally.rounds(2, 100), 0, Counter[str]()
    for number in range(count):
        draw = random.Random(number)
        run = another(store, straight)
        pressed += press(hands, run, BUTTONS[number % len(BUTTONS)], draw)
        if store.has(run.id):
            bring_to_its_end(store, run)
            assert_same_end(run, straight)
            store.delete(run)
        else:
            deleted += 1
            wait_until(lambda run=run: workers(run) == [], "no worker is left")  # type: ignore[misc]
        left = {path.name for path in store.root.iterdir()}
        assert left == {straight.id, ".queue.lock"}, f"round {number} left {left}"
    tally.survived(
        f"{count} rounds of {len(hands)} processes, {pressed.total():,} presses: one writer each; "
        f"{count - deleted} ended in the same bits, {deleted} were deleted whole"
    )


@pytest.mark.slow
def test_many_hands_that_press_continue_start_one_worker(store: RunStore, hands: "list[subprocess.Popen[str]]") -> None:
    run = new_run(store, epochs=10_000)
    set_state(run, "stopped")
    assert press(hands, run, ["continue"], random.Random(0))["continue"] == 1
    assert len(workers(run)) == 1


def test_lock_is_held_however_much_is_collected(store: RunStore) -> None:
    """A lock object without a reference would be released."""
    run = new_run(store)
    with run.writing():
        gc.collect()
        with pytest.raises(RunStateError, match="is being worked on"), Run(run.path).writing(timeout=0):
            pass
