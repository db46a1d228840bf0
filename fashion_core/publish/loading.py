"""The Python that builds and loads a published model with torch and safetensors alone."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from fashion_core.config import MODEL_CLASSES, Shape
from fashion_core.data.description import Description
from fashion_core.formats import team_code
from fashion_core.models.class_source import class_source

MODEL_FILE: Final = "model.py"
_SCALED: Final = {"raw": "images.float()", "unit": "images / 255", "standard": "(images / 255 - mean) / std"}


def loading_code(model: str, pixels: str, dataset: Description) -> str:
    """A script that defines ``probabilities`` of images as bytes, to be run in the folder of the model."""
    template = _templates.get_template("loading.py.j2")
    return template.render(model=model, pixels=pixels, shape=dataset.shape, scaled=_SCALED)


def model_code(model: str, shape: Shape) -> str | None:
    """The module ``MODEL_FILE`` with its class; None of a team's own, whose module must be importable.

    That of ResNet-18 is torchvision's: the template has one that needs torch alone.
    """
    if team_code.is_teams(model):
        return None
    return _templates.get_template("model.py.j2").render(model=model, shape=shape)


def architecture(model: str) -> str:
    """What its class is called; a team's own is known by the name under which it is listed."""
    return MODEL_CLASSES.get(model, model)


_templates = Environment(
    loader=PackageLoader("fashion_core.publish"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
_templates.globals.update(architecture=architecture, building=team_code.building_lines, class_source=class_source)
_templates.tests["teams"] = team_code.is_teams
