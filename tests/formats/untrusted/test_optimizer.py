"""The optimizer never decides about the weights: its state is used, or the file says why a fresh one starts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core.formats import save
from fashion_core.formats.import_file import import_file
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import LoadedModel, load
from fashion_core.models import build_model
from fashion_core.resume import plan
from fashion_core.resume.plan import ResumeRequest
from fashion_core.resume.reasons import texts
from fashion_core.runs.store import RunStore
from tests import hostile
from tests.hostile.building import four_keys
from tests.support.commands import answered, printed
from tests.support.runs import save_again, train

State = dict[str, Any]
Make = Callable[[nn.Module], torch.optim.Optimizer]
FRESH = ": resuming starts a fresh optimizer."


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    groups: list[State] = [
        {"params": [p for p in model.parameters() if (p.ndim > 1) == wide]} for wide in (True, False)
    ]
    groups[1]["weight_decay"] = 0.0
    return torch.optim.AdamW(groups, lr=0.02, weight_decay=0.1)


def frozen(model: nn.Module) -> torch.optim.Optimizer:
    next(model.parameters()).requires_grad_(False)
    return torch.optim.Adam(model.parameters())


def frozen_left_out(model: nn.Module) -> torch.optim.Optimizer:
    frozen(model)
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad])


OTHERS: dict[str, tuple[Make, str]] = {
    "RMSprop": (lambda model: torch.optim.RMSprop(model.parameters()), "is not SGD, Adam or AdamW"),
    "Adagrad": (lambda model: torch.optim.Adagrad(model.parameters()), "is not SGD, Adam or AdamW"),
    "NAdam": (lambda model: torch.optim.NAdam(model.parameters()), "is not SGD, Adam or AdamW"),
    "amsgrad": (lambda model: torch.optim.Adam(model.parameters(), amsgrad=True), "uses amsgrad, which none of"),
    "nesterov": (
        lambda model: torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True),
        "uses nesterov, which none of",
    ),
    "two groups": (two_groups, "has 2 groups of parameters, where this app's has one"),
    "a frozen layer": (frozen, "keeps nothing for 1 of its 6 parameters, as where layers are frozen"),
    "a frozen layer left out": (frozen_left_out, "was made for 5 parameters, where mlp has 6"),
}  # fmt: skip


def content_of(make: Make, seed: int = 1) -> State:
    model = build_model("mlp", seed)
    return four_keys(model, make(model))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.01)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


def loaded(path: Path, content: object) -> LoadedModel:
    torch.save(content, path)
    found = load(path)
    assert (inspect(path).refusal, inspect(path).notes) == (None, found.notes)
    return found


def same_weights(found: LoadedModel, content: State) -> bool:
    weights = found.model.state_dict()
    return all(torch.equal(weights[name], tensor) for name, tensor in content["model_state_dict"].items())


@pytest.mark.parametrize("kind", OTHERS)
def test_weights_beside_another_optimizer_come_in_and_a_note_says_that_a_fresh_one_starts(
    tmp_path: Path, kind: str
) -> None:
    make, problem = OTHERS[kind]
    found = loaded(tmp_path / "file", content := content_of(make))
    assert same_weights(found, content)
    assert found.optimizer_state is None
    assert found.notes[0].startswith(f"Its optimizer {problem}")
    assert found.notes[0].endswith(FRESH)


@pytest.mark.parametrize("kind", [*OTHERS, "Adam", "SGD"])
def test_inspect_import_and_resume_give_one_verdict(store: RunStore, tmp_path: Path, kind: str) -> None:
    make = {**OTHERS, "Adam": (adam, ""), "SGD": (momentum, "")}[kind][0]
    torch.save(content_of(make), tmp_path / "file")
    run = import_file(store, tmp_path / "file", "file", {})
    (planned,) = plan.plan_runs(run, [ResumeRequest(4, 1, {})])
    assert inspect(tmp_path / "file").verdict == planned.verdict.kind
    assert ("fresh optimizer" in run.labels.notes) == (planned.verdict.kind == "weights only")
    assert "it does not carry the optimizer's state" not in texts(planned.verdict.reasons)


FROZEN = "linear_relu_stack.0.weight"


@pytest.mark.parametrize(
    ("said", "is_used"),
    [
        ([FROZEN], True),
        ([FROZEN, "nobody.weight", "../../x"], True),
        (["linear_relu_stack.2.weight"], False),
        ([], False),
        (FROZEN, False),
        ({FROZEN: 1}, False),
        ([[FROZEN], 1, None], False),
        ([FROZEN, 1], False),
    ],
)
def test_state_that_lacks_a_parameter_is_used_only_where_the_file_says_that_this_was_frozen(
    tmp_path: Path, said: object, is_used: bool
) -> None:
    content = {**content_of(frozen), "frozen": said}
    found = loaded(tmp_path / "file", content)
    assert same_weights(found, content)
    assert (found.optimizer_state is not None) == is_used
    assert found.frozen == ()  # whoever made the file did not train here


def test_settings_of_an_optimizer_are_taken_over_even_where_its_state_is_not(store: RunStore, tmp_path: Path) -> None:
    torch.save(content_of(two_groups), tmp_path / "groups")
    config = import_file(store, tmp_path / "groups", "groups", {}).record.config
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("adamw", 0.02, 0.1)
    torch.save(content_of(lambda model: torch.optim.RMSprop(model.parameters(), lr=0.003)), tmp_path / "rmsprop")
    assert import_file(store, tmp_path / "rmsprop", "rmsprop", {}).record.config.learning_rate == 0.003


@pytest.mark.parametrize("rate", [float("nan"), -1.0, 10**600, "fast"])
def test_learning_rate_of_no_sense_does_not_stop_an_import(store: RunStore, tmp_path: Path, rate: object) -> None:
    content = content_of(adam)
    content["optimizer_state_dict"]["param_groups"][0]["lr"] = rate
    torch.save(content, tmp_path / "file")
    run = import_file(store, tmp_path / "file", "file", {})
    assert run.record.config.learning_rate == 0.001
    assert "Its learning rate is unknown, so 0.001 is used." in run.labels.notes


def under(key: str) -> Callable[[State, State], State]:
    return lambda weights, state: {"model": weights, key: state}


PLACES: dict[str, Callable[[State, State], State]] = {
    **{key: under(key) for key in ("optimizer_state_dict", "optimizer", "optim", "opt", "anything")},
    "a list, as in Lightning": lambda weights, state: {"state_dict": weights, "optimizer_states": [state]},
    "a dict in a dict": lambda weights, state: {"model": weights, "training": {"optimizers": {"main": state}}},
}


@pytest.mark.parametrize("place", PLACES)
def test_optimizer_is_found_under_any_key_and_its_state_is_used(store: RunStore, tmp_path: Path, place: str) -> None:
    content = content_of(momentum)
    expected = content["optimizer_state_dict"]
    torch.save(PLACES[place](content["model_state_dict"], expected), tmp_path / "file")
    run = import_file(store, tmp_path / "file", "file", {})
    config = run.record.config
    assert (config.optimizer, config.learning_rate, config.momentum) == ("sgd", 0.05, 0.9)
    assert "optimizer" not in run.labels.notes
    assert save.load_checkpoint(run.checkpoint_path(0))["optimizer_state_dict"]["state"][5].keys() == {
        "momentum_buffer"
    }
    found = inspect(tmp_path / "file").optimizer
    assert found is not None
    assert (found.name, found.problem) == ("sgd", None)


def test_of_several_optimizers_the_one_that_fits_is_used(tmp_path: Path) -> None:
    content = content_of(adam)
    other = nn.Linear(3, 4)
    content = {"optimizer_D": torch.optim.Adam(other.parameters()).state_dict(), **content}
    content["optimizer_G"] = content.pop("optimizer_state_dict")
    found = loaded(tmp_path / "file", content)
    assert found.optimizer is not None
    assert (found.optimizer.keys, found.notes) == (("optimizer_G",), ())


def test_ids_before_torch_1_6_are_taken_by_the_order_of_the_parameters(tmp_path: Path) -> None:
    content = content_of(adam)
    state = content["optimizer_state_dict"]
    ids = [140_254_331_234_000 + 72 * place for place in range(6)][::-1]
    slots = {ids[place]: {**slot, "step": int(slot["step"])} for place, slot in state["state"].items()}
    group = {**state["param_groups"][0], "params": ids}
    old = {**content, "optimizer_state_dict": {"state": slots, "param_groups": [group]}}
    torch.save(old, tmp_path / "file", _use_new_zipfile_serialization=False)
    found = load(tmp_path / "file").optimizer_state
    assert found is not None
    assert found["param_groups"][0]["params"] == list(range(6))
    assert all(torch.equal(found["state"][place]["exp_avg"], slot["exp_avg"]) for place, slot in state["state"].items())


def test_learning_rate_that_is_a_tensor_is_read(tmp_path: Path) -> None:
    content = content_of(lambda model: torch.optim.Adam(model.parameters(), lr=torch.tensor(0.25), capturable=False))
    found = loaded(tmp_path / "file", content)
    assert found.optimizer is not None
    assert found.optimizer.settings["lr"] == 0.25
    assert found.optimizer_state is not None


def test_state_of_layers_in_another_order_is_not_guessed(tmp_path: Path) -> None:
    content = content_of(adam)
    content["model_state_dict"] = dict(reversed(content["model_state_dict"].items()))
    found = loaded(tmp_path / "file", content)
    assert found.notes == (f"Its optimizer counts the layers in another order than mlp{FRESH}",)
    assert found.optimizer_state is None


DAMAGES: dict[str, tuple[Make, Callable[[dict[int, State]], object], str]] = {
    "momentum of None": (
        momentum,
        lambda slots: slots[4].update(momentum_buffer=None),
        "keeps tensors for some parameters alone",
    ),
    "a step that is a number beside tensors": (
        adam,
        lambda slots: slots[4].update(step=5),
        "keeps tensors for some parameters alone",
    ),
    "a negative step": (
        adam,
        lambda slots: slots[0].update(step=torch.tensor(-5.0)),
        "step is not a number of 0 or more",
    ),
    "a negative old step": (adam, lambda slots: slots[0].update(step=-5), "step is not a number of 0 or more"),
    "a step of nan": (
        adam,
        lambda slots: slots[0].update(step=torch.tensor(float("nan"))),
        "step is not a number of 0",
    ),
    "negative squares": (
        adam,
        lambda slots: slots[2]["exp_avg_sq"].neg_(),
        "exp_avg_sq, a mean of squares, has numbers",
    ),
    "numbers that are inf": (
        adam,
        lambda slots: slots[2]["exp_avg"].fill_(float("inf")),
        "exp_avg holds 262,144 numbers",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_state_that_would_fail_later_is_left_out_now(tmp_path: Path, damage: str) -> None:
    make, change, problem = DAMAGES[damage]
    content = content_of(make)
    change(content["optimizer_state_dict"]["state"])
    found = loaded(tmp_path / "file", content)
    assert same_weights(found, content)
    assert found.optimizer_state is None
    assert problem in found.notes[0]


@pytest.mark.parametrize("name", [name for name, _ in hostile.optimizers()])
def test_hostile_state_of_an_optimizer_is_left_out_and_the_weights_are_used(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(dict(hostile.optimizers())[name]())
    found, described = load(tmp_path / "file"), inspect(tmp_path / "file")
    assert found.model_name == "mlp"
    assert found.optimizer_state is None
    assert described.verdict == "weights only"
    assert [note for note in described.notes if note.endswith(FRESH)] == list(found.notes)
    json.dumps(described.tree, allow_nan=False)


def test_pickled_optimizer_is_named_and_its_class_refused(tmp_path: Path) -> None:
    model = build_model("mlp", seed=0)
    torch.save({"model": model.state_dict(), "optimizer": torch.optim.SGD(model.parameters(), 0.1)}, tmp_path / "file")
    found = inspect(tmp_path / "file")
    assert found.optimizer is not None
    assert found.refused == ("torch.optim.sgd.SGD",)


def test_checkpoint_with_a_state_that_can_not_be_used_is_resumed_with_a_fresh_optimizer(
    store: RunStore, tmp_path: Path
) -> None:
    """As it may stand in a store from before such states were left out by the import."""
    torch.save(content := content_of(momentum), tmp_path / "file")
    run = import_file(store, tmp_path / "file", "file", {"train_images": 300, "threads": 1})
    content["optimizer_state_dict"]["state"][4]["momentum_buffer"] = None
    save_again(run, 4, content)
    (child,) = plan.create(store, run, [ResumeRequest(4, 1, {})])
    resumption = child.record.resumption
    assert resumption is not None
    assert resumption.verdict == "weights only"
    assert "it does not carry a state of the optimizer that can be used here" in texts(resumption.reasons)
    assert train(child) == "finished"
    assert child.load_check is not None
    assert child.load_check.optimizer == "fresh"


def test_command_says_what_becomes_of_the_optimizer_and_which_weights_are_used(tmp_path: Path, capsys: Any) -> None:
    content = content_of(OTHERS["RMSprop"][0])
    weights: dict[str, Tensor] = content.pop("model_state_dict")
    torch.save({**content, "model": weights, "ema": weights | {"x": torch.ones(2)}}, tmp_path / "file")
    out, _ = printed(capsys, "inspect", tmp_path / "file", "--weights", "ema")
    assert "weights: under ema\n" in out
    assert f"Its optimizer is not SGD, Adam or AdamW{FRESH}\n" in out
    found = answered(capsys, "inspect", tmp_path / "file")
    assert (found["weights"], found["choices"]) == ("model", ["model", "ema"])
    assert found["optimizer"]["problem"] == "its optimizer is not SGD, Adam or AdamW"
