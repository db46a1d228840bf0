"""The commands about data, devices, models and the lesson; torch is imported by those alone that need it."""

import argparse
import json

from tqdm import tqdm

from fashion_core.access.gate import from_command_line
from fashion_core.cli.files import given_settings, print_json
from fashion_core.data import fashion_mnist
from fashion_core.runs.store import RunStore


def fetch_dataset(options: argparse.Namespace) -> None:
    """Raises ``DownloadError``, ``DiskError``, or ``NotAllowedError`` as every action."""
    with tqdm(total=fashion_mnist.TOTAL_BYTES, unit="B", unit_scale=True, disable=None) as bar:

        def show(done: int, _total: int) -> None:
            bar.n = done
            bar.refresh()

        from_command_line(RunStore()).download(show)
    where = str(fashion_mnist.raw_folder())
    print(json.dumps({"path": where}) if options.json else f"Fashion-MNIST is in {where}")


def list_devices(options: argparse.Namespace) -> None:
    """The one that ``auto`` takes is marked, and one that is slow in bf16."""
    from fashion_core import devices

    answer = devices.describe()
    if options.json:
        print_json(answer)
        return
    for name, text in answer["devices"].items():
        threads = f", {answer['threads']} threads" if name == "cpu" else ""
        bf16 = "" if name in answer["bf16"] else ", no bf16 instructions"
        auto = ", taken by auto" if name == answer["automatic"] else ""
        print(f"{name}: {text}{threads}{bf16}{auto}")


def show_model(options: argparse.Namespace) -> None:
    """Its text, and one line a layer."""
    from fashion_core.models import networks

    answer = networks.describe(options.name)
    if options.json:
        print_json(answer)
        return
    print(answer["text"])
    for layer in answer["layers"]:
        print(f"{layer['name']:<28} {layer['kind']:<18} {layer['output_shape']!s:<14} {layer['parameters']:>10,}")


def run_lesson(options: argparse.Namespace) -> None:
    """Raises ``RunNotFoundError``, and what the lesson raises of a run that is none for it."""
    from fashion_core.resume import lesson, lesson_outputs

    store = RunStore()
    run = store.get(options.run)
    answer = lesson_outputs.losses(run, lesson.last_run(store, run)) if options.losses else lesson_outputs.outputs(run)
    if options.json:
        print_json(answer)
        return
    for name, found in answer.items():
        print(f"--- {name}", *(f"{key}: {value}" for key, value in found.items()), sep="\n")


def predict_images(options: argparse.Namespace) -> None:
    """Raises what ``predict.predict_images`` raises."""
    from fashion_core.cli import predict

    predict.predict_images(options, given_settings(options))


def evaluate_file(options: argparse.Namespace) -> None:
    """Raises what ``predict.evaluate`` raises."""
    from fashion_core.cli import predict

    predict.evaluate(options, given_settings(options))


def serve_predictions(options: argparse.Namespace) -> None:
    """Answer the server that started this, until it goes."""
    from fashion_core.inference import worker

    worker.serve()
