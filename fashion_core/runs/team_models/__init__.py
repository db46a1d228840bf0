"""A team's own models, which ``FASHION_MODELS`` or an installed package lists: which there are, and what they are like.

A process with torch is asked; their code is never imported here.
"""

from collections.abc import Iterable, Iterator

from fashion_core import files
from fashion_core.config import FASHION, MODEL_LABELS, Shape
from fashion_core.errors import ModelError
from fashion_core.models import sources
from fashion_core.models.layers import Answer, ModelInfo
from fashion_core.models.sources import Source
from fashion_core.runs.schema import RunRecord
from fashion_core.runs.team_models.answers import answer


def answers(shape: Shape = FASHION) -> dict[str, Answer]:
    """What each module that is named here says of its models for images of this shape, by its name."""
    return {name: answer(name, shape) for name in sources.named()}


def names() -> tuple[str, ...]:
    """Every model that can be asked for: this app's, then the team's."""
    return (*MODEL_LABELS, *(name for said in answers().values() for name in said.models))


def digests() -> tuple[str, ...]:
    """What changes with any source of the team's models: what has imported one imports it anew only when restarted."""
    return tuple(said.sha256 for said in answers().values())


def problems() -> list[str]:
    """What is wrong with the modules that are named here, one sentence each."""
    return [said.problem for said in answers().values() if said.problem]


def find(name: str, shape: Shape = FASHION) -> tuple[Source, Answer]:
    """The module that lists this model, and what it says. Raises ``ModelError`` if none does."""
    said = answers(shape)
    for module, answer_of_it in said.items():
        if name in answer_of_it.models:
            return sources.find(module), answer_of_it
    why = next((one.problem for one in said.values() if one.problem), None)
    here = f"choose one of {', '.join(names())}, or set {sources.VARIABLE} to the module that lists it"
    raise ModelError(why or f"There is no model {name} here: {here}.")


def info(name: str, shape: Shape) -> ModelInfo:
    """A team's model, built for this shape. Raises ``ModelError`` if there is none that can be trained."""
    _, said = find(name, shape)
    if problem := said.models[name].problem:
        raise ModelError(problem)
    return said.models[name]


def check(name: str, shape: Shape) -> None:
    """Raise ``ModelError`` unless a model of this name can be trained on images of this shape."""
    if name not in MODEL_LABELS:
        info(name, shape)


def sha256_of(name: str, shape: Shape) -> str | None:
    """Which source a model's name stands for here; None for this app's own. Raises ``ModelError``."""
    return None if name in MODEL_LABELS else find(name, shape)[1].sha256


def check_source(record: RunRecord) -> None:
    """Raise ``ModelError`` if the source of its model is not what the run was begun with."""
    before, now = record.model_sha256, sha256_of(record.config.model, record.description.shape)
    if before != now:
        raise ModelError(
            f"The source of the model {record.config.model} has changed since run {record.id} was made, so it can't "
            "continue: put the source back, which its folder keeps as text, or resume from a checkpoint of it."
        )


def source_text(name: str, shape: Shape) -> str:
    """The files that a team's model is made of, each after a line with its name.

    Raises ``ModelError``, ``DiskError``.
    """
    source, said = find(name, shape)
    parts = (f"# {path}\n{files.read_bytes(source.root / path).decode(errors='replace')}" for path in said.files)
    return "\n".join(parts)


def infos(shapes: Iterable[Shape]) -> Iterator[tuple[str, Shape, ModelInfo]]:
    """The team's models that can be trained on images of these shapes."""
    for shape in dict.fromkeys(shapes):
        listed: dict[str, ModelInfo] = {}
        for said in answers(shape).values():
            listed = {**said.models, **listed}  # of two modules that list a name the first counts, as in ``find``
        yield from ((name, shape, one) for name, one in listed.items() if not one.problem)
