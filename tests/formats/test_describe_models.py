"""What is wrong with a team's model is told in one sentence before a run begins, with the module's own message."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fashion_core.config import FASHION, Shape
from fashion_core.formats.describe_models import describe
from fashion_core.models.layers import Answer, ModelInfo
from tests.support.processes import ROOT
from tests.support.team import readme_models

ODD = ROOT / "tests" / "support" / "team" / "odd_models.py"
ZOO = ODD.with_name("zoo.py")


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield Path()


@pytest.fixture(scope="module")
def odd(runs: Path) -> Answer:
    return describe(str(ODD), FASHION)


@pytest.fixture(scope="module")
def zoo(runs: Path) -> Answer:
    return describe(str(ZOO), FASHION)


SENTENCES = {
    "raises": "raises can't be built for 1 × 28 × 28 and 10 classes: ValueError: no such thing",
    "exits": "exits can't be built for 1 × 28 × 28 and 10 classes: SystemExit: 3",
    "asks-for-more": (
        "asks-for-more can't be built for 1 × 28 × 28 and 10 classes: TypeError: Module.__init__() missing 1 required "
        "positional argument: 'depth'"
    ),
    "positional": "positional can't be built for 1 × 28 × 28 and 10 classes: TypeError: ",
    "no-module": "no-module is built as a list: it should be a torch.nn.Module.",
    "no-parameters": "no-parameters has no parameters: there is nothing to train.",
    "lazy": "last.weight of lazy has no shape before its first batch: give its layer all sizes.",
    "complex": "phases of complex is complex64, which can't be saved in every format here.",
    "odd-buffer": "codes of odd-buffer is uint16, which can't be saved in every format here.",
    "infinite-buffer": (
        "mask of infinite-buffer begins with nan or infinite numbers, which no saved file may hold here."
    ),
    "extra-state": "The state_dict of extra-state holds _extra_state, which is no tensor: keep it in a buffer.",
    "other-shape": ("other-shape gives logits of shape (2, 11) for 2 images of 10 classes: it should be (2, 10)."),
    "one-number": "one-number gives logits of shape () for 2 images of 10 classes: it should be (2, 10).",
    "tuple": "tuple gives a tuple for a batch of images: it should give a tensor of logits.",
    "whole-numbers": "whole-numbers gives logits of int64: they should be float32.",
    "half": "half gives logits of float16: they should be float32.",
    "nan": "nan gives logits that are nan or infinite with its first weights.",
    "nan-in-training": "nan-in-training gives logits that are nan or infinite with its first weights.",
    "other-size": "other-size can't use images of 1 × 28 × 28: RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    "no-gradient": "no-gradient can't be trained: RuntimeError: element 0 of tensors does not require grad",
    "beside-the-loss": "No parameter of beside-the-loss gets a gradient from its loss: there is nothing to train.",
    "python-random": (
        "python-random draws from Python's or NumPy's random numbers: draw from torch's, which a run keeps."
    ),
    "numpy-random": (
        "numpy-random draws from Python's or NumPy's random numbers: draw from torch's, which a run keeps."
    ),
    "own-generator": "own-generator does not go on in the same way from its state_dict: keep all that changes",
    "unseeded": "extra of unseeded begins otherwise with the same seed: draw its numbers with torch.",
    "counts": "counts changes its own attributes as it trains: keep such state in a buffer.",
    "grows": "grows changes its own attributes as it trains: keep such state in a buffer.",
    "forgets": "forgets does not go on in the same way from its state_dict: keep all that changes",
    "hides": "hides does not go on in the same way from its state_dict: keep all that changes",
    "loses": "The state_dict of loses can't be loaded again: RuntimeError: ",
    "mute": "mute can't be described: ValueError: no name",
    "elsewhere": "elsewhere can't be described: RuntimeError: Tensor.item() cannot be called on meta tensors",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_model_that_can_not_be_trained_is_one_sentence(odd: Answer, name: str) -> None:
    problem = odd.models[name].problem
    assert problem is not None
    assert problem.startswith(SENTENCES[name])
    assert problem.isprintable()
    assert len(problem) < 600


def test_every_odd_model_is_looked_at_and_harms_no_other(odd: Answer) -> None:
    assert odd.problem is None
    assert [name for name, info in odd.models.items() if not info.problem] == ["good"]
    assert {*odd.models} == {*SENTENCES, "good"}


def test_good_models_are_described(zoo: Answer) -> None:
    assert {name: info.problem for name, info in zoo.models.items()} == dict.fromkeys(zoo.models)
    lenet = zoo.models["lenet"]
    assert lenet.doc == "LeNet-5 with ReLU and max pooling."
    assert lenet.text.startswith("LeNet(\n  (features): Sequential(")
    assert lenet.parameters == sum(layer.parameters for layer in lenet.layers) == 69_362
    assert [layer.output_shape for layer in lenet.layers if layer.kind == "Linear"] == [(84,), (10,)]
    assert lenet.state["features.0.weight"] == ("float32", (6, 1, 5, 5))
    assert lenet.takes == ("channels", "height", "width", "classes")


def test_docstring_is_the_models_own(zoo: Answer) -> None:
    """Not that of ``nn.Module``, of a class that it inherits from, or of ``functools.partial``."""
    assert zoo.models["negative"].doc == ""
    assert zoo.models["flat-half"].doc == zoo.models["flat"].doc
    assert zoo.models["flat"].doc.startswith("One linear layer")


def test_frozen_and_shared_weights_are_told(zoo: Answer) -> None:
    assert zoo.models["frozen"].without_gradient == ("before.weight", "before.bias")
    assert zoo.models["tied"].shared == {"again.weight": "middle.weight"}
    assert "again.weight" not in zoo.models["tied"].learned
    assert not zoo.models["lenet"].without_gradient
    assert not zoo.models["lenet"].shared


def whole_problems(answer: Answer) -> dict[str, str]:
    return {name: info.whole_problem for name, info in answer.models.items() if info.whole_problem}


def test_why_a_model_can_not_be_saved_as_a_whole_is_told(zoo: Answer) -> None:
    found = whole_problems(zoo)
    assert found.pop("unpicklable").startswith("it can't be pickled: AttributeError: Can't pickle local object")
    assert found.pop("hooked") == "zoo.Hooked carries hooks (_forward_hooks), which would run code"
    assert found.pop("keeping") == "zoo.Keeping.about is more than finite numbers, texts and lists of them"
    assert found == {}


def test_all_files_beside_the_module_that_it_imports_are_told(zoo: Answer) -> None:
    assert list(zoo.files) == ["lenet_models.py", "residual_models.py", "zoo.py"]


def test_answer_survives_as_json(zoo: Answer) -> None:
    """Texts and tuples among the settings too."""
    assert Answer.model_validate_json(zoo.model_dump_json()).sha256 == zoo.sha256
    again = Answer.model_validate_json(zoo.model_dump_json())
    for name, info in zoo.models.items():
        assert _settings(again.models[name]) == _settings(info), name


def _settings(info: ModelInfo) -> str:
    return repr([layer.settings for _, layer in info.whole.named_layers()] if info.whole else None)


def test_model_for_other_images_is_built_for_them(runs: Path) -> None:
    found = describe(str(ZOO), Shape(3, 32, 32, 5))
    assert found.models["lenet"].state["features.0.weight"] == ("float32", (6, 3, 5, 5))
    assert found.models["lenet"].state["head.2.weight"] == ("float32", (5, 84))


def test_model_that_does_not_end_harms_no_other(runs: Path, tmp_path: Path) -> None:
    endless = "class Endless(LeNet):\n    def forward(self, images):\n        while True:\n            pass\n"
    path = readme_models(tmp_path)
    path.write_text(f'{path.read_text()}\n\n{endless}\nMODELS = {{"first": Endless, "second": Endless, **MODELS}}\n')
    found = describe(str(path), FASHION, seconds=3)
    problems = [found.models[name].problem for name in ("first", "second", "lenet")]
    assert problems == [f"A step of {name} does not end within 1 s." for name in ("first", "second")] + [None]
