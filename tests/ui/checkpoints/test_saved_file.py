"""What the pages show of any file, whether or not it can be used or even described."""

import json
import math
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor

from fashion_core.models import build_model
from tests.support.pages import words

TREES = [("weights", "weights"), (None, None), ([1.0], [1.0]), (torch.ones(2), "float32 (2,)")]


def page(path: str) -> None:
    from pathlib import Path

    from fashion_core.ui.checkpoints import saved_file

    found = saved_file.read_contents(Path(path))
    saved_file.show_problem(found)
    if found.inspection:
        saved_file.show_inside(found.inspection, "file")


def shown(file: Path) -> AppTest:
    app = AppTest.from_function(page, kwargs={"path": str(file)}, default_timeout=30).run()
    assert not app.exception
    assert all(len(frame.value) for frame in app.dataframe), "no grid is empty"
    return app


@pytest.mark.parametrize(("content", "tree"), TREES, ids=repr)
def test_whatever_a_file_holds_is_shown_as_a_tree(tmp_path: Path, content: object, tree: object) -> None:
    torch.save(content, tmp_path / "file")
    assert json.loads(shown(tmp_path / "file").json[0].value) == tree


def test_file_that_can_not_be_read_shows_why_its_size_and_its_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no model")
    app = shown(tmp_path / "file")
    assert "The file is refused: it is a text; it holds no weights; choose the model file." in words(app)
    assert "8 B · SHA-256 " in words(app)
    assert not [*app.metric, *app.dataframe, *app.json]


def test_refused_file_shows_why_and_only_what_is_known(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "history": []}, tmp_path / "file")
    app = shown(tmp_path / "file")
    assert "The file is refused: it holds no state_dict and no model" in words(app)
    assert [metric.label for metric in app.metric] == ["Size", "Epoch"]
    assert not app.dataframe


def weights(name: str, value: Tensor) -> dict[str, Tensor]:
    return {**build_model("mlp", seed=0).state_dict(), name: value}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(11), "its layers are not those of mlp"),
        (torch.full((10,), math.nan), "holds 10 numbers that are nan or infinite"),
        (torch.zeros(10, dtype=torch.float64), "is float64, which can't become float32"),
    ],
)
def test_file_whose_weights_do_not_fit_is_not_usable_rather_than_refused(
    tmp_path: Path, value: Tensor, said: str
) -> None:
    torch.save(weights("linear_relu_stack.4.bias", value), tmp_path / "file")
    app = shown(tmp_path / "file")
    assert "The file is not usable: " in words(app)
    assert said in words(app)
    (tensors,) = (frame.value for frame in app.dataframe)
    assert len(tensors) == 6
