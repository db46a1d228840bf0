"""Runs that two processes train, started by real workers through torchrun: disturbed in each way, and their ends."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from fashion_core.resume import plan
from fashion_core.runs import queue
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.engines import free_ports
from tests.support.exact import epoch_rows, load, same
from tests.support.files import small_disk
from tests.support.processes import ROOT, wait_for_end, wait_until, workers
from tests.support.runs import config, new_run, resume, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
if not torch.distributed.is_available():
    pytest.skip("this build of torch has no processes that train together", allow_module_level=True)

SETTINGS: dict[str, Any] = {
    "model": "cnn",
    "optimizer": "adam",
    "schedule": "cosine",
    "augmentation": "flip and shift",
    "train_images": 1300,
    "batch_size": 61,
    "epochs": 3,
    "processes": 2,
}
BATCHES = 22


def start(store: RunStore, **changes: Any) -> Run:
    return queue.start(store, config(**{**SETTINGS, **changes}))


@pytest.fixture(scope="module")
def straight(module_store: RunStore) -> Run:
    """A run that nothing disturbs."""
    run = start(module_store)
    assert run.record.config.batches_per_epoch == BATCHES
    wait_for_end(run)
    assert run.status.state == "finished", run.log_tail(20)
    return run


def assert_same_end(run: Run, other: Run) -> None:
    wait_for_end(run)
    assert run.status.state == "finished", run.log_tail(20)
    for path in map(run.checkpoint_path, run.epochs_saved()):
        one, expected = load(path), load(other.path / run.name_of(path))
        assert all(same(one[key], expected[key]) for key in ("model_state_dict", "optimizer_state_dict", "measured"))
    assert same(load(run.weights_path), load(other.weights_path))


def wait_for_batch(run: Run, epoch: int, batch: int) -> None:
    wait_until(lambda: (run.status.epoch, run.status.batch) >= (epoch, batch), f"batch {batch} of epoch {epoch}")
    assert run.state() == "running", run.log_tail(20)


def launcher(run: Run) -> psutil.Process:
    process = run.status.process
    assert process is not None
    return psutil.Process(process.pid)


def kill_rank(run: Run, rank: int) -> None:
    ranks = {int(process.environ()["RANK"]): process for process in launcher(run).children()}
    assert len(ranks) == 2
    ranks[rank].kill()


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_two_processes_compute_what_one_computes(store: RunStore, model: str) -> None:
    """Within rounding; the batch does not divide the images, nor two processes the batch."""
    settings = {"model": model, "train_images": 500, "batch_size": 61, "epochs": 3}
    alone, together = new_run(store, **settings), start(store, **{**config(**settings).model_dump(), "processes": 2})
    train(alone)
    wait_for_end(together)
    expected, found = (parameters(run) for run in (alone, together))
    assert (found - expected).norm() <= 1e-4 * expected.norm()
    for one, other in zip(epoch_rows(alone), epoch_rows(together), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-6)
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-6)


def parameters(run: Run) -> torch.Tensor:
    """And buffers, one after the other."""
    return torch.cat([tensor.double().flatten() for tensor in load(run.weights_path).values()])


def test_whatever_disturbs_it_it_ends_in_the_same_bits(store: RunStore, straight: Run) -> None:
    """Stopped, preempted, each process killed in turn, and torchrun itself."""
    run = start(store)
    wait_for_batch(run, 0, 2)
    queue.stop(run)
    wait_for_end(run)
    assert (run.status.state, run.is_whole(run.partial_path)) == ("stopped", True)
    queue.continue_run(store, run)
    wait_until(lambda: run.status.phase == "training", "it trains again")
    launcher(run).send_signal(signal.SIGTERM)
    wait_for_end(run)
    assert (run.status.state, run.is_whole(run.partial_path)) == ("stopped", True)
    queue.continue_run(store, run)
    for restarts, rank in enumerate((0, 1)):
        wait_for_batch(run, restarts + 1, 2)
        kill_rank(run, rank)
        wait_until(lambda count=restarts + 1: run.status.restarts == count, "torchrun restarts them")  # type: ignore[misc]
        assert run.state() == "running"
    wait_for_batch(run, 2, 2)
    launcher(run).kill()
    wait_until(lambda: run.state() == "lost", "torchrun is gone")
    wait_until(lambda: not workers(run), "no process outlives torchrun")
    queue.continue_run(store, run)
    assert_same_end(run, straight)
    assert (run.status.continued, run.status.restarts) == (3, 0)


def test_resumed_from_a_checkpoint_it_ends_in_the_same_bits(module_store: RunStore, straight: Run) -> None:
    child = resume(module_store, straight, 1)
    assert child.record.resumption is not None
    assert child.record.resumption.verdict == "exact"
    queue.advance(module_store)
    assert_same_end(child, straight)
    check = child.load_check
    assert check is not None
    assert check.loss_check == check.loss_last


def test_resumed_with_another_number_of_processes_it_says_so_before_the_click(straight: Run) -> None:
    (planned,) = plan.plan_runs(straight, [plan.ResumeRequest(1, 1, {"processes": 1})])
    assert planned.verdict.kind == "approximate"
    assert [getattr(reason, "id", reason) for reason in planned.verdict.reasons] == ["processes"]


def test_a_loss_of_nan_ends_all_processes_with_one_sentence(store: RunStore) -> None:
    run = start(store, model="mlp", optimizer="sgd", learning_rate=1e6)
    wait_for_end(run)
    status = run.status
    assert (status.state, status.diverged, status.restarts) == ("failed", True, 0)
    wait_until(lambda: not workers(run), "all processes have ended")
    assert run.log_tail(5) == f"fashion_core: {status.error}"


def test_a_full_disk_ends_all_processes_with_one_sentence(store: RunStore, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6000) as folder:
        run = start(RunStore(folder), model="mlp", train_images=500)
        wait_for_end(run)
        status = run.status
        assert (status.state, status.restarts) == ("failed", 0)
        assert "the disk is full" in str(status.error)
        wait_until(lambda: not workers(run), "all processes have ended")


def test_a_process_that_keeps_dying_is_given_up(store: RunStore) -> None:
    run = start(store, epochs=10_000)
    for restarts in range(4):
        wait_until(training_after(run, restarts), f"it trains after {restarts} restarts")
        kill_rank(run, 1)
    wait_for_end(run)
    assert (run.status.state, run.status.restarts) == ("failed", 3)
    assert run.status.error == "A process of this run has died 4 times: read its log for why, then continue it."


def training_after(run: Run, restarts: int) -> Callable[[], bool]:
    return lambda: (run.status.restarts, run.status.phase) == (restarts, "training")


def test_runs_that_meet_at_one_rendezvous_end_with_a_sentence_and_train_nothing(store: RunStore) -> None:
    runs = [queue.start(store, config(**SETTINGS, seed=seed), here=False) for seed in (1, 2)]
    place = [f"--rdzv-endpoint=127.0.0.1:{free_ports(1)[0]}", "--local-addr=127.0.0.1", "--rdzv-backend=c10d"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", *place]
    started = [
        subprocess.Popen(
            [*torchrun, "-m", "fashion_core", "continue", run.id], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for run in runs
    ]
    said = [process.communicate(timeout=100)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert all(f"Processes of run {run.id} met" in text for run, text in zip(runs, said, strict=True))
    assert all("give each run a rendezvous of its own, by --rdzv-id." in text for text in said)
    assert [(run.state(), run.epochs_saved()) for run in runs] == [("stopped", [])] * 2
