"""What this machine can train on, and questions to a process that has torch, so that this one need not import it."""

import platform
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from fashion_core import files
from fashion_core.cache import Cache
from fashion_core.config import MODEL_LABELS, PRESETS, Shape, TrainConfig, parse_config
from fashion_core.errors import DeviceError, WorkerError, counted, printable
from fashion_core.runs import processes, team_models
from fashion_core.runs.launchers import engines
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES, Environment, ExportFormat
from fashion_core.runs.store import RunStore


@dataclass(frozen=True)
class Machine:
    """What this machine can train on, as ``python -m fashion_core devices`` says; "cuda" is the first of its kind."""

    automatic: str  # the device that "auto" stands for
    devices: dict[str, str]  # the processor of each device, by the device's name
    bf16: list[str]  # the devices that have instructions for bf16
    threads: int  # how many PyTorch uses on the CPU
    cpus: int  # that a process may use the whole time
    mkl: str | None = None  # in which order MKL adds there; None without MKL

    def has_bf16(self, device: str) -> bool:
        return self._full_name(device) in self.bf16

    def name_of(self, device: str) -> str:
        """What "auto" stands for; any other name as it is."""
        return self.automatic if device == "auto" else device

    def has(self, device: str) -> bool:
        return self._full_name(device) in self.devices

    def processor_of(self, device: str) -> str | None:
        """None for a device that is not here."""
        return self.devices.get(self._full_name(device))

    def _full_name(self, device: str) -> str:
        name = self.name_of(device)
        return name if name in self.devices else f"{name}:0"


_machine: Cache[Machine] = Cache(1)


def this_machine() -> Machine:
    """Ask once what this machine can train on; threads that ask meanwhile wait. Raises ``WorkerError``."""
    return _machine.get("here", None, lambda: Machine(**processes.ask("devices")))


@cache
def ask_early() -> None:
    """Ask about this machine in the background, once, so that the first click need not wait for torch."""

    def ask() -> None:
        with suppress(WorkerError):  # the page that needs the answer asks again, and shows what is wrong
            this_machine()
        team_models.names()

    threading.Thread(target=ask, daemon=True).start()


def describe_model(name: str, shape: Shape) -> dict[str, Any]:
    """``text``, ``layers`` and ``parameters`` of a model, as ``networks.describe`` gives them.

    Raises ``WorkerError``, ``ModelError``.
    """
    if name in MODEL_LABELS:
        return _describe_own(name, shape)
    return team_models.info(name, shape).model_dump(include={"text", "layers", "parameters"})


@cache
def _describe_own(name: str, shape: Shape) -> dict[str, Any]:
    return processes.ask("model", name, "--shape", ",".join(map(str, shape)))


def export(store: RunStore, run: Run, epoch: int, format: ExportFormat) -> bytes:
    """One checkpoint in one format, as bytes to download. Raises ``WorkerError`` or ``DiskError``."""
    with files.scratch_folder(store.root) as folder:
        out = folder / EXPORT_NAMES[format]
        processes.ask("export", run.id, str(epoch), "--format", format, str(out), root=store.root)
        return files.read_bytes(out)


def compare_formats(store: RunStore, run: Run, epoch: int) -> dict[str, Any]:
    return processes.ask("formats", run.id, str(epoch), root=store.root)


def lesson_outputs(store: RunStore, run: Run) -> dict[str, Any]:
    return processes.ask("lesson", run.id, root=store.root)


def lesson_losses(store: RunStore, run: Run) -> dict[str, Any]:
    return processes.ask("lesson", run.id, "--losses", root=store.root)


def import_file(store: RunStore, path: Path, name: str, given: Mapping[str, str], weights: str | None = None) -> Run:
    """Import a file that passed ``inspect``; ``given`` are settings by name. Raises ``WorkerError``."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    flags += [f"--weights={weights}"] if weights else []
    flags += [f"--file-name={printable(name)}"]  # a command line holds neither NUL nor half a character nor a megabyte
    return store.get(processes.ask("importer", str(path), *map(str.encode, flags), root=store.root)["id"])


def environment_for(config: TrainConfig) -> Environment:
    """What a run with these settings will compute with. Raises ``DeviceError`` if this machine can't."""
    here = this_machine()
    device = here.name_of(config.device)
    if not _can_use(device):
        choices = ", ".join(here.devices)
        raise DeviceError(f"There is no device {device} on this machine; choose one of auto, {choices}.")
    python, torch = platform.python_version(), metadata.version("torch")
    threads = config.threads or max(1, here.threads // config.processes)
    is_own = config.model in MODEL_LABELS  # another's steps are not known to give the same bits with fewer threads
    return Environment(
        python=python,
        torch=torch,
        device=device,
        processor=here.processor_of(device),
        threads=threads,
        threads_open=config.threads == 0 and device == "cpu" and threads > 1 and config.processes == 1 and is_own,
        mkl=here.mkl,
    )


def check_processes(config: TrainConfig) -> None:
    """Raise ``DeviceError`` unless this machine has a GPU, or a CPU, for each process, or an engine finds a host."""
    if config.processes > 1 and config.model not in MODEL_LABELS:
        raise DeviceError(f"Several processes can share the models of this app alone, not {config.model}: choose one.")
    if config.processes == 1 or engines.chosen():
        return
    here = this_machine()
    device = here.name_of("auto").partition(":")[0] if config.device == "auto" else config.device
    on_cpu = device == "cpu"
    room = here.cpus if on_cpu else sum(device in (name, name.partition(":")[0]) for name in here.devices)
    if not room:
        raise DeviceError("There is no GPU here for several processes: choose the CPU, or one process.")
    if config.processes > room:
        has = counted(room, "{count:,} {kind}", "{count:,} {kind}s", kind="CPU" if on_cpu else "GPU")
        raise DeviceError(f"{config.processes:,} processes are more than the {has} here: choose at most {room:,}.")


def environment_to_resume(parent: Environment, config: TrainConfig) -> Environment:
    """What a resumed run computes with: as its parent did, where settings and machine allow. Raises ``DeviceError``."""
    found = environment_for(config)
    here = this_machine()
    device = parent.device if config.device == "auto" and _can_use(parent.device) else found.device
    threads = config.threads or min(parent.threads, found.threads)
    as_before = {"device": device, "processor": here.processor_of(device), "threads": threads, "threads_open": False}
    return found.model_copy(update=as_before)


def _can_use(device: str) -> bool:
    """Whether it is here, or an engine finds a host that has it: this one may have no GPU."""
    return this_machine().has(device) or (device.startswith("cuda") and engines.chosen() is not None)


def preset_config(name: str, given: Mapping[str, Any]) -> TrainConfig:
    """The settings of a preset with those ``given`` over them; in fp32 where the device lacks bf16, unless given."""
    config = parse_config({**PRESETS[name].values, **given})
    suits = "precision" in given or _suits(config.precision, config.device)
    return config if suits else config.model_copy(update={"precision": "fp32"})


def form_defaults(name: str) -> TrainConfig:
    """The initial values of a preset's form; its own precision where the machine can't be asked."""
    try:
        return preset_config(name, {})
    except WorkerError:  # ``precision_cautions``, which such a form shows too, raises the reason
        return parse_config(PRESETS[name].values)


def precision_cautions(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return a warning for each device that is slow in the precision paired with it. Raises ``WorkerError``."""
    slow = dict.fromkeys(this_machine().name_of(device) for precision, device in pairs if not _suits(precision, device))
    return [
        f"The device {device} has no instructions for bf16: training can take several times as long there as in fp32."
        for device in slow
    ]


def _suits(precision: str, device: str) -> bool:
    """Whether the device is fast in this precision; a missing one is refused elsewhere. Only bf16 asks the machine."""
    return precision != "bf16" or this_machine().has_bf16(device) or not this_machine().has(device)
