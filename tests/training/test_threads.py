"""A run takes as many threads as are fastest at the moment, and ends in the same bits as with any fixed number."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.training import threads
from fashion_core.training.threads import Pace, fastest, harmless_counts
from tests.support.runs import FEW, After, config, new_run, train
from tests.support.steps import end_of, same

Machine = Callable[[int], float]
"""How many seconds a step takes with a number of threads."""


def alone(count: int) -> float:
    return 1e-3 * (0.3 + 0.8 / count)


def in_company(count: int) -> float:
    """Each thread that shares an operator may lose its core, and keeps the others waiting."""
    return 1e-3 if count == 1 else 10e-3


def seconds_of_steps(pace: Pace, machine: Machine, steps: int) -> float:
    taken = 0.0
    for _ in range(steps):
        seconds = machine(pace.threads)
        pace.add(seconds)
        taken += seconds
    return taken


@pytest.mark.parametrize("counts", [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8, 16]])
@pytest.mark.parametrize("machine", [alone, in_company])
def test_steps_take_hardly_longer_than_with_the_best_number(counts: list[int], machine: Machine) -> None:
    steps = 20_000
    best = min(map(machine, counts)) * steps
    assert seconds_of_steps(Pace(counts), machine, steps) < 1.03 * best


def test_best_number_between_one_and_the_most_is_found() -> None:
    def machine(count: int) -> float:
        return 1e-3 * (1 / count + 0.1 * count)

    pace = Pace([1, 2, 4, 8, 16])
    seconds_of_steps(pace, machine, 2_000)
    assert seconds_of_steps(pace, machine, 10_000) < 1.05 * 10_000 * machine(4)


def test_number_follows_company_as_it_comes_and_goes() -> None:
    pace = Pace([1, 2])
    seconds_of_steps(pace, alone, 10_000)
    assert seconds_of_steps(pace, in_company, 10_000) < 1.1 * 10_000 * in_company(1)
    assert seconds_of_steps(pace, alone, 20_000) < 1.1 * 20_000 * alone(2)


def test_trial_that_loses_ends_early() -> None:
    pace = Pace([1, 2])
    seconds_of_steps(pace, in_company, 1_000)
    tried = 0
    for _ in range(10_000):
        tried += pace.threads == 2
        pace.add(in_company(pace.threads))
    assert 0 < tried < 20


def test_numbers_that_change_no_bit_are_all_offered() -> None:
    assert harmless_counts(lambda: [torch.ones(3), torch.tensor(float("nan"))], 6) == [1, 2, 4, 6]
    assert harmless_counts(lambda: [torch.ones(3)], 1) == [1]


@pytest.mark.parametrize("differs_at", [2, 3])
def test_where_the_number_changes_a_bit_it_stays(differs_at: int) -> None:
    def compute() -> list[Tensor]:
        return [torch.ones(3), torch.tensor(-0.0 if torch.get_num_threads() == differs_at else 0.0)]

    assert harmless_counts(compute, 3) == [3]


def test_what_takes_one_thread_long_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "CHECK_SECONDS", 0.0)
    assert harmless_counts(lambda: [torch.ones(3)], 2) == [2]
    assert torch.get_num_threads() == 2


def automatic_run(store: RunStore, most: int, threads_open: bool = False, **settings: Any) -> Run:
    fixed = new_run(store, threads=most).record.environment
    return store.create(config(threads=0, **settings), fixed.model_copy(update={"threads_open": threads_open}))


@pytest.mark.parametrize(("machine", "chosen"), [(alone, 4), (in_company, 1), (lambda count: 0.2, 4)])
def test_number_that_stays_is_the_fastest_of_a_few_steps(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, chosen: int
) -> None:
    now = 0.0

    def step() -> None:
        nonlocal now
        now += machine(torch.get_num_threads())

    monkeypatch.setattr("time.perf_counter", lambda: now)
    assert fastest(step, 4) == chosen
    assert now < 0.5


def test_number_that_stays_is_written_down_before_the_first_step(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that can't be checked in time keeps what was measured, however often it is continued."""
    monkeypatch.setattr(threads, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(threads, "CLEARLY_FASTER", 1e9)
    run = automatic_run(store, 2, threads_open=True, train_images=320, batch_size=32, epochs=2)
    assert train(run, After(3), FEW) == "stopped"
    environment = run.record.environment
    assert (environment.threads, environment.threads_open) in [(1, False), (2, False)]
    straight = end_of(new_run(store, threads=environment.threads, train_images=320, batch_size=32, epochs=2))
    assert same(end_of(run), straight)
    assert run.record.environment == environment


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any trial counts as won, so that the number changes every few steps."""
    before = torch.get_num_threads()
    for name, value in (("FASTER", 1e9), ("SHORTEST_PATIENCE", 0.0), ("TRIAL_STEPS", 2), ("CHECK_SECONDS", 60.0)):
        monkeypatch.setattr(threads, name, value)
    yield
    torch.set_num_threads(before)


RUNS: dict[str, dict[str, Any]] = {
    "mlp": {"optimizer": "adam", "augmentation": "flip and shift"},
    "mlp, bf16": {"momentum": 0.9, "precision": "bf16"},
    "cnn": {"model": "cnn", "batch_size": 16},
}


needs_mkl = pytest.mark.skipif(
    not torch.backends.mkl.is_available(),  # type: ignore[no-untyped-call]
    reason="without MKL the number of threads may change bits",
)


@needs_mkl
@pytest.mark.parametrize("name", RUNS)
def test_number_that_changes_all_the_time_changes_no_bit(store: RunStore, restless: None, name: str) -> None:
    settings = {"train_images": 19 * 16, "batch_size": 32, "epochs": 2, **RUNS[name]}
    straight = end_of(new_run(store, threads=2, **settings))
    seen = set()

    def note() -> bool:
        seen.add(torch.get_num_threads())
        return False

    assert same(end_of(automatic_run(store, 2, **settings), note), straight)
    assert seen == {1, 2}
    stopped = automatic_run(store, 2, **settings)
    assert train(stopped, After(7), FEW) == "stopped"
    assert same(end_of(stopped), straight)
