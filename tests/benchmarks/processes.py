"""What a batch takes one process and two that share it, at one thread each, and what of that is communication."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import repeat

from torch import nn

from fashion_core import devices
from fashion_core.config import TrainConfig, parse_config
from fashion_core.loops import TrainStep, make_optimizer
from fashion_core.models import build_model
from fashion_core.runs.processes import KEEP_FREED_BLOCKS, child_environment
from fashion_core.training.captured_step import TorchScriptStep
from fashion_core.training.group import Group, joined
from fashion_core.training.group_step import GroupStep
from fashion_core.training.shared_layers import share_layers
from tests.benchmarks import Comparison
from tests.support.processes import ROOT
from tests.support.steps import CPU, batch

ROUNDS = 9
STEPS = {"mlp": 200, "cnn": 40, "resnet18": 6}
"""In a round, of each way: about half a second."""
WAYS = ("one process", "two processes", "two processes, without communication")


def run() -> Comparison:
    times = {f"{model}, {way}": taken for model in STEPS for way, taken in measured(model).items()}
    return Comparison("Train on a batch of 64 images", f"mlp, {WAYS[0]}", times)


def measured(model: str) -> dict[str, list[float]]:
    size = ["--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command = [sys.executable, "-m", "torch.distributed.run", *size, "-m", __name__, model]
    alone = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment = child_environment(**KEEP_FREED_BLOCKS, **alone)  # as a worker has it
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def measure(group: Group, model: str) -> dict[str, list[float]]:
    """Milliseconds a batch, by way; in turn, so that a busy machine slows them all."""
    devices.make_reproducible(1)
    chosen = parse_config({"model": model})
    inputs, labels = batch(chosen.batch_size)
    share = group.share(chosen.batch_size)
    alone = TorchScriptStep(new_step(chosen), chosen.batch_size, CPU)
    together = GroupStep(new_step(chosen, group), group, lambda: chosen.batch_size, CPU)
    silent = new_step(chosen)
    ways: dict[str, Callable[[], object]] = {
        WAYS[0]: (lambda: alone(inputs, labels)) if group.leads else lambda: None,  # the other waits
        WAYS[1]: lambda: together(inputs[share], labels[share]),
        WAYS[2]: lambda: silent(inputs[share], labels[share]),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    with devices.fast_matmul():
        for _ in range(ROUNDS + 1):
            for name, way in ways.items():
                group.any(False)  # both begin at once
                times[name].append(milliseconds(way, STEPS[model]))
    return {name: taken[1:] for name, taken in times.items()}


def new_step(chosen: TrainConfig, group: Group | None = None) -> TrainStep:
    model = build_model(chosen.model, seed=0)
    if group:
        share_layers(model, group, lambda: chosen.batch_size)
    return TrainStep(model, nn.CrossEntropyLoss(), make_optimizer(chosen, model))


def milliseconds(way: Callable[[], object], steps: int) -> float:
    began = time.perf_counter()
    for _ in repeat(None, steps):
        way()
    return (time.perf_counter() - began) * 1000 / steps


if __name__ == "__main__":
    with joined(cuda=False) as group:
        found = measure(group, sys.argv[1])
        if group.leads:
            print(json.dumps(found))
