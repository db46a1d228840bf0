"""What a machine suits: presets take a precision that its device has instructions for, processes a device each."""

from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from fashion_core.config import PRESETS, parse_config
from fashion_core.errors import ConfigError, DeviceError, WorkerError
from fashion_core.runs import torch_process
from fashion_core.runs.store import RunStore
from fashion_core.runs.torch_process import Machine
from tests.support.commands import Capture, printed
from tests.support.pages import open_page
from tests.support.runs import trained

TWO, ONE = {"cuda:0": "GPU", "cpu": "CPU"}, {"cpu": "CPU"}
MACHINES = {
    "two GPUs": Machine("cuda:0", {"cuda:0": "GPU", "cuda:1": "GPU", "cpu": "CPU"}, [], 16, 16),
    "GPU": Machine("cuda:0", TWO, ["cuda:0"], 2, 2),
    "old GPU": Machine("cuda:0", TWO, ["cpu"], 2, 2),
    "CPU": Machine("cpu", ONE, ["cpu"], 2, 2),
    "old CPU": Machine("cpu", ONE, [], 2, 2),
}


@pytest.fixture
def computer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand on one of the machines above, whatever this one has."""
    monkeypatch.setattr(torch_process, "this_machine", lambda: MACHINES[request.param])


def on(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("computer", [name], indirect=True)


@pytest.mark.parametrize(
    ("computer", "given", "expected"),
    [
        ("GPU", {}, "bf16"),
        ("GPU", {"device": "cuda"}, "bf16"),
        ("GPU", {"device": "cpu"}, "fp32"),
        ("GPU", {"device": "cpu", "precision": "bf16"}, "bf16"),
        ("old GPU", {}, "fp32"),
        ("old GPU", {"device": "cpu"}, "bf16"),
        ("CPU", {}, "bf16"),
        ("CPU", {"precision": "fp32"}, "fp32"),
        ("old CPU", {}, "fp32"),
        ("old CPU", {"precision": "bf16"}, "bf16"),
    ],
    indirect=["computer"],
)
def test_preset_takes_bf16_where_the_device_has_it(computer: None, given: dict[str, Any], expected: str) -> None:
    found = torch_process.preset_config("accurate-cnn", given)
    asked = {**PRESETS["accurate-cnn"].values, **given, "precision": expected}
    assert found.model_dump(include=set(asked)) == asked


@pytest.mark.parametrize(
    ("computer", "device", "most", "what"),
    [
        ("two GPUs", "auto", 2, "2 GPUs"),
        ("two GPUs", "cuda", 2, "2 GPUs"),
        ("two GPUs", "cuda:1", 1, "1 GPU"),
        ("two GPUs", "cpu", 16, "16 CPUs"),
        ("CPU", "auto", 2, "2 CPUs"),
    ],
    indirect=["computer"],
)
def test_more_processes_than_devices_are_refused(computer: None, device: str, most: int, what: str) -> None:
    torch_process.check_processes(parse_config({"device": device, "processes": most}))
    sentence = f"{most + 1} processes are more than the {what} here: choose at most {most}."
    with pytest.raises(DeviceError, match=f"^{sentence}$"):
        torch_process.check_processes(parse_config({"device": device, "processes": most + 1}))


@on("two GPUs")
def test_processes_on_the_cpu_share_its_threads(computer: None) -> None:
    threads = {
        processes: torch_process.environment_for(parse_config({"device": "cpu", "processes": processes})).threads
        for processes in (1, 4, 32)
    }
    assert threads == {1: 16, 4: 4, 32: 1}


def test_machine_is_not_asked_about_fp32_nor_before_a_bad_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_process, "this_machine", lambda: pytest.fail("nothing here depends on the machine"))
    for name, preset in PRESETS.items():
        if "precision" not in preset.values:
            assert torch_process.preset_config(name, {"epochs": 3}) == parse_config({**preset.values, "epochs": 3})
    with pytest.raises(ConfigError, match="Epochs"):
        torch_process.preset_config("accurate-cnn", {"epochs": 0})
    assert torch_process.precision_cautions([("fp32", "cpu")]) == []


SLOW = [("GPU", "cpu", "cpu"), ("old GPU", "auto", "cuda:0"), ("old GPU", "cuda", "cuda"), ("old CPU", "auto", "cpu")]
FAST = [("GPU", "auto"), ("GPU", "cuda"), ("old GPU", "cpu"), ("CPU", "auto")]
MISSING = [("CPU", "cuda:7"), ("old CPU", "cuda")]


@pytest.mark.parametrize(
    ("computer", "device", "name"), [*SLOW, *((*place, None) for place in FAST + MISSING)], indirect=["computer"]
)
def test_bf16_is_cautioned_against_on_a_device_without_it(computer: None, device: str, name: str | None) -> None:
    said = torch_process.precision_cautions([("bf16", device), ("fp32", device), ("bf16", device)])
    expected = [f"The device {name} has no instructions for bf16"] if name else []
    assert [text.partition(": ")[0] for text in said] == expected


def warnings(app: AppTest) -> list[str]:
    return [warning.value for warning in app.warning if "no instructions for bf16" in warning.value]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("computer", "suits"), [("CPU", True), ("old CPU", False)], indirect=["computer"])
def test_form_takes_the_precision_that_suits_and_cautions_against_another(computer: None, suits: bool) -> None:
    app = open_page("train")
    app.selectbox(key="preset").select("accurate-cnn").run()
    assert app.selectbox(key="train accurate-cnn precision").value == ("bf16" if suits else "fp32")
    assert not warnings(app)
    app.selectbox(key="train accurate-cnn precision").select("bf16").run()
    assert len(warnings(app)) == (0 if suits else 1)


@pytest.mark.usefixtures("store")
def test_form_has_the_presets_values_where_the_machine_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Machine:
        raise WorkerError("Torch can't be imported; install it again.")

    monkeypatch.setattr(torch_process, "this_machine", refuse)
    app = open_page("train")
    app.selectbox(key="preset").select("accurate-cnn").run()
    assert app.selectbox(key="train accurate-cnn precision").value == "bf16"
    assert [error.value for error in app.error] == ["Torch can't be imported; install it again."]


@on("old CPU")
def test_resume_page_cautions_once_for_several_runs(store: RunStore, computer: None) -> None:
    parent = trained(store)
    app = open_page("resume", run=parent.id)
    app.selectbox(key=f"resume {parent.id} precision").select("bf16").run()
    assert len(warnings(app)) == 1
    app.multiselect(key=f"epochs {parent.id} 1").select(0).run()
    assert len(warnings(app)) == 1


@on("GPU")
def test_resume_page_cautions_by_the_device_of_the_parent(store: RunStore, computer: None) -> None:
    """``auto`` takes that one, not the GPU that a run of its own would take."""
    parent = trained(store)
    app = open_page("resume", run=parent.id)
    app.text_input(key=f"resume {parent.id} device").set_value("auto")
    app.selectbox(key=f"resume {parent.id} precision").select("bf16").run()
    assert ["cpu" in warning for warning in warnings(app)] == [True]


@pytest.mark.slow
@on("old CPU")
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_command_line_cautions_beside_what_it_prints(
    store: RunStore, computer: None, capsys: Capture, json: tuple[str, ...]
) -> None:
    """Of a run, and of the runs that go on from it."""
    small = ("--train-images", "64", "--epochs", "1")
    said = [printed(capsys, "train", *small, "--precision", "bf16", "--device", "cpu", *json)]
    (run,) = store.runs()
    said.append(printed(capsys, "resume", run.id, 0, "--epochs", 1, *json))
    assert ["no instructions for bf16" in out for out, _ in said] == [False, False]
    assert [error.count("The device cpu has no instructions for bf16") for _, error in said] == [1, 1]


@pytest.mark.parametrize(("capabilities", "lacking"), [({"avx2": True}, True), ({"avx512_bf16": True}, False)])
def test_command_line_lists_a_device_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, capabilities: dict[str, bool], lacking: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    (line,) = [line for line in printed(capsys, "devices")[0].splitlines() if line.startswith("cpu: ")]
    assert ("no bf16 instructions" in line) == lacking
