"""Start, stop and continue runs, and the queue they wait in: here, or in the engine that ``FASHION_LAUNCHER`` names.

Nothing here stays running: every process that starts, watches or ends a run calls ``advance``, which starts the next
of the queue while there is a free slot. The worker is known by its command line alone.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from filelock import FileLock, Timeout

from fashion_core import files
from fashion_core.config import TrainConfig, parse_config, variable
from fashion_core.data import fashion_mnist
from fashion_core.data.description import resolved
from fashion_core.errors import ConfigError, DamagedFileError, DiskError, FashionError, RunNotFoundError, RunStateError
from fashion_core.runs import processes, team_models, torch_process
from fashion_core.runs.launchers import engines, jobs, local
from fashion_core.runs.run import Run
from fashion_core.runs.schema import (
    ACTIVE_STATES,
    CONTINUABLE_STATES,
    UNDER_WAY_STATES,
    Labels,
    State,
    Status,
    check_seeds,
    places_of,
    seeded_name,
)
from fashion_core.runs.store import RunStore

QUEUE_SECONDS = 5.0  # how long to wait for another process that starts the next run


def slots() -> int:
    """How many runs may train at once: ``FASHION_SLOTS``, or one. Raises ``ConfigError``."""
    value = variable("FASHION_SLOTS") or "1"
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) < 1:
        raise ConfigError(f"FASHION_SLOTS should be a whole number of at least 1, not {value!r}.")
    return int(value)


def start(store: RunStore, config: TrainConfig, tags: tuple[str, ...] = (), *, here: bool = True) -> Run:
    """Queue a run; it starts at once if a slot is free. Raises ``ConfigError``, ``DataError``, ``DeviceError``.

    Unless it is to train ``here``, it is made as a stopped one, which torchrun continues on other machines.
    """
    config = resolved(config)
    check_can_start(config, here)
    labels, state = Labels(name=config.title, tags=tags), first_state(here)
    run = store.create(config, torch_process.environment_for(config), labels=labels, state=state)
    advance(store)
    return run


def first_state(here: bool) -> State:
    return "queued" if here else "stopped"


def start_seeds(store: RunStore, config: TrainConfig, seeds: int, *, here: bool = True) -> list[Run]:
    """Queue a run for each of this many seeds, from the given one up: all of them or none. Raises what ``start`` does.

    None starts before all are made.
    """
    check_seeds(seeds)
    config = resolved(config)
    if seeds == 1:
        return [start(store, config, here=here)]
    configs = [parse_config({**config.model_dump(), "seed": config.seed + number}) for number in range(seeds)]
    check_can_start(config, here)
    environment = torch_process.environment_for(config)
    with making(store) as made:
        for one, place in zip(configs, places_of(seeds), strict=True):
            labels = Labels(name=seeded_name(config.title, one.seed))
            made.append(store.create(one, environment, repeat=place, labels=labels, state=first_state(here)))
    advance(store)
    return made


def check_can_start(config: TrainConfig, here: bool = True) -> None:
    """Raise what prevents it, before anything is written."""
    slots()
    engines.check(engines.START_SECONDS)
    if here:
        torch_process.check_processes(config)
    if config.dataset == "fashion-mnist":
        fashion_mnist.check()


@contextmanager
def making(store: RunStore) -> Iterator[list[Run]]:
    """Yield a list for the runs that are made inside the block; none starts there, and all are deleted if it raises."""
    made: list[Run] = []
    with hold(store):
        try:
            yield made
        except BaseException:
            for one in made:
                with suppress(FashionError):
                    store.delete(one)
            raise


def continue_run(store: RunStore, run: Run, keep_place: bool = False) -> None:
    """Queue a stopped, failed or lost run again; it continues in place. Raises ``RunStateError``, ``DataError``.

    With ``keep_place`` it stands where it stood in the queue, ahead of the runs that came after it. Raises
    ``DeviceError`` if it has more processes than this machine has devices, ``EngineError`` if the engine is silent.
    """
    _check_can_go_on(run, run.status)  # a running one answers at once: its lock is held for as long as it trains
    engines.check(engines.START_SECONDS)
    torch_process.check_processes(run.record.config)
    place = {} if keep_place else {"queued_at": files.now()}
    _go_on(run, state="queued", process=None, launcher=engines.launcher(), **place)
    store.index.look_at(run.id)
    advance(store)


def continue_here(run: Run, starter: int) -> None:
    """Mark such a run as training: the process with the pid ``starter`` has started those that are about to."""
    _check_can_go_on(run, run.status)
    _go_on(run, state="running", process=processes.identify(starter), phase="starting", heartbeat=files.now())


def _go_on(run: Run, **changes: object) -> None:
    run.record.check_images()
    team_models.check_source(run.record)
    if run.record.config.dataset == "fashion-mnist":
        fashion_mnist.check()
    with run.writing():
        status = run.status
        _check_can_go_on(run, status)
        with files.disk_errors(run.stop_path):
            run.stop_path.unlink(missing_ok=True)
        forgotten = {"job": None, "error": None, "diverged": False, "began_at": None, "restarts": 0}
        more = {"continued": status.continued + 1, **changes}
        run.write_status(status.model_copy(update={**forgotten, **more}))


def _check_can_go_on(run: Run, status: Status) -> None:
    state = run.state(status)
    if state not in CONTINUABLE_STATES:
        raise RunStateError(f"Run {run.id} is {state}; only a stopped, failed or lost run can continue.")


def stop(run: Run) -> None:
    """Ask a run to stop: immediately if queued, after the current batch if training. Raises ``RunStateError``."""
    while (state := run.state()) == "queued":
        with suppress(RunStateError), run.writing(timeout=0.2):  # its worker may have just taken the lock, and keeps it
            status = run.status
            if status.state == "queued":
                run.write_status(status.model_copy(update={"state": "stopped"}))
                jobs.cancel(status.job, run)
                return
    if state not in ACTIVE_STATES:
        raise RunStateError(f"Run {run.id} is {state} already; there is nothing to stop.")
    with files.disk_errors(run.stop_path):
        run.stop_path.touch()
    if run.state() not in ACTIVE_STATES:  # it ended before that file was there: remove it
        with suppress(RunStateError), run.writing(timeout=1.0), files.disk_errors(run.stop_path):
            if run.status.state not in ACTIVE_STATES:
                run.stop_path.unlink(missing_ok=True)
        if run.state() == "queued":  # its engine needed the host, and has queued it again
            stop(run)


def cancel(runs: Sequence[Run]) -> None:
    """Ask every run that waits or trains to stop. Raises ``DiskError`` once all were asked, if one could not be."""
    problem = None
    for run in reversed(runs):  # the last in the queue first, so that none starts meanwhile
        try:
            with suppress(RunStateError, RunNotFoundError):  # it has ended, or was deleted
                stop(run)
        except DiskError as error:
            problem = error
    if problem:
        raise problem


@contextmanager
def hold(store: RunStore, patience: float = QUEUE_SECONDS) -> Iterator[bool]:
    """Let no other process start a run inside the block; False if one keeps the lock, which may be suspended."""
    with files.disk_errors(store.root), ExitStack() as held:
        try:
            held.enter_context(FileLock(store.root / ".queue.lock", timeout=patience))
        except Timeout:  # an OSError too, but nothing is wrong with the disk
            yield False
        else:
            yield True


def advance(store: RunStore, patience: float = QUEUE_SECONDS) -> None:
    """Start the runs that have waited longest while there are free slots. Raises ``DiskError``.

    Leave the queue to a process that keeps its lock for ``patience`` seconds: if suspended, it must hold up no one.
    """
    if not store.root.exists():
        return
    with hold(store, patience) as is_held:
        if not is_held:
            return
        store.index.refresh(whole=patience > 0, statuses=True)
        if store.index.unread:  # a run among them may have a slot
            return
        store.remove_leftovers()
        statuses = [(run, jobs.settle(run, status)) for run, status in _under_way(store)]
        waiting = sorted((status.queued_at, run.id) for run, status in statuses if _waits_here(status))
        free = _free_for(len(waiting), statuses)
        for _, run_id in waiting:
            if free > 0 and _start_or_give_up(Run(store.root / run_id)):
                free -= 1


def _waits_here(status: Status) -> bool:
    """For this launcher, and not in the queue of an engine already."""
    return status.state == "queued" and status.job is None and status.launcher in (None, engines.launcher())


def _free_for(waiting: int, statuses: Sequence[tuple[Run, Status]]) -> int:
    """How many may start now: as many as there are free slots, or all where an engine keeps the queue."""
    if engines.chosen():
        return 0 if engines.problem() else waiting
    return slots() - sum(run.state(status) in ACTIVE_STATES for run, status in statuses if not status.job)


def _start_or_give_up(run: Run) -> bool:
    """Start a worker and return whether that worked; a run that can't start must not hold up the others."""
    try:
        return _start_worker(run)
    except (RunNotFoundError, RunStateError):  # another process deleted it or is at work on it
        return False
    except FashionError as error:
        with suppress(FashionError), run.writing(timeout=1):
            run.write_status(run.status.model_copy(update={"state": "failed", "error": str(error), "process": None}))
        return False


def under_way(store: RunStore) -> list[Run]:
    """The runs that train or wait, the oldest first."""
    store.index.refresh(statuses=True)
    return [run for run, status in _under_way(store) if run.state(status) in UNDER_WAY_STATES]


def queue_position(store: RunStore, run: Run) -> int:
    """How many queued runs are to start before this one."""
    mine = run.status.queued_at, run.id
    store.index.refresh(statuses=True)
    return sum(_waits_here(status) and (status.queued_at, other.id) < mine for other, status in _under_way(store))


def _under_way(store: RunStore) -> list[tuple[Run, Status]]:
    """The runs that may be under way, the oldest first, without those whose status can't be read."""
    found = []
    for run_id in store.index.watched():
        with suppress(DamagedFileError, DiskError):  # it has no status, or no longer: it may be being deleted
            found.append((store.at(run_id), store.at(run_id).status))
    return found


def _start_worker(run: Run) -> bool:
    """Start a queued run's worker, which waits for the lock held here, or hand it over to the engine.

    Return False if the run no longer waits for that.
    """
    with run.writing(timeout=1):
        status = run.status
        if status.state != "queued" or status.job:
            return False
        if engine := engines.chosen():
            jobs.hand_over(run, status, engine)
            return True
        running = {"state": "running", "phase": "starting", "process": None, "heartbeat": files.now(), "error": None}
        run.write_status(status.model_copy(update=running))  # first: where it can't be written, nothing is started
        worker = local.start(jobs.task_of(run))
        run.write_status(status.model_copy(update={**running, "process": worker}))
        return True
