"""Bundle 50 runs of 20 checkpoints, 2.7 GB, beside `zip -0`, and unbundle them beside `unzip`; with peak memory.

Each as a command of its own. Bundles are durable and hashed, so there is a zip that is synced and hashed as well.
"""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from fashion_core import files
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.stores import fill, info_of
from tests.support.processes import ROOT

RUNS, EPOCHS, ROUNDS = 50, 20, 3
ZIP, SYNCED, UNZIP = "zip -0", "zip -0, sync, sha256sum", "unzip"
BUNDLE, UNBUNDLE = "bundle", "unbundle"


def run(runs: int = RUNS, epochs: int = EPOCHS) -> Comparison:
    with disk_folder() as folder:
        store = RunStore(folder / "runs")
        fill(store, runs, epochs)
        for one in store.runs():
            _save_checkpoints(one)
        peaks: dict[str, int] = {}
        ways = _ways(folder, peaks)
        times = alternate(ways, ROUNDS, lambda: None)
    memory = ", ".join(f"{name} {peak / 1e6:.0f} MB" for name, peak in peaks.items())
    return Comparison(f"{runs} runs of {epochs} checkpoints of 2.7 MB (peak memory: {memory})", ZIP, times)


def _save_checkpoints(run: Run) -> None:
    """The tutorial's model with its four keys, the same in every epoch, as files of their own."""
    content = {"model_state_dict": build_model("mlp", seed=0).state_dict(), "optimizer_state_dict": {}, "loss": 0.5}
    for epoch in run.epochs_saved():
        buffer = io.BytesIO()
        torch.save({"epoch": epoch, **content}, buffer)
        digest = files.write_bytes(run.checkpoint_path(epoch), buffer.getvalue(), durable=False)
        run.write_info(run.checkpoint_path(epoch), info_of(epoch=epoch, digest=digest))


def _ways(folder: Path, peaks: dict[str, int]) -> dict[str, Callable[[], object]]:
    """Each begins where the one before it ended: what a way writes, the next of its kind replaces or reads."""
    zipped, bundled = folder / "runs.zip", folder / "bundle.zip"

    def fresh(path: Path) -> Path:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return path

    def zip_them() -> None:
        _run(["zip", "-0", "-q", "-r", str(fresh(zipped)), "runs"], folder)

    def synced() -> None:
        zip_them()
        _run(["sync", str(zipped)], folder)
        _run(["sha256sum", str(zipped)], folder)

    def of_ours(name: str, *arguments: str, runs: str = "runs") -> Callable[[], None]:
        def way() -> None:
            fresh(bundled if name == BUNDLE else folder / runs)
            peak = _run([sys.executable, "-m", "fashion_core", *arguments], ROOT, FASHION_RUNS=str(folder / runs))
            peaks[name] = max(peak, peaks.get(name, 0))

        return way

    return {
        ZIP: zip_them,
        SYNCED: synced,
        BUNDLE: of_ours(BUNDLE, "bundle", "--all", str(bundled)),
        UNZIP: lambda: _run(["unzip", "-q", str(zipped), "-d", str(fresh(folder / "unzipped"))], folder),
        UNBUNDLE: of_ours(UNBUNDLE, "unbundle", str(bundled), runs="other"),
    }


def _run(command: list[str], cwd: Path, **environment: str) -> int:
    """Run a command and return the peak of its memory in bytes, where the system tells."""

    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        with suppress(OSError, IndexError):
            text = Path(f"/proc/{process.pid}/status").read_text()
            peak = int(text.partition("VmHWM:")[2].split()[0]) * 1024
        time.sleep(0.01)
    assert process.returncode == 0, command
    return peak
