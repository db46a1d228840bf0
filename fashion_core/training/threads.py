"""How many threads a run on the CPU takes from one moment to the next, where their number changes no bit.

Threads that share an operator wait for each other. As soon as another program takes a core, two of them may need ten
times as long as one alone.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from statistics import fmean
from typing import Final

import torch
from torch import Tensor

from fashion_core.training.captured_step import CapturedStep, override_options

MEASURE_SECONDS: Final = 0.2  # for the choice of a number that stays; two slow steps with each may take longer
CAPTURE_SECONDS: Final = 1.5  # a capture that takes longer is of steps too slow to compare their bits
CHECK_SECONDS: Final = 0.25  # what takes one thread longer gains from all of them, and isn't checked
CHECKS_SECONDS: Final = 1.0  # for all numbers together
TRIAL_STEPS, FEWEST_STEPS = 16, 4  # of a trial, and of one that is given up
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.1, 4.0  # seconds of training from one trial to the next
TRIAL_SHARE: Final = 0.02  # the part of the time that trials may cost
FASTER, SURELY_SLOWER = 0.95, 1.1  # in proportion: what is worth a change, and what ends a trial
SLOWER: Final = 1.5  # what asks for a trial, once it has lasted for SHORTEST_PATIENCE: refreshes of pages are shorter
CLEARLY_FASTER: Final = 0.9  # what is worth a change for the whole run
REVEALING_RATE: Final = 2.0**20  # a learning rate with which a weight becomes its gradient, to the last bit


class Pace:
    """Which number of threads is the fastest just now, known from how long steps take; now and then some try another.

    Args:
        counts: the numbers to choose from, rising; it begins with the last.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts, self._chosen, self._trial, self._others = counts, counts[-1], 0, cycle(counts)
        self._steps: deque[float] = deque(maxlen=TRIAL_STEPS)  # the newest with the number chosen, in seconds
        self._tried: list[float] = []
        self._usual, self._patience = math.inf, SHORTEST_PATIENCE
        self._since = self._slow = 0.0  # seconds: from the last trial, and of steps much slower than usual

    @property
    def threads(self) -> int:
        """How many the next step is to take."""
        return self._trial or self._chosen

    def add(self, seconds: float) -> None:
        """Note how long a step took with ``threads``."""
        if self._trial:
            self._tried.append(seconds)
            self._judge()
        elif len(self._counts) > 1:
            self._steps.append(seconds)
            self._since += seconds
            self._slow = self._slow + seconds if sum(self._steps) > SLOWER * self._usual else 0.0
            if len(self._steps) == TRIAL_STEPS and self._is_time_for_trial():
                self._begin_trial()

    def _is_time_for_trial(self) -> bool:
        has_become_slow = self._slow >= SHORTEST_PATIENCE
        return has_become_slow or (self._slow == 0 and self._since >= self._patience)

    def _begin_trial(self) -> None:
        if self._slow:
            self._patience = SHORTEST_PATIENCE
        self._tried, self._trial = [], next(count for count in self._others if count != self._chosen)

    def _judge(self) -> None:
        """End the trial once it has had its steps, or before that once it has clearly lost."""
        tried = self._tried[1:]  # the threads wake up in the first
        steps, took = len(tried), sum(tried)
        lost = took - steps * fmean(self._steps)  # seconds, by having tried
        if steps < TRIAL_STEPS and lost < (SURELY_SLOWER - 1) * max(steps, FEWEST_STEPS) * fmean(self._steps):
            return
        if took < FASTER * (took - lost):
            self._chosen, self._patience = self._trial, SHORTEST_PATIENCE
            self._steps.extend(tried)
        else:
            self._patience = max(min(2 * self._patience, LONGEST_PATIENCE), lost / TRIAL_SHARE)
        self._usual, self._trial = sum(self._steps), 0
        self._since = self._slow = 0.0


class SteadyStep:
    """A captured step on the CPU that is as fast as it can be, whatever else the machine does meanwhile.

    Args:
        step: the step to take.
        most: the most threads to take. Where their number would change a bit, it is always this one.
        rest: how many images the last batch of an epoch has.
        evaluate: measures one batch of test images, and changes nothing.
        keep: if given, a smaller number may be chosen for ``most`` before the first step; it is told which.
    """

    def __init__(
        self,
        step: CapturedStep,
        most: int,
        rest: int,
        evaluate: Callable[[], Tensor],
        keep: Callable[[int], None] | None = None,
    ) -> None:
        self.step, self._most, self._rest, self._evaluate, self._keep = step, most, rest, evaluate, keep
        self._pace: Pace | None = None
        self._evaluation_counts: Sequence[int] | None = None

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Train on a batch and return its loss before the step. Raises what ``step`` and ``keep`` raise."""
        if self._pace is None:
            if len(labels) < self.step.batch_size:  # a process that continues may begin with the rest of an epoch
                return self.step(inputs, labels)
            self._pace = Pace(self._decide(inputs, labels))
        self._set_threads(self._pace.threads)
        began = time.perf_counter()
        loss = self.step(inputs, labels)
        if len(labels) == self.step.batch_size:
            self._pace.add(time.perf_counter() - began)
        return loss

    def _decide(self, inputs: Tensor, labels: Tensor) -> Sequence[int]:
        """The numbers to choose from; the last is kept for what any other would change."""
        counts: Sequence[int] = [self._most]
        if self._is_captured_quickly(inputs, labels):
            counts = harmless_counts(lambda: self._both_sizes(inputs, labels), self._most)
        if self._keep and len(counts) == 1:
            with self.step.undone():
                counts = [fastest(lambda: self.step(inputs, labels), self._most)]
        self._most = counts[-1]
        if self._keep:
            self._keep(self._most)
        return counts

    def _is_captured_quickly(self, inputs: Tensor, labels: Tensor) -> bool:
        began = time.perf_counter()
        self.step.outcome(self.step, inputs, labels)
        return time.perf_counter() - began < CAPTURE_SECONDS

    def _both_sizes(self, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        """What training on a batch of each size changes: with a small rate, weights would hide most of it."""
        pairs = ((inputs, labels), (inputs[: self._rest], labels[: self._rest]))
        with override_options(self.step.step.optimizer, lr=REVEALING_RATE):
            return [tensor for pair in pairs for tensor in self.step.outcome(self.step, *pair)]

    def _set_threads(self, threads: int) -> None:
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Measure test images inside the block, with as many threads as train if that changes no bit."""
        if self._evaluation_counts is None:
            self._evaluation_counts = harmless_counts(lambda: [self._evaluate()], self._most)
        steps = self._pace.threads if self._pace else self._most
        self._set_threads(steps if steps in self._evaluation_counts else self._most)
        try:
            yield
        finally:
            self._set_threads(steps)


def candidates(most: int) -> list[int]:
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


def fastest(step: Callable[[], object], most: int) -> int:
    """The number of threads with which ``step`` is fastest now: ``most``, unless another one is clearly faster.

    Each takes two steps, then they take turns until ``MEASURE_SECONDS`` are over. Once that is so, numbers below a
    clearly slower one are left out.
    """
    times: dict[int, list[float]] = {}
    until = time.perf_counter() + MEASURE_SECONDS
    for count in reversed(candidates(most)):
        times[count] = [_seconds(step, count)]
        if time.perf_counter() > until and times[count][0] > SLOWER * min(taken[0] for taken in times.values()):
            break
    while time.perf_counter() < until:
        for count, taken in times.items():
            taken.append(_seconds(step, count))
    means = {count: fmean(taken) for count, taken in times.items()}
    best = min(means, key=lambda count: means[count])
    return best if means[best] < CLEARLY_FASTER * means[most] else most


def _seconds(step: Callable[[], object], threads: int) -> float:
    torch.set_num_threads(threads)
    step()  # the threads wake up
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def harmless_counts(compute: Callable[[], Sequence[Tensor]], most: int) -> Sequence[int]:
    """One, two, four and so on, and ``most``, where ``compute`` gives the same bits with each of them.

    ``most`` alone where it doesn't, or where one thread takes longer than ``CHECK_SECONDS``.
    """
    if most == 1:
        return [1]
    try:
        torch.set_num_threads(1)
        began = time.perf_counter()
        expected = compute()
        if time.perf_counter() - began > CHECK_SECONDS:
            return [most]
        found = {1}
        for count in (most, *candidates(most)[1:-1]):
            if count == most or time.perf_counter() - began < CHECKS_SECONDS:
                torch.set_num_threads(count)
                if not all(map(_same_bits, compute(), expected)):
                    return [most]
                found.add(count)
        return sorted(found)
    finally:
        torch.set_num_threads(most)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))
