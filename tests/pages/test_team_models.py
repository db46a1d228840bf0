"""Pages with a team's own models: what the form says of them, and of what is wrong with them."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from fashion_core.runs.store import RunStore
from tests.support.pages import open_page, widget, words
from tests.support.runs import new_run
from tests.support.team import readme_models

BROKEN = """

class Flat(nn.Linear):
    '''Takes no images.'''

    def __init__(self, classes):
        super().__init__(3, classes)


class Unpicklable(LeNet):
    def __init__(self, channels, height, width, classes):
        super().__init__(channels, height, width, classes)
        self.changed = lambda: None


MODELS |= {"flat": Flat, "unpicklable": Unpicklable}
"""


def start(app: AppTest) -> Button:
    return next(button for button in app.button if button.label == "Start")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = readme_models(tmp_path)
    path.write_text(path.read_text() + BROKEN)
    monkeypatch.setenv("FASHION_MODELS", str(path))
    return path


def test_form_says_what_a_teams_model_is_and_what_is_wrong_with_it(store: RunStore, models: Path) -> None:
    app = open_page("train")
    assert list(widget(app, "Model").options)[3:] == ["lenet", "flat", "unpicklable"]
    app.selectbox(key="train demo model").select("lenet").run()
    assert "**lenet**: LeNet-5 with ReLU and max pooling." in words(app)
    assert "from my_models import MODELS" in app.code[0].value
    assert 'MODELS["lenet"](channels=1, height=28, width=28, classes=10)' in app.code[0].value
    app.selectbox(key="train demo model").select("flat").run()
    assert "Flat can't use images of 1 × 28 × 28: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in words(app)
    assert start(app).disabled
    app.selectbox(key="train demo model").select("unpicklable").run()
    assert "no whole model: it can't be pickled: AttributeError" in words(app)
    assert not start(app).disabled
    app.selectbox(key="train demo model").select("cnn").run()
    assert not app.error


def test_module_that_cant_be_imported_is_told_and_this_apps_models_can_be_chosen(store: RunStore, models: Path) -> None:
    models.write_text("import nothing_of_that_name\n")
    app = open_page("train")
    assert f"{models} can't be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'" in words(app)
    assert list(widget(app, "Model").options) == ["NeuralNetwork (MLP)", "small CNN", "ResNet-18"]
    assert not start(app).disabled


def test_run_shows_the_source_that_its_model_had(
    store: RunStore, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(store, model="lenet")
    monkeypatch.delenv("FASHION_MODELS")
    assert "class LeNet(nn.Module):" in str(run.model_source)
    app = open_page("train", run=run.id)
    assert any("There is no model lenet here" in code.value for code in app.code)
    assert not app.error
