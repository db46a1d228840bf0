"""The weights of a known model are found wherever they are in a file, and what differs is named where it is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fashion_core.errors import RefusedFileError
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.formats.untrusted.search import search
from fashion_core.models import build_model
from tests.support.commands import Capture, printed

State = dict[str, Any]


def state_of(model: str = "cnn", seed: int = 5) -> State:
    return dict(build_model(model, seed).state_dict())


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def renamed(state: State, old: str, new: str) -> State:
    return {name.replace(old, new): tensor for name, tensor in state.items()}


def numbered(state: State) -> State:
    """As ``nn.Sequential`` calls the CNN's layers: by their place alone."""
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    return {f"{layers.index(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": state[name] for name in state}


def averaged(state: State) -> State:
    model = build_model("cnn", seed=0)
    model.load_state_dict(state)
    return dict(AveragedModel(model).state_dict())


def refusal(path: Path, content: object) -> str:
    torch.save(content, path)
    with pytest.raises(RefusedFileError) as caught:
        load(path)
    assert inspect(path).refusal == str(caught.value)
    return str(caught.value)


PLACES: dict[str, Callable[[State], Any]] = {
    "a key of anyone's": lambda state: {"net": state, "acc": 91.5},
    "keys in keys": lambda state: {"last": {"run": {"weights": state}, "epoch": 4}},
    "an item of a list": lambda state: {"models": [{"sizes": [3, 4]}, state]},
    "a backbone": lambda state: prefixed("backbone.", state),
    "a model of a model": lambda state: {"state_dict": prefixed("model.model.", state)},
    "DataParallel of one part": lambda state: renamed(state, "features.", "features.module."),
    "torch.compile of each layer": lambda state: renamed(state, "features.0.", "features.0._orig_mod."),
    "FSDP inside": lambda state: prefixed("_fsdp_wrapped_module.", renamed(state, "er.", "er._fsdp_wrapped_module.")),
    "Opacus": lambda state: {"model_state_dict": prefixed("_module.", state)},
    "DeepSpeed": lambda state: {"module": state, "ds_version": "0.16"},
    "stochastic weight averaging": averaged,
    "a state_dict for each part": lambda state: {
        part: {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(part)}
        for part in ("features", "classifier")
    },
    "MMEngine": lambda state: {"meta": {"epoch": 3}, "message_hub": {"runtime_info": {}}, "state_dict": state},
    "a criterion beside it": lambda state: {
        "state_dict": {**prefixed("model.", state), "criterion.weight": torch.ones(10)},
        "pytorch-lightning_version": "2.4.0",
    },
    "what thop counted": lambda state: {**state, "features.0.total_ops": torch.zeros(1).double()},
    "nn.Sequential": numbered,
    "nn.Sequential in Lightning": lambda state: {"state_dict": {"loss.weight": 1, **prefixed("net.", numbered(state))}},
    "a list of tensors": lambda state: list(state.values()),
    "no counters": lambda state: {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")},
    "counters of 32 bits": lambda state: {name: t.int() if t.dtype == torch.int64 else t for name, t in state.items()},
    "float16": lambda state: {"ema": {name: t.half() if t.is_floating_point() else t for name, t in state.items()}},
}


@pytest.mark.parametrize("place", PLACES)
def test_weights_are_found_under_any_key_nesting_and_name(tmp_path: Path, place: str) -> None:
    state = {name: t.half().float() if t.is_floating_point() else t for name, t in state_of().items()}
    torch.save(PLACES[place](state), tmp_path / "file")
    assert inspect(tmp_path / "file").refusal is None
    found = load(tmp_path / "file").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_resnet18_of_torchvision_is_found_inside_another_model(tmp_path: Path) -> None:
    state = state_of("resnet18")
    torch.save({"student": prefixed("backbone.module.", state), "step": 7}, tmp_path / "file")
    found = load(tmp_path / "file").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_layers_of_other_names_are_matched_in_order_which_is_said(tmp_path: Path) -> None:
    torch.save(numbered(state_of()), tmp_path / "file")
    for notes in (inspect(tmp_path / "file").notes, load(tmp_path / "file").notes):
        assert notes == (
            "Its layers are called otherwise; they were matched in order: 0.weight → features.0.weight, "
            "1.weight → features.1.weight, 1.bias → features.1.bias and 13 more.",
        )
    assert inspect(tmp_path / "file").matched_in_order


def test_safetensors_orders_tensors_by_dtype_and_text_and_they_are_matched_by_number(tmp_path: Path) -> None:
    state = state_of()
    names = dict(zip(state, numbered(state), strict=True))
    wide = {
        name: f"{2 * int(number.partition('.')[0]) + 1}.{number.partition('.')[2]}" for name, number in names.items()
    }
    safetensors.torch.save_file({wide[name]: tensor for name, tensor in state.items()}, tmp_path / "file")
    found = load(tmp_path / "file").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "change",
    [
        lambda state: dict(reversed(state.items())),
        lambda state: {**state, "0.weight": torch.zeros(32, 1, 5, 5)},
        lambda state: {name: tensor for name, tensor in state.items() if name != "1.running_var"},
    ],
)
def test_other_names_in_another_order_or_with_other_shapes_are_not_matched(
    tmp_path: Path, change: Callable[[State], State]
) -> None:
    state = change(renamed(numbered(state_of()), "4.", "head."))
    assert "its layers are those of none of mlp, cnn and resnet18" in refusal(tmp_path / "file", state)


def test_of_two_that_fit_the_usual_key_is_taken_and_the_other_can_be_chosen(tmp_path: Path) -> None:
    best, last = state_of("mlp", seed=1), state_of("mlp", seed=2)
    torch.save({"best_state_dict": best, "state_dict": prefixed("module.", last)}, tmp_path / "file")
    found = inspect(tmp_path / "file")
    assert (found.weights, found.choices) == ("state_dict", ("state_dict", "best_state_dict"))
    said = "The weights under state_dict are used; those under best_state_dict can be chosen instead."
    assert found.notes == (said,)
    for choice, state in ((None, last), ("state_dict", last), ("best_state_dict", best)):
        assert inspect(tmp_path / "file", choice=choice).weights == choice or choice is None
        assert torch.equal(
            next(iter(load(tmp_path / "file", choice).model.state_dict().values())), next(iter(state.values()))
        )
    with pytest.raises(
        RefusedFileError, match="no weights of a known model under ema; choose state_dict or best_state"
    ):
        load(tmp_path / "file", "ema")


def test_copies_in_one_dict_are_told_apart_by_their_beginning(tmp_path: Path) -> None:
    state = {
        **prefixed("ema_model.", state_of("mlp", 1)),
        **prefixed("model.", state_of("mlp", 2)),
        "step": torch.tensor(1),
    }
    torch.save({"state_dict": state}, tmp_path / "file")
    found = inspect(tmp_path / "file")
    assert found.choices == ("state_dict.model", "state_dict.ema_model")
    assert found.notes[1] == "Beside the weights it holds step, which is left out."


def test_copies_with_other_names_in_one_dict_are_told_apart_by_their_beginning(tmp_path: Path) -> None:
    state = {**prefixed("net.", numbered(state_of(seed=1))), **prefixed("ema.", numbered(second := state_of(seed=2)))}
    torch.save({"state_dict": state}, tmp_path / "file")
    assert inspect(tmp_path / "file").choices == ("state_dict.net", "state_dict.ema")
    found = load(tmp_path / "file", "state_dict.ema").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in second.items())


def test_weights_that_are_saved_under_several_keys_at_once_are_used(tmp_path: Path) -> None:
    model = build_model("mlp", seed=1)
    torch.save({key: model.state_dict() for key in ("last", "best", "model", "ema")}, tmp_path / "file")
    assert inspect(tmp_path / "file").choices == ("model", "last", "best", "ema")
    assert load(tmp_path / "file").model_name == "mlp"


def test_what_stands_beside_the_weights_is_named(tmp_path: Path) -> None:
    content = {**averaged(state_of()), "loss_fn.weight": torch.ones(10), "module._extra_state": {"scale": 1}}
    torch.save(content, tmp_path / "file")
    assert load(tmp_path / "file").notes == (
        "Beside the weights it holds n_averaged, loss_fn.weight and module._extra_state, which are left out.",
    )


def test_what_stands_beside_nested_weights_is_named_too(tmp_path: Path) -> None:
    beside = {"n_averaged": torch.tensor(3), "criterion": {"weight": torch.ones(10)}}
    torch.save({"epoch": torch.tensor(3), "model": state_of(), **beside, "loss": torch.tensor(0.5)}, tmp_path / "file")
    assert load(tmp_path / "file").notes == (
        "Beside the weights it holds n_averaged and criterion.weight, which are left out.",
    )


def test_missing_counters_count_as_0_which_is_said(tmp_path: Path) -> None:
    torch.save(PLACES["no counters"](state_of()), tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert loaded.notes == ("Its batch norms do not say how many batches they have seen: that counts as 0.",)
    assert loaded.model.state_dict()["features.1.num_batches_tracked"] == 0


def test_one_layer_that_differs_is_named_alone_wherever_the_weights_are(tmp_path: Path) -> None:
    state = {**state_of("mlp"), "linear_relu_stack.4.weight": torch.zeros(12, 512)}
    said = refusal(tmp_path / "file", {"net": prefixed("module.", state)})
    assert said.endswith("not those of mlp: linear_relu_stack.4.weight is 12×512 where mlp has 10×512.")


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.fc = nn.Conv2d(1, 6, 5), nn.Linear(3456, 10)


class Tutorial(nn.Module):
    """The tutorial's layers under a class and names of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)


def test_model_that_has_nothing_in_common_is_none_of_ours_and_gets_no_advice(tmp_path: Path) -> None:
    said = refusal(tmp_path / "file", LeNet())
    assert "LeNet, which no saved weights need; nor are its layers those of mlp, cnn or resnet18" in said
    said = refusal(tmp_path / "file", LeNet().state_dict())
    assert said.endswith("it has conv1.weight 6×1×5×5, conv1.bias 6, fc.weight 10×3456 and 1 more.")
    assert inspect(tmp_path / "file").differences == ()


def test_advice_that_would_be_refused_next_is_not_given(tmp_path: Path) -> None:
    said = refusal(tmp_path / "file", Tutorial().double())
    assert "no saved weights need; and linear_relu_stack.0.weight is float64, which can't become float32" in said


@pytest.mark.parametrize("model", [Tutorial(), nn.Sequential(*Tutorial().children())])
def test_advice_to_save_the_state_dict_is_true(tmp_path: Path, model: nn.Module) -> None:
    assert "save the state_dict" in refusal(tmp_path / "file", model)
    torch.save(model.state_dict(), tmp_path / "file")
    loaded = load(tmp_path / "file").model.state_dict()
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(loaded.values(), model.state_dict().values(), strict=True)
    )


def test_search_enters_each_part_once_and_ends_in_any_content() -> None:
    began = time.process_time()
    itself: dict[str, Any] = {}
    itself["self"] = itself
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    doubled: list[Any] = []
    for _ in range(100):
        doubled = [doubled, doubled]
    wide: dict[str, Any] = {str(number): {"x": {}} for number in range(100_000)}
    assert search([itself, deep, doubled, wide]).tensors == []
    assert time.process_time() - began < 5


@pytest.mark.parametrize("content", [torch.zeros(3), None, 3, "weights", [1.0], {"loss": torch.tensor(0.5)}], ids=str)
def test_what_holds_no_weights_is_described_and_said_to_hold_none(tmp_path: Path, content: object) -> None:
    expected = "The file is refused: it holds no state_dict and no model; save the model's state_dict."
    assert refusal(tmp_path / "file", content) == expected
    assert inspect(tmp_path / "file").weights is None


def test_prediction_uses_the_weights_that_are_chosen_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    first, second = state_of("mlp", seed=1), state_of("mlp", seed=2)
    torch.save({"model": first, "ema": second}, tmp_path / "both")
    torch.save(second, tmp_path / "second")
    picture = Image.new("L", (28, 28))
    picture.paste(200, (6, 6, 22, 22))
    picture.save(tmp_path / "grey.png")
    arguments = (tmp_path / "grey.png", "--dataset", "synthetic", "--pixels", "unit", "--json")
    out, said = printed(capsys, "predict", tmp_path / "both", *arguments, "--weights", "ema")
    assert out == printed(capsys, "predict", tmp_path / "second", *arguments)[0]
    assert out != printed(capsys, "predict", tmp_path / "both", *arguments)[0]
    assert said == "The weights under ema are used; those under model can be chosen instead.\n"
