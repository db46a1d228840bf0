"""The crash drill of the Train page, with real workers: each run ends in the bits of its undisturbed twin."""

import random
import sys
import time

import pytest

from fashion_core.errors import RunStateError
from fashion_core.resume import drill
from fashion_core.runs.store import RunStore
from tests.faults.lives import Tally, assert_same_end, settings, start_worker
from tests.faults.workers import Nursery
from tests.support.processes import wait_until
from tests.support.runs import another, trained

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills what Linux alone forks")
DRILLS = 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_crash_drills_end_in_the_bits_of_the_undisturbed_twin(
    store: RunStore, forked: Nursery, tally: Tally
) -> None:
    twin, done = trained(store, **settings(tally.full)), 0
    while done < DRILLS:
        run = another(store, twin)
        start_worker(store, run)
        phase = random.choice(("starting", "training", "testing"))
        wait_until(lambda: run.status.phase == phase or not forked.latest.is_alive(), f"{phase} or the end")  # noqa: B023
        time.sleep(random.uniform(0, 0.1))  # the random moment
        try:
            drill.kill(run)
        except RunStateError:  # it was faster
            forked.end()
            assert run.state() == "finished", run.log_tail(20)
            store.delete(run)
            continue
        forked.end()
        assert (forked.was_killed, run.state()) == (True, "lost")
        assert drill.continue_run(store, run)
        assert drill.start_twin(store, run) is None, "its twin is there"
        forked.end()
        found = drill.compare(run, twin)
        assert found
        assert found.same
        assert_same_end(run, twin)
        store.delete(run)
        done += 1
    tally.survived(f"{done} crash drills: {done} runs ended in the bits of their undisturbed twin")
