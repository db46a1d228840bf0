"""A preset's precision is one that this machine has instructions for, and who chooses another is told."""

import pytest
from helpers import command_line, config

from fashion_core import jobs, presets
from fashion_core.config import PRESETS
from fashion_core.jobs import Machine
from fashion_core.runs import RunStore

GPU, OLD_GPU, FAST_CPU, PLAIN_CPU = (
    Machine("cuda:0", {"cuda:0": "GPU", "cpu": "CPU"}, ["cuda:0"], 2),
    Machine("cuda:0", {"cuda:0": "GPU", "cpu": "CPU"}, ["cpu"], 2),
    Machine("cpu", {"cpu": "CPU"}, ["cpu"], 2),
    Machine("cpu", {"cpu": "CPU"}, [], 2),
)


def nobody() -> Machine:
    raise AssertionError("nothing here depends on the machine")


@pytest.mark.parametrize(
    ("machine", "precision"), [(GPU, "bf16"), (OLD_GPU, "fp32"), (FAST_CPU, "bf16"), (PLAIN_CPU, "fp32")]
)
def test_preset_takes_bf16_where_the_automatic_device_multiplies_it(machine: Machine, precision: str) -> None:
    assert presets.values("accurate-cnn", lambda: machine) == {**PRESETS["accurate-cnn"].values, "precision": precision}


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if "precision" not in preset.values])
def test_preset_without_a_precision_asks_for_no_machine(name: str) -> None:
    assert presets.values(name, nobody) == PRESETS[name].values


@pytest.mark.parametrize(
    ("machine", "device", "slow"),
    [
        (GPU, "auto", False),
        (GPU, "cuda", False),
        (GPU, "cpu", True),
        (FAST_CPU, "auto", False),
        (PLAIN_CPU, "cpu", True),
    ],
)
def test_bf16_without_instructions_for_it_is_cautioned_against(machine: Machine, device: str, slow: bool) -> None:
    said = presets.caution(config(precision="bf16", device=device), lambda: machine)
    assert bool(said) == slow


def test_fp32_is_slow_nowhere() -> None:
    assert presets.caution(config(precision="fp32"), nobody) is None


def test_command_line_cautions_where_the_device_has_no_instructions(store: RunStore) -> None:
    done = command_line("train", "--precision", "bf16", "--train-images", "64", "--epochs", "1", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert ("no instructions for bf16" in done.stdout) == ("cpu" not in jobs.machine().bf16)
