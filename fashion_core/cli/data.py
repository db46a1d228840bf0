"""The commands about datasets: data add, list, show, remove. What reads pictures is imported where it is needed."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tqdm import tqdm

from fashion_core.access.gate import from_command_line
from fashion_core.cli.answer import answer, as_typed, say
from fashion_core.config import FITS
from fashion_core.data import description, report
from fashion_core.data.description import ARRAYS, BUILT_IN, LEAST_SIDE, MOST_SIDE, Description
from fashion_core.data.report import ClassCount, Finding, Report
from fashion_core.data.request import AddRequest
from fashion_core.errors import DamagedFileError, DataError, DiskError, counted
from fashion_core.runs.store import RunStore

if TYPE_CHECKING:
    from fashion_core.data.adding import Prepared

_SHOWN = 20  # classes in what people read
_SAMPLES: Final = 24
_LINE_SECONDS: Final = 0.2
Progress = Callable[[int, int], object]
_SOURCE = (
    "a folder or zip of class folders (with or without train/ and test/), a folder of IDX files, an .npz, a Parquet "
    "file or a folder of them, or one of torchvision's sets by name: mnist, kmnist, emnist-letters, emnist-balanced, "
    "qmnist, usps, svhn, cifar10, cifar100"
)
_USED_BY_ONE = "{count} run on it stays, and can't be continued, resumed or measured without these images."
_USED_BY_MANY = "{count:,} runs on it stay, and can't be continued, resumed or measured without these images."


def add_commands(commands: Any) -> None:
    help_text = "add your own images as a dataset; list, show and remove datasets"
    data = commands.add_parser("data", help=help_text, description=help_text)
    actions = data.add_subparsers(required=True, metavar="ACTION")
    _add_flags(_action(actions, "add", add_dataset, "add a dataset: all of it, or nothing"))
    _action(actions, "list", list_datasets, "list the datasets that runs can be trained on")
    show = _action(actions, "show", show_dataset, "show a dataset: its classes, its numbers, what was found")
    show.add_argument("name", type=as_typed)
    help_text = "remove a dataset that was added; runs trained on it stay, and can't go on without it"
    _action(actions, "remove", remove_dataset, help_text).add_argument("name", type=as_typed)


def _action(actions: Any, name: str, command: Any, help_text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=command)
    return parser


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=as_typed, help=_SOURCE)
    parser.add_argument("--name", type=as_typed, required=True, help="small letters, digits and hyphens: my-shoes")
    parser.add_argument("--label", type=as_typed, default="", help="what people read (default: the name)")
    help_text = f"height and width in pixels, {LEAST_SIDE} to {MOST_SIDE} (default: those that all share, or 32)"
    parser.add_argument("--size", type=int, help=help_text)
    help_text = "1: grey; 3: colour (default: 3 if any of the first images looked at has colour)"
    parser.add_argument("--channels", type=int, choices=(1, 3), help=help_text)
    help_text = "how images of another shape are made to fit (default: pad, with the colour of their border)"
    parser.add_argument("--fit", choices=FITS, default="pad", help=help_text)
    parser.add_argument("--preview", action="store_true", help="report everything and keep nothing")


def add_dataset(options: argparse.Namespace) -> None:
    from fashion_core.data import adding

    with _bar_shown() as progress:
        if options.preview:
            with adding.prepared(options.source, _request(options), progress) as ready:
                found, where = ready.report, None
        else:
            actions = from_command_line(RunStore())
            found = actions.add_dataset(options.source, _request(options), progress, adding.add)
            where = str(description.folder_of(options.name))
    last = f"It is in {where}" if where else "Nothing was kept: without --preview it is."
    document = {**_document(found.description, found), "path": where}
    answer(options, document, [*_lines(found.description, found), last])


def _request(options: argparse.Namespace) -> AddRequest:
    return AddRequest(options.name, options.label, options.size, options.channels, options.fit)


def add_for_server_command(commands: Any) -> None:
    parser = _action(commands, "adder", add_for_server, "add a dataset for the server")
    _add_flags(parser)
    parser.add_argument("--called", type=as_typed, default="", help="what people call the file")


def add_for_server(options: argparse.Namespace) -> None:
    """How far it is, as lines such as "1280/60000", some a second; then the report, of a preview with samples."""
    from fashion_core.data import adding

    request, samples = replace(_request(options), called=options.called), list[tuple[str, str]]()
    if options.preview:
        with adding.prepared(options.source, request, _say_lines()) as ready:
            found, samples = ready.report, list(_samples(ready))
    else:
        found = adding.add(options.source, request, _say_lines())
    answer(options, {**_document(found.description, found), "samples": samples}, ())


def _samples(ready: "Prepared") -> Iterator[tuple[str, str]]:
    """One picture of each of the first classes, as a page shows it."""
    from fashion_core.charts.gallery import thumbnail

    arrays = {name: np.load(ready.folder / name, mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    for label, name in enumerate(ready.report.description.classes[:_SAMPLES]):
        for half in ("train", "test"):
            if len(found := np.flatnonzero(arrays[f"{half}_labels.npy"] == label)):
                yield name, thumbnail(np.array(arrays[f"{half}_images.npy"][found[0]]))
                break


@contextmanager
def _bar_shown() -> Iterator[Progress]:
    with tqdm(unit=" images", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _say_lines() -> Progress:
    said = 0.0

    def show(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() - said > _LINE_SECONDS:
            said = time.monotonic()
            say(f"{done}/{total}")

    return show


def list_datasets(options: argparse.Namespace) -> None:
    """A damaged one is one line or record among the others."""
    found = [_described(name) for name in description.names()]
    documents = [one.model_dump(mode="json") if isinstance(one, Description) else one for one in found]
    answer(options, documents, (_line(one) if isinstance(one, Description) else one["error"] for one in found))


def _described(name: str) -> Description | dict[str, str]:
    try:
        return description.describe(name)
    except (DataError, DamagedFileError, DiskError) as error:
        return {"name": name, "error": str(error)}


def show_dataset(options: argparse.Namespace) -> None:
    described = description.describe(options.name)
    found = None if options.name in BUILT_IN else report.read(options.name)
    where = None if options.name in BUILT_IN else str(description.folder_of(options.name))
    answer(options, {**_document(described, found), "path": where}, _lines(described, found))


def remove_dataset(options: argparse.Namespace) -> None:
    store = RunStore()
    from_command_line(store).remove_dataset(options.name)
    lines = [f"{options.name} is removed"]
    if used := store.count_on(options.name):
        lines.append(counted(used, _USED_BY_ONE, _USED_BY_MANY))
    answer(options, {"removed": options.name, "runs": used}, lines)


def _document(described: Description, found: Report | None) -> dict[str, Any]:
    told: dict[str, Any] = {"counts": [], "findings": []}
    if found:
        told = found.model_dump(mode="json", include={"counts", "findings"})
    return {**described.model_dump(mode="json"), **told}


def _line(found: Description) -> str:
    colours = "grey" if found.channels == 1 else "colour"
    return (
        f"{found.name}: {found.label}, {len(found.classes)} classes, {found.train:,} training and {found.test:,} test "
        f"images, {found.width} × {found.height}, {colours}"
    )


def _lines(described: Description, found: Report | None) -> Iterator[str]:
    yield _line(described)
    yield f"  from {described.source}"
    for name, values in (("mean", described.mean), ("std", described.std)):
        yield f"  {name} {', '.join(f'{value:.4f}' for value in values)}"
    yield f"  SHA-256 {described.sha256}"
    if found is None:
        yield f"  classes: {', '.join(described.classes)}"
    else:
        yield from _count_lines(found.counts)
        yield from map(_finding_line, found.findings)


def _count_lines(counts: tuple[ClassCount, ...]) -> Iterator[str]:
    yield f"  {'training':>10}{'test':>10}  class"
    for row in counts[:_SHOWN]:
        yield f"  {row.train:>10,}{row.test:>10,}  {row.name}"
    if (more := len(counts) - _SHOWN) > 0:
        yield f"  and {more:,} more; --json lists every one"


def _finding_line(found: Finding) -> str:
    names = f" ({', '.join(found.names)})" if found.names else ""
    return f"note: {found.text}{names}"
