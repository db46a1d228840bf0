"""The commands that bundle runs into one file, and import them from one: bundle, unbundle."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Never

from tqdm import tqdm

from fashion_core.access.gate import from_command_line
from fashion_core.bundles import unbundle, write
from fashion_core.bundles.unbundle import Found, Unbundled
from fashion_core.cli.answer import add_command, answer, as_typed
from fashion_core.errors import ConfigError, RunStateError, counted, printable
from fashion_core.runs.store import RunStore

_NO_RUN = "There is no run in {root}: set FASHION_RUNS to the store whose runs you want to bundle."
_PRESENCE = {
    "new": "new",
    "there": "is here already",
    "more": "is here already, with less than the bundle has",
    "other": "DIFFERS from the run of the same id here",
}
_NOTHING_YET = "Nothing is imported by a preview; without --preview each file is checked, and the new runs are."
_BLOCKED = "None would be imported, as one differs from the run of the same id here: delete one of the two first."
_NOT_A_ZIP = "A bundle is a zip archive: give {out} a name that ends in .zip."
_MORE = (
    "run {run} is here already and stays as it is; the bundle has more of it, {why}: delete it and try again for that"
)


def add_commands(commands: Any) -> None:
    help_text = "write runs, and all that they go back to, to one file"
    parser = add_command(commands, "bundle", None, help_text)
    parser.set_defaults(command=partial(bundle_runs, refuse=parser.error))
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--all", action="store_true", help="every run of the store")
    help_text = "import the runs of a bundle into this store: all that are not here yet, or none"
    _add_unbundle(commands, "unbundle", unbundle_file, help_text)


def _add_unbundle(commands: Any, name: str, command: Any, help_text: str) -> None:
    parser = add_command(commands, name, command, help_text)
    parser.add_argument("file", type=Path)
    parser.add_argument("--preview", action="store_true", help="say what is in it and keep nothing")


def add_for_server_command(commands: Any) -> None:
    _add_unbundle(commands, "unbundler", unbundle_for_server, "unbundle for the server")


def bundle_runs(options: argparse.Namespace, refuse: Callable[[str], Never]) -> None:
    if options.all == bool(options.runs):
        refuse("name the runs to bundle, or --all of them")
    store = RunStore()
    runs = store.runs() if options.all else [store.get(run) for run in options.runs]
    if not runs:
        raise RunStateError(_NO_RUN.format(root=store.root))
    if options.out.suffix.lower() != ".zip":  # perhaps the last run of a list without OUT
        raise ConfigError(_NOT_A_ZIP.format(out=printable(str(options.out))))
    with _bar_shown() as progress:
        written = write.bundle(store, runs, options.out, progress)
    ids, more = [run.id for run in written.runs], len(written.runs) - len({run.id for run in runs})
    document = {"path": str(options.out.absolute()), **asdict(written.digest), "runs": ids, "files": written.members}
    answer(options, document, _written_lines(options.out, written, more))


def _written_lines(out: Path, written: write.Bundled, more: int) -> Iterator[str]:
    runs = counted(len(written.runs), "{count:,} run", "{count:,} runs")
    beside = f" ({more:,} of them because others go back to them)" if more else ""
    yield f"{out}: {runs}{beside}, {written.members:,} files, {written.digest.bytes:,} bytes"
    yield f"sha256: {written.digest.sha256}"


def unbundle_file(options: argparse.Namespace) -> None:
    store = RunStore()
    if options.preview:
        found = unbundle.preview(store, options.file)
        answer(options, _preview_document(found), _preview_lines(found))
        return
    with _bar_shown() as progress:
        keep = partial(unbundle.unbundle, progress=progress)
        unbundled = from_command_line(store).unbundle(options.file, as_typed(options.file.name), keep)
    answer(options, _document(unbundled), _unbundled_lines(store, unbundled))


def unbundle_for_server(options: argparse.Namespace) -> None:
    """Unbundle without the gate: the server that starts this process has already passed it."""
    store = RunStore()
    if options.preview:
        answer(options, _preview_document(unbundle.preview(store, options.file)), ())
    else:
        answer(options, _document(unbundle.unbundle(store, options.file)), ())


def _preview_document(found: Sequence[Found]) -> dict[str, Any]:
    return {"runs": [asdict(one) for one in found]}


def _preview_lines(found: Sequence[Found]) -> Iterator[str]:
    for one in found:
        checkpoints = counted(one.checkpoints, "{count:,} checkpoint", "{count:,} checkpoints")
        presence = _PRESENCE[one.presence] + (f" ({one.why})" if one.why else "")
        yield f"{one.id}  {one.state:<9} {one.bytes:>14,} bytes  {checkpoints}, {one.name}: {presence}"
    for dataset in sorted({one.dataset for one in found if not one.has_dataset}):
        yield f"The images of {dataset} are not here: runs on them can be looked at and used, and not continued."
    yield _BLOCKED if any(one.presence == "other" for one in found) else _NOTHING_YET


def _document(unbundled: Unbundled) -> dict[str, Any]:
    return asdict(unbundled)


def _unbundled_lines(store: RunStore, unbundled: Unbundled) -> Iterator[str]:
    yield from (f"run {run_id} in {store.at(run_id).path}" for run_id in unbundled.made)
    yield from (f"run {run_id} is here already" for run_id in unbundled.there)
    yield from (_MORE.format(run=run_id, why=why) for run_id, why in unbundled.more.items())


@contextmanager
def _bar_shown() -> Iterator[Callable[[int, int], object]]:
    with tqdm(unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
