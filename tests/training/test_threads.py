"""A run takes as many threads as are fastest at the moment, and ends in the same bits as with any fixed number."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fashion_core.loops import Step
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.training import threads
from fashion_core.training.captured_step import CapturedStep
from fashion_core.training.threads import Pace, SteadyStep, fastest, harmless_counts
from tests.support.runs import FEW, After, config, never, new_run, train
from tests.support.steps import BATCH, CPU, batch, end_of, new_step, same

Machine = Callable[[int], float]
"""How many seconds a step takes with a number of threads."""


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


def test_threads_that_wake_up_late_are_not_held_against_a_number() -> None:
    pace, before, seconds = Pace([1, 2]), 2, 0.0
    seconds_of_steps(pace, in_company, 2_000)
    for _ in range(20_000):
        woken = 2e-3 if pace.threads > before else 0.0
        before = pace.threads
        pace.add(alone(before) + woken)
        seconds += alone(before) + woken
    assert seconds < 1.1 * 20_000 * alone(2)


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


@pytest.mark.parametrize("burst", [0.02, 0.05])
def test_short_burst_of_work_changes_nothing(burst: float) -> None:
    """Each second the server sends the pages that watch what they show, for instance."""
    now, numbers, pace = 0.0, [], Pace([1, 2])
    while now < 20:
        numbers.append(pace.threads)
        seconds = (in_company if now % 1 < burst else alone)(pace.threads)
        pace.add(seconds)
        now += seconds
    assert numbers.count(1) < 0.01 * len(numbers)


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


@pytest.mark.parametrize(
    ("machine", "most", "chosen", "limit"),
    [
        (alone, 4, 4, 0.25),
        (in_company, 2, 1, 0.25),
        (in_company, 16, 1, 0.35),
        (lambda count: 1e-3 * (0.85 if count == 1 else 1), 2, 1, 0.25),
        (lambda count: 1e-3 * (0.95 if count == 1 else 1), 2, 2, 0.25),
        (lambda count: 200 * alone(count), 16, 16, 0.8),  # a slow model on many cores
        (lambda count: 50 * in_company(count), 2, 1, 1.2),
    ],
)
def test_number_that_stays_is_the_fastest_of_a_few_steps(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, most: int, chosen: int, limit: float
) -> None:
    now = 0.0

    def step() -> None:
        nonlocal now
        now += machine(torch.get_num_threads())

    monkeypatch.setattr("time.perf_counter", lambda: now)
    assert fastest(step, most) == chosen
    assert now < limit


def automatic_run(store: RunStore, most: int, threads_open: bool = False, **settings: Any) -> Run:
    fixed = new_run(store, threads=most).record.environment
    return store.create(config(threads=0, **settings), fixed.model_copy(update={"threads_open": threads_open}))


SHORT: dict[str, Any] = {"train_images": 19 * 16, "batch_size": 32, "epochs": 2}
"""Nine full batches and a smaller one."""


@pytest.mark.parametrize("limit", ["CHECK_SECONDS", "CAPTURE_SECONDS"])
def test_number_that_stays_is_written_down_before_the_first_step(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(threads, limit, 0.0)  # so that bits are not compared, as of a slow model
    monkeypatch.setattr(threads, "fastest", lambda step, most: step() is not None and most - 1)
    run = automatic_run(store, 2, threads_open=True, **SHORT)
    assert train(run, After(3), FEW) == "stopped"
    environment = run.record.environment
    assert (environment.threads, environment.threads_open) == (1, False)
    assert same(end_of(run), end_of(new_run(store, threads=1, **SHORT)))
    assert run.record.environment == environment


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any trial counts as won, so that the number changes every few steps."""
    for name, value in (("FASTER", 1e9), ("SHORTEST_PATIENCE", 0.0), ("TRIAL_STEPS", 2)):
        monkeypatch.setattr(threads, name, value)
    for name in ("CAPTURE_SECONDS", "CHECK_SECONDS", "CHECKS_SECONDS"):
        monkeypatch.setattr(threads, name, 60.0)


RUNS: dict[str, dict[str, Any]] = {
    "mlp": {"optimizer": "adam", "augmentation": "flip and shift"},
    "mlp, bf16": {"momentum": 0.9, "precision": "bf16"},
    "cnn": {"model": "cnn", "batch_size": 16},
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "mlp")) for name in RUNS])
def test_number_that_changes_all_the_time_changes_no_bit(store: RunStore, restless: None, name: str) -> None:
    settings = {**SHORT, **RUNS[name]}
    straight = end_of(new_run(store, threads=2, **settings))
    assert same(end_of(automatic_run(store, 2, **settings)), straight)
    stopped = automatic_run(store, 2, **settings)
    assert train(stopped, After(7), FEW) == "stopped"
    assert same(end_of(stopped), straight)


def numbers_seen(run: Run, should_stop: Callable[[], bool] = never) -> set[int]:
    """With how many threads the batches of a run are trained, until it is stopped."""
    seen = set()

    def note() -> bool:
        seen.add(torch.get_num_threads())
        return should_stop()

    train(run, note, FEW)
    return seen


def test_mlp_follows_the_machine_where_its_bits_are_the_same(store: RunStore, restless: None) -> None:
    """Adam's state holds the last bit of each gradient."""
    settings = {**SHORT, "optimizer": "adam"}
    one, two = (end_of(new_run(store, threads=count, **settings)) for count in (1, 2))
    assert numbers_seen(automatic_run(store, 2, **settings)) == ({1, 2} if same(one, two) else {2})


def test_run_that_continues_with_a_smaller_batch_decides_by_a_full_one(
    store: RunStore, restless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, sizes = automatic_run(store, 2, **SHORT), []
    assert train(run, After(10), FEW) == "stopped"

    def note(step: SteadyStep, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        sizes.append(len(labels))
        return []

    monkeypatch.setattr(SteadyStep, "_both_sizes", note)  # which finds no difference
    assert numbers_seen(run) == {1, 2}
    assert set(sizes) == {32}


class Eager(CapturedStep):
    """Without a capture: what Python does in the step happens each time."""

    rate_dtype = torch.float64

    def _capture(self, inputs: Tensor, labels: Tensor) -> Step:
        return self._step_by_itself


@pytest.mark.parametrize("ulp", [0, 1])
def test_last_bit_of_a_gradient_is_enough_to_keep_the_number(restless: None, ulp: int) -> None:
    """With the tutorial's small learning rate, hardly a weight would show it."""
    plain = new_step(learning_rate=1e-5)
    bias = [*plain.model.parameters()][-1]

    def one_more(gradient: Tensor) -> Tensor:
        differs = ulp and torch.get_num_threads() == 2
        return torch.nextafter(gradient, torch.full_like(gradient, 9.0)) if differs else gradient

    bias.register_hook(one_more)  # type: ignore[no-untyped-call]
    steady, seen = SteadyStep(Eager(plain, BATCH, CPU), 2, BATCH, lambda: torch.zeros(1)), set()
    for _ in range(8):
        steady(*batch())
        seen.add(torch.get_num_threads())
    assert seen == ({2} if ulp else {1, 2})


@pytest.mark.parametrize(("differs", "most"), [(False, 1), (True, 2)])
def test_images_are_measured_with_the_number_that_trains_unless_it_changes_a_loss(
    restless: None, differs: bool, most: int
) -> None:
    def evaluate() -> Tensor:
        return torch.tensor(torch.get_num_threads() if differs else 0)

    steady = SteadyStep(Eager(new_step(), BATCH, CPU), 2, BATCH, evaluate)
    while not (torch.get_num_threads() == 1 and steady._evaluation_counts is not None):
        steady(*batch())
        with steady.evaluating():
            measured = torch.get_num_threads()
    assert measured == most
