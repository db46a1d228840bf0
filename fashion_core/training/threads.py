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

from fashion_core.training.captured_step import CapturedStep

MEASURE_SECONDS: Final = 0.2  # for the choice of a number that stays
CAPTURE_SECONDS: Final = 1.5  # of a step, six times as long as itself
CHECK_SECONDS: Final = 0.25  # what takes one thread longer consists of large operators, and isn't checked
TRIAL_STEPS, FEWEST_STEPS = 16, 4  # of a trial, and of one that is given up
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.1, 4.0  # seconds of training from one trial to the next
WORTH_LOSING: Final = 0.02  # of the time, by trials
FASTER, SURELY_SLOWER = 0.95, 1.1  # in proportion: what is worth a change, and what ends a trial
SLOWER: Final = 1.5  # what asks for a trial at once
CLEARLY_FASTER: Final = 0.8  # what is worth a change for the whole run


class Pace:
    """Which number of threads is the fastest just now, known from how long steps take; now and then some try another.

    Args:
        counts: the numbers to choose from, rising; it begins with the last.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts, self._chosen, self._trial, self._others = counts, counts[-1], 0, cycle(counts)
        self._steps: deque[float] = deque(maxlen=TRIAL_STEPS)  # the newest with the number chosen, in seconds
        self._tried: list[float] = []
        self._usual, self._patience, self._since = math.inf, SHORTEST_PATIENCE, 0.0

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
            if len(self._steps) == TRIAL_STEPS:
                self._ask_for_trial()

    def _ask_for_trial(self) -> None:
        if sum(self._steps) > SLOWER * self._usual:
            self._patience = SHORTEST_PATIENCE
        elif self._since < self._patience:
            return
        self._tried, self._trial = [], next(count for count in self._others if count != self._chosen)

    def _judge(self) -> None:
        """End the trial once it has had its steps, or before that once it has clearly lost."""
        steps, took = len(self._tried), sum(self._tried)
        lost = took - steps * fmean(self._steps)  # seconds, by having tried
        if steps < TRIAL_STEPS and lost < (SURELY_SLOWER - 1) * max(steps, FEWEST_STEPS) * fmean(self._steps):
            return
        if took < FASTER * (took - lost):
            self._chosen, self._patience = self._trial, SHORTEST_PATIENCE
            self._steps.extend(self._tried)
        else:
            self._patience = max(min(2 * self._patience, LONGEST_PATIENCE), lost / WORTH_LOSING)
        self._usual, self._trial, self._since = sum(self._steps), 0, 0.0


class SteadyStep:
    """A captured step on the CPU that is as fast as it can be, whatever else the machine does meanwhile.

    Args:
        step: the step to take.
        most: the most threads to take, and how many wherever their number would change a bit.
        rest: how many images the last batch of an epoch has.
        evaluate: measures one batch of test images, and changes nothing.
        keep: is told before the first step how many to take from then on wherever their number would change a bit, as
            measured; None where that was decided before.
    """

    def __init__(
        self,
        step: CapturedStep,
        most: int,
        rest: int,
        evaluate: Callable[[], Tensor],
        keep: Callable[[int], None] | None,
    ) -> None:
        self.step, self._most, self._rest, self._evaluate, self._keep = step, most, rest, evaluate, keep
        self._pace: Pace | None = None
        self._evaluation_counts: Sequence[int] | None = None

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Train on a batch and return its loss before the step. Raises what ``step`` and ``keep`` raise."""
        if self._pace is None:
            self._pace = Pace(self._decide(inputs, labels))
        self._take(self._pace.threads)
        began = time.perf_counter()
        loss = self.step(inputs, labels)
        self._pace.add(time.perf_counter() - began)
        return loss

    def _decide(self, inputs: Tensor, labels: Tensor) -> Sequence[int]:
        """The numbers to choose from, of which the last is kept for what any other number would change."""
        counts: Sequence[int] = [self._most]
        if self._captured_quickly(inputs, labels):
            counts = harmless_counts(lambda: self._both_sizes(inputs, labels), self._most)
            if self._keep and len(counts) == 1:
                with self.step.undone():
                    counts = [fastest(lambda: self.step(inputs, labels), self._most)]
        self._most = counts[-1]
        if self._keep:
            self._keep(self._most)
        return counts

    def _captured_quickly(self, inputs: Tensor, labels: Tensor) -> bool:
        """Else its steps take so long that to try a few would delay the run; their threads have much to share."""
        began = time.perf_counter()
        self.step.outcome(self.step, inputs, labels)
        return time.perf_counter() - began < CAPTURE_SECONDS

    def _both_sizes(self, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        pairs = ((inputs, labels), (inputs[: self._rest], labels[: self._rest]))
        return [tensor for pair in pairs for tensor in self.step.outcome(self.step, *pair)]

    def _take(self, threads: int) -> None:
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside the block test images are measured, with as many threads as train if that changes no bit."""
        if self._evaluation_counts is None:
            self._evaluation_counts = harmless_counts(lambda: [self._evaluate()], self._most)
        steps = self._pace.threads if self._pace else self._most
        self._take(steps if steps in self._evaluation_counts else self._most)
        try:
            yield
        finally:
            self._take(steps)


def candidates(most: int) -> list[int]:
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


def fastest(step: Callable[[], object], most: int) -> int:
    """The number of threads with which ``step`` is fastest now: ``most``, unless another one is clearly faster.

    They take turns for about ``MEASURE_SECONDS``, unless one thread alone would need half of that for a single step.
    """
    times: dict[int, list[float]] = {count: [] for count in reversed(candidates(most))}
    until = time.perf_counter() + MEASURE_SECONDS
    while time.perf_counter() < until:
        for count, taken in times.items():
            torch.set_num_threads(count)
            step()  # its threads wake up
            began = time.perf_counter()
            step()
            taken.append(time.perf_counter() - began)
            if taken[0] * count > MEASURE_SECONDS / 2:
                return most
    means = {count: fmean(taken) for count, taken in times.items()}
    best = min(means, key=lambda count: means[count])
    return best if means[best] < CLEARLY_FASTER * means[most] else most


def harmless_counts(compute: Callable[[], Sequence[Tensor]], most: int) -> Sequence[int]:
    """One, two, four and so on, and ``most``, where ``compute`` gives the same bits with each; else ``most`` alone.

    Nor are there others where it takes longer than ``CHECK_SECONDS``.
    """
    counts = candidates(most)
    try:
        torch.set_num_threads(1)
        began = time.perf_counter()
        expected = compute()
        if time.perf_counter() - began > CHECK_SECONDS:
            return [most]
        for count in counts[1:]:
            torch.set_num_threads(count)
            if not all(map(_same_bits, compute(), expected)):
                return [most]
        return counts
    finally:
        torch.set_num_threads(most)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))
