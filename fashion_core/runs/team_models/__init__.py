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


def fingerprint() -> tuple[str, ...]:
    """What changes with any file that a team's models are made of."""
    return tuple(said.sha256 for said in answers().values())


def names() -> tuple[str, ...]:
    """Every model that can be asked for: this app's, then the team's."""
    return (*MODEL_LABELS, *(name for said in answers().values() for name in said.models))


def problems() -> list[str]:
    """What is wrong with the modules that are named here, one sentence each."""
    return [said.problem for said in answers().values() if said.problem]


def answer_of(name: str, shape: Shape = FASHION) -> Answer:
    """What the module says that lists this model. Raises ``ModelError`` if none does."""
    found = answers(shape)
    for said in found.values():
        if name in said.models:
            return said
    why = next((said.problem for said in found.values() if said.problem), None)
    here = f"choose one of {', '.join(names())}, or start the server with {sources.VARIABLE} set to what lists it"
    raise ModelError(why or f"There is no model {name} here: {here}.")


def info(name: str, shape: Shape) -> ModelInfo:
    """A team's model, built for this shape. Raises ``ModelError`` if there is none that can be trained."""
    found = answer_of(name, shape).models[name]
    if found.problem:
        raise ModelError(found.problem)
    return found


def check(name: str, shape: Shape) -> None:
    """Raise ``ModelError`` unless a model of this name can be trained on images of this shape."""
    if name not in MODEL_LABELS:
        info(name, shape)


def sha256_of(name: str, shape: Shape) -> str | None:
    """Which source a model's name stands for here; None for this app's own. Raises ``ModelError``."""
    return None if name in MODEL_LABELS else answer_of(name, shape).sha256


def check_source(record: RunRecord) -> None:
    """Raise ``ModelError`` if the source of its model is not what the run was begun with."""
    before, now = record.model_sha256, sha256_of(record.config.model, record.description.shape)
    if before != now:
        raise ModelError(
            f"The source of the model {record.config.model} has changed since run {record.id} was made, so it can't "
            "continue: put the source back, which its folder keeps as text, or resume from a checkpoint of it."
        )


def source_of(name: str, shape: Shape) -> Source:
    """The module that lists a team's model. Raises ``ModelError``."""
    found = answer_of(name, shape)
    return next(sources.find(named) for named, said in answers(shape).items() if said is found)


def source_text(name: str, shape: Shape) -> str:
    """The files that a team's model is made of, each after a line with its name.

    Raises ``ModelError``, ``DiskError``.
    """
    found, source = answer_of(name, shape), source_of(name, shape)
    parts = (f"# {path}\n{files.read_bytes(source.root / path).decode(errors='replace')}" for path in found.files)
    return "\n".join(parts)


def infos(shapes: Iterable[Shape]) -> Iterator[tuple[str, Shape, ModelInfo]]:
    """The team's models that can be trained on images of these shapes."""
    for shape in dict.fromkeys(shapes):
        for said in answers(shape).values():
            yield from ((name, shape, found) for name, found in said.models.items() if not found.problem)
