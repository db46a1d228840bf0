"""The commands about data, devices, models and the lesson; those that need torch import it when they run."""

import argparse
from itertools import chain

from tqdm import tqdm

from fashion_core.access.gate import from_command_line
from fashion_core.cli.answer import answer
from fashion_core.config import MODEL_LABELS, Shape
from fashion_core.data import fashion_mnist
from fashion_core.data.description import checked, describe
from fashion_core.errors import counted
from fashion_core.runs import torch_process
from fashion_core.runs.store import RunStore


def fetch_dataset(options: argparse.Namespace) -> None:
    with tqdm(total=fashion_mnist.TOTAL_BYTES, unit="B", unit_scale=True, disable=None) as bar:
        from_command_line(RunStore()).download(lambda done, _total: bar.update(done - bar.n))
    where = str(fashion_mnist.raw_folder())
    answer(options, {"path": where}, [f"Fashion-MNIST is in {where}"])


def list_devices(options: argparse.Namespace) -> None:
    from fashion_core import devices

    found = devices.describe()
    lines = []
    for name, processor in found["devices"].items():
        known = [processor]
        if name == "cpu":
            known.append(counted(found["threads"], "{count} thread", "{count} threads"))
        if name not in found["bf16"]:
            known.append("no bf16 instructions")
        if name == found["automatic"]:
            known.append("taken by auto")
        lines.append(f"{name}: {', '.join(known)}")
    answer(options, found, lines)


def shape_of(text: str) -> Shape:
    """Read what ``--shape`` says. Raises ``ArgumentTypeError`` for what no dataset has."""
    try:
        return checked(Shape(*map(int, text.split(","))))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"{text} should be like 3,32,32,10: channels, height, width, classes"
        ) from error


def show_model(options: argparse.Namespace) -> None:
    from fashion_core.models import networks

    name, shape = options.name, options.shape or describe(options.dataset).shape
    found = networks.describe(name, shape) if name in MODEL_LABELS else torch_process.describe_model(name, shape)
    layers = (
        f"{layer['name']:<28} {layer['kind']:<18} {layer['output_shape']!s:<14} {layer['parameters']:>10,}"
        for layer in found["layers"]
    )
    answer(options, found, [*found["text"].splitlines(), *layers])


def describe_models(options: argparse.Namespace) -> None:
    """Answer the server, which imports no team's code, about the models that one module lists."""
    from fashion_core.formats import describe_models as formats

    answer(options, formats.describe(options.module, options.shape).model_dump(mode="json"), [])


def run_lesson(options: argparse.Namespace) -> None:
    from fashion_core.resume import lesson
    from fashion_core.resume.lesson import outputs

    store = RunStore()
    run = store.get(options.run)
    found = outputs.losses(run, lesson.last_run(store, run)) if options.losses else outputs.outputs(run)
    texts = ([f"--- {name}", *(f"{key}: {value}" for key, value in said.items())] for name, said in found.items())
    answer(options, found, chain.from_iterable(text.splitlines() for text in chain.from_iterable(texts)))


def predict_images(options: argparse.Namespace) -> None:
    from fashion_core.cli import predict

    predict.predict_images(options)


def evaluate_file(options: argparse.Namespace) -> None:
    from fashion_core.cli import predict

    predict.evaluate(options)


def serve_predictions(options: argparse.Namespace) -> None:
    """Answer the server that started this process, until the server exits."""
    from fashion_core.inference import worker

    worker.serve()
