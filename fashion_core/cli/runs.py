"""The commands that change runs: train, resume, continue, stop, delete."""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Any, Never

from tqdm import tqdm

from fashion_core.access import gate
from fashion_core.cli.answer import answer, given_settings, say
from fashion_core.config import COMMAND
from fashion_core.errors import (
    ConfigError,
    FashionError,
    RunStateError,
    counted,
    one_line,
    printable,
)
from fashion_core.formats import model_size
from fashion_core.resume import answers, comparison, plan, reasons, repeats, texts, transfer, verdict
from fashion_core.resume.labels import points
from fashion_core.runs import metrics, queue, torch_process
from fashion_core.runs.launchers import engines
from fashion_core.runs.run import Run, run_record
from fashion_core.runs.schema import ACTIVE_STATES, UNDER_WAY_STATES, epoch_text
from fashion_core.runs.store import RunStore, epoch_number
from fashion_core.training import torchrun

_ON_EACH_HOST = "On each host, for {name}: {command}"
_NO_LAYERS: Mapping[str, object] = {}
_HERE = f"`{COMMAND} continue {{run}}` starts {{name}}."


def train_run(options: argparse.Namespace) -> None:
    actions = gate.from_command_line(RunStore())
    with signals_explained() as runs:
        config = torch_process.preset_config(options.preset, given_settings(options))
        runs += actions.start_seeds(config, options.seeds, here=not options.no_start)
        _say_cautions(runs)
        _follow_all(options, actions, runs)


def resume_run(options: argparse.Namespace) -> None:
    actions = gate.from_command_line(RunStore())
    parent = actions.store.get(options.run)
    overrides, additional = given_settings(options), options.epochs
    overrides.pop("epochs", None)
    requests = [
        plan.ResumeRequest(
            epoch,
            plan.planned_epochs(parent, epoch) if additional is None else additional,
            overrides,
            freeze=options.freeze,
        )
        for epoch in _epochs(options.epoch, parent)
    ]
    requests = plan.with_seeds(parent, requests, options.seeds)
    plans = plan.plan_runs(parent, requests)
    if not options.json:
        answer(options, None, _plan_lines(plans))
    with signals_explained() as runs:
        runs += actions.resume(parent, requests, here=not options.no_start)
        _say_cautions(runs)
        layers = {run.id: one.layers.as_rows(one.frozen) for run, one in zip(runs, plans, strict=True) if one.layers}
        _follow_all(options, actions, runs, layers)


def _plan_lines(plans: Sequence[plan.Plan]) -> Iterator[str]:
    """The layers of each transfer, and the verdict of each plan."""
    for layers, frozen in plan.layer_tables(plans):
        yield from _layer_lines(layers, frozen)
    for planned in plans:
        why = reasons.texts(planned.verdict.reasons)
        yield f"from epoch {planned.epoch}: {'; '.join([planned.verdict.kind, *why])}"


def _layer_lines(layers: transfer.Layers, frozen: Sequence[str]) -> Iterator[str]:
    rows = [texts.LAYER_COLUMNS, *(row.cells(frozen) for row in layers.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


@contextmanager
def signals_explained() -> Iterator[list[Run]]:
    """If a signal or the reader's leaving ends this command, say that training goes on, in which of the runs listed."""
    runs: list[Run] = []
    try:
        yield runs
    except (SystemExit, KeyboardInterrupt, BrokenPipeError) as leaving:
        ids = [run.id for run in runs if _is_under_way(run)]
        if ids:
            one = f"Training goes on without this command, in {{runs}}; `{COMMAND} stop {{runs}}` stops it."
            many = "Training goes on without this command, in {runs}; `stop` stops each."
            say(f"fashion_core: {counted(len(ids), one, many, runs=', '.join(ids))}")
        elif isinstance(leaving, SystemExit):
            say(f"fashion_core: Ended by a signal; `{COMMAND} runs` lists the runs, and `stop` stops one.")
        raise


def _is_under_way(run: Run) -> bool:
    with suppress(FashionError):
        return run.state() in UNDER_WAY_STATES
    return False


def _say_cautions(runs: Sequence[Run]) -> None:
    pairs = ((run.record.config.precision, run.record.environment.device) for run in runs)
    sizes = (model_size.caution(run.record.config, run.record.description.shape) for run in runs)
    for caution in (*torch_process.precision_cautions(pairs), *dict.fromkeys(filter(None, sizes))):
        say(caution)


def _epochs(text: str, parent: Run) -> list[int]:
    if text == "all":
        return parent.epochs_saved() or [0]  # which is then refused with a sentence
    epochs = []
    for epoch in map(epoch_number, text.split(",")):
        if epoch is None:
            raise ConfigError(f"Epoch should be a number such as 0, several as 0,2,5, or all, not {text!r}.")
        verdict.check_epoch(parent, epoch, parent.epochs_saved())
        epochs.append(epoch)
    return list(dict.fromkeys(epochs))


def continue_in_place(options: argparse.Namespace) -> None:
    actions = gate.from_command_line(RunStore())
    if torchrun.has_started_this():
        _continue_together(options, actions)
    run = actions.store.get(options.run)
    with signals_explained() as runs:
        runs += [run]
        actions.continue_run(run)
        _follow_all(options, actions, runs)


def _continue_together(options: argparse.Namespace, actions: gate.Actions) -> Never:
    """Be one of the processes that torchrun has started here or on several machines; one alone speaks for all."""
    from fashion_core.training import worker

    try:
        run = actions.store.get(options.run)
    except FashionError as error:
        if torchrun.speaks():
            say(str(error))
        torchrun.leave(0)  # it would not be there after a restart either
    status = worker.join(run, lambda: actions.continue_here(run, os.getppid()))
    if torchrun.leads() and not status:
        queue.advance(actions.store)
        answer(options, run_record(run), ())
    torchrun.leave(status)


def _follow_all(
    options: argparse.Namespace, actions: gate.Actions, runs: Sequence[Run], layers: Mapping[str, object] = _NO_LAYERS
) -> None:
    """Raises ``RunStateError`` for the first run that has not finished, after all have ended.

    ``layers`` are those of each run that is a transfer, for its record.
    """
    if getattr(options, "no_start", False):
        answer(options, _one_or_all(_records(actions.store, runs, layers)), map(_how_to_start, runs))
        return
    wait_for(options, actions, runs)
    if options.json:
        answer(options, _one_or_all(_records(actions.store, runs, layers)), ())
    else:
        answer(options, None, _mean_lines(actions.store, runs))
    check_finished(runs)


def _how_to_start(run: Run) -> str:
    if run.record.config.processes == 1:
        return _HERE.format(run=run.id, name=printable(run.title))
    return _ON_EACH_HOST.format(name=printable(run.title), command=torchrun.command(run.id))


def _one_or_all(records: list[dict[str, Any]]) -> Any:
    return records[0] if len(records) == 1 else records


def wait_for(options: argparse.Namespace, actions: gate.Actions, runs: Sequence[Run], stops: bool = True) -> None:
    """Wait for each run to end; Ctrl-C asks it to stop, or without ``stops`` is raised."""
    tell: Callable[[str], object] = (lambda _: None) if options.json else partial(tqdm.write, file=options.output)
    for run in runs:
        tell(f"run {run.id} in {one_line(str(run.path))}")
        _follow(actions, run, tell, stops)


def check_finished(runs: Sequence[Run]) -> None:
    for run in runs:
        status = run.status
        state = run.state(status)
        if state == "failed":
            raise RunStateError(f"Run {run.id} failed: {status.error}")
        if state != "finished":
            raise RunStateError(f"Run {run.id} is {state}; continue it with `{COMMAND} continue {run.id}`.")


def _records(store: RunStore, runs: Sequence[Run], layers: Mapping[str, object]) -> list[dict[str, Any]]:
    """The record of each run; in ``over_seeds`` of those that were repeated stands what they say together."""
    records, means = [run_record(run) for run in runs], _final_means(store, runs)
    for record in records:
        if record["id"] in layers:
            record["layers"] = layers[record["id"]]
        if repeat := record["repeat"]:
            found = means.get(repeat["group"])
            record["over_seeds"] = found and asdict(found)
    return records


def _final_means(store: RunStore, runs: Sequence[Run]) -> dict[str, repeats.FinalMeans]:
    """By the group of those runs that were repeated with other seeds."""
    groups = {repeat.group: (run, repeat) for run in runs if (repeat := run.record.repeat)}
    found = {
        group: repeats.final_means(repeats.runs_beside(store, run), repeat.seeds)
        for group, (run, repeat) in groups.items()
    }
    return {group: means for group, means in found.items() if means}


def _mean_lines(store: RunStore, runs: Sequence[Run]) -> Iterator[str]:
    """What the runs say together that were repeated with other seeds."""
    for found in _final_means(store, runs).values():
        shown = f"test loss {found.loss.mean:.4f} ± {found.loss.interval:.4f}, accuracy {found.accuracy.mean:.2%}"
        yield f"over {found.seeds}: {shown} ± {points(found.accuracy.interval)} (means and 95 % intervals)"
    rows = filter(None, (comparison.compare_run(store, run) for run in runs))
    yield from answers.answers_over_seeds(list(rows))


def _follow(actions: gate.Actions, run: Run, tell: Callable[[str], object], stops: bool) -> None:
    """Wait until the run is no longer queued or running; if Ctrl-C ``stops`` it, wait for that too.

    ``tell`` gets a line for each epoch that ends; the bar goes to standard error, and only if that is a terminal.
    """
    record, follower = run.record, metrics.Follower(run.metrics_path)
    told = max((row["epoch"] for row in _epoch_rows(follower)), default=-1)
    total, silence = (record.config.epochs - record.first_epoch) * record.config.batches_per_epoch, None
    with tqdm(total=total, unit="batch", disable=None, leave=False) as bar:
        while True:
            try:
                ended = _has_ended(actions.store, run, bar)
                if silence != (silence := _why_it_waits(run)) and silence:
                    tell(silence)
                for row in _epoch_rows(follower):
                    if row["epoch"] > told:
                        told = row["epoch"]
                        losses = f"test loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}"
                        more = f"training loss {row['train_loss']:.4f}, {row['seconds']:.1f} s"
                        tell(f"{epoch_text(told, record.span)}: {losses}, {more}")
                if ended:
                    return
                time.sleep(0.1)
            except KeyboardInterrupt:
                if not stops:
                    raise
                with suppress(RunStateError):  # it has just ended by itself
                    actions.stop(run)


def _why_it_waits(run: Run) -> str | None:
    problem = engines.problem() if run.status.state == "queued" else None
    return f"run {run.id} waits: {problem}" if problem else None


def _has_ended(store: RunStore, run: Run, bar: "tqdm[Never]") -> bool:
    """Update the bar, advance the queue if the run waits in it, and return whether the run has ended."""
    status, record = run.status, run.record
    state = run.state(status)
    if state == "queued":
        queue.advance(store)
    epoch = epoch_text(min(status.epoch, record.config.epochs - 1), record.span)
    bar.set_description(f"{state}, {epoch}" if state in ACTIVE_STATES else state)
    bar.n = max(0, status.epoch - record.first_epoch) * record.config.batches_per_epoch + status.batch
    bar.refresh()
    return state not in UNDER_WAY_STATES


def _epoch_rows(follower: metrics.Follower) -> Iterator[metrics.Row]:
    return (row for row in chain.from_iterable(follower.new_rows()) if row["kind"] == "epoch")


def stop_run(options: argparse.Namespace) -> None:
    actions = gate.from_command_line(RunStore())
    run = actions.store.get(options.run)
    actions.stop(run)
    answer(options, run_record(run), ())


def delete_saved(options: argparse.Namespace) -> None:
    actions = gate.from_command_line(RunStore())
    run = actions.store.get(options.run)
    file = None if options.epoch is None else run.checkpoint_path(options.epoch)
    actions.delete(run, file, force=options.force)
    answer(options, {"run": run.id, "epoch": options.epoch, "deleted": True}, ())
