"""The process that answers for a server without torch: same bits, one process, back after it was killed."""

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from fashion_core.data import batches
from fashion_core.data.description import BUILT_IN
from fashion_core.errors import WorkerError
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.inference.client import PREDICTOR, Message, Predictor, receive, send
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.processes import python
from tests.support.runs import trained


@pytest.fixture(scope="module")
def run(module_store: RunStore) -> Run:
    return trained(module_store, epochs=1)


@pytest.fixture(scope="module")
def predictor(synthetic_data: Path) -> Iterator[Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_DATA", str(synthetic_data))
        PREDICTOR.close()  # pages that other files opened have asked it
        predictor = Predictor()
        predictor.test_images("synthetic")
    yield predictor
    predictor.close()


def processes_here() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.cmdline()[-1:] == ["predictor"]]


def test_answers_are_the_bits_that_this_process_computes(predictor: Predictor, run: Run) -> None:
    test = batches.load("synthetic")[1]
    pixels, labels = predictor.test_images("synthetic")
    np.testing.assert_array_equal(pixels, test.pixels.numpy())
    np.testing.assert_array_equal(labels, test.labels.numpy())
    expected = engine.probabilities(
        load(run.model_path).model, test.pixels, "unit", test.description, torch.device("cpu")
    ).numpy()
    np.testing.assert_array_equal(predictor.evaluate(run.model_path, "synthetic", "unit"), expected)
    np.testing.assert_array_equal(predictor.predict(run.model_path, pixels, "unit", BUILT_IN["synthetic"]), expected)


def test_an_image_is_prepared_with_all_its_steps(predictor: Predictor, tmp_path: Path) -> None:
    from fashion_core.inference import prepare

    image = batches.load("synthetic")[1].pixels[0, 0].numpy()
    Image.fromarray(255 - np.kron(image, np.ones((4, 4), np.uint8))).save(tmp_path / "image.png")
    here = prepare.prepare(tmp_path / "image.png")
    there = predictor.prepare((tmp_path / "image.png").read_bytes(), BUILT_IN["synthetic"])
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert [(step.name, step.note) for step in there.steps] == [(step.name, step.note) for step in here.steps]
    for one, other in zip(there.steps, here.steps, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_problem_is_its_sentence_and_the_process_stays(predictor: Predictor, run: Run, tmp_path: Path) -> None:
    before = processes_here()
    (tmp_path / "no-model").write_bytes(b"nothing")
    with pytest.raises(WorkerError, match="refused"):
        predictor.evaluate(tmp_path / "no-model", "synthetic", "unit")
    with pytest.raises(WorkerError, match="it or its folder does not exist"):
        predictor.evaluate(tmp_path / "gone", "synthetic", "unit")
    with pytest.raises(WorkerError, match="image"):
        predictor.prepare(b"no image", BUILT_IN["synthetic"])
    huge = {name: tensor * 1e20 for name, tensor in build_model("mlp", seed=0).state_dict().items()}
    torch.save(huge, tmp_path / "huge.pth")
    with pytest.raises(WorkerError, match="not finite: choose an earlier checkpoint"):
        predictor.evaluate(tmp_path / "huge.pth", "synthetic", "unit")
    assert processes_here() == before


@pytest.mark.slow
def test_a_killed_process_is_one_sentence_and_the_next_question_starts_another(predictor: Predictor, run: Run) -> None:
    (process,) = processes_here()
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=10)
    assert predictor.evaluate(run.model_path, "synthetic", "unit").shape == (2_000, 10)
    (another,) = processes_here()
    assert another.pid != process.pid
    another.suspend()
    killed = threading.Timer(0.2, another.kill)
    killed.start()
    with pytest.raises(WorkerError, match="ended before it answered"):
        predictor.evaluate(run.model_path, "synthetic", "unit")
    killed.join()
    assert predictor.evaluate(run.model_path, "synthetic", "unit").shape == (2_000, 10)


def test_many_pages_at_once_get_their_own_answers_from_one_process(predictor: Predictor, run: Run) -> None:
    pixels = batches.load("synthetic")[1].pixels[:64].numpy()

    def ask(number: int) -> np.ndarray:
        return predictor.predict(run.model_path, pixels[number : number + 1], "unit", BUILT_IN["synthetic"])

    expected = [ask(number) for number in range(64)]
    with ThreadPoolExecutor(8) as pages:
        np.testing.assert_array_equal(list(pages.map(ask, range(64))), expected)
    assert len(processes_here()) == 1


@pytest.mark.slow
def test_the_process_ends_with_the_server_that_asked(synthetic_data: Path) -> None:
    """Even a server that is killed: its side of the pipe closes."""
    code = """
import os, signal
from fashion_core.inference.client import PREDICTOR
PREDICTOR.test_images("synthetic")
print(PREDICTOR._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = python(code, FASHION_DATA=str(synthetic_data))
    process = int(done.stdout)
    if psutil.pid_exists(process):
        gone, _ = psutil.wait_procs([psutil.Process(process)], timeout=20)
        assert gone


def test_a_process_that_hangs_is_ended_in_time_and_leaves_no_zombie(synthetic_data: Path, run: Run) -> None:
    predictor = Predictor(answer_seconds=20)
    before = {process.pid for process in processes_here()}
    predictor.test_images("synthetic")
    (process,) = (process for process in processes_here() if process.pid not in before)
    impatient = Predictor(answer_seconds=0.5)
    impatient._process = predictor._process
    process.suspend()
    with pytest.raises(WorkerError, match="no answer within"):
        impatient.evaluate(run.model_path, "synthetic", "unit")
    assert not psutil.pid_exists(process.pid)


@pytest.mark.slow
def test_what_libraries_print_does_not_stand_between_the_answers_and_asking_needs_no_torch(tmp_path: Path) -> None:
    """The garments can't be cached in a file's place, and that is printed."""
    (tmp_path / "data").write_text("no folder")
    code = """
import sys
from fashion_core.inference.client import PREDICTOR
print(PREDICTOR.test_images("synthetic")[0].shape, "torch" in sys.modules)
"""
    done = python(code, FASHION_DATA=str(tmp_path / "data"))
    assert done.stdout == "(2000, 1, 28, 28) False\n"
    assert "are not cached" in done.stderr


def sent(*messages: Message) -> bytes:
    stream = io.BytesIO()
    for message in messages:
        send(stream, message)
    return stream.getvalue()


def test_messages_arrive_as_they_were_sent_one_after_the_other() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    stream = io.BytesIO(sent(Message({"ask": "x", "n": None}, {"pixels": pixels}), Message({"ask": "y"})))
    first, second = receive(stream), receive(stream)
    assert first is not None
    assert first.values == {"ask": "x", "n": None}
    np.testing.assert_array_equal(first.arrays["pixels"], pixels)
    assert second == Message({"ask": "y"})
    assert receive(stream) is None


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, -1])
def test_a_message_that_broke_off_is_none(kept: int) -> None:
    assert receive(io.BytesIO(sent(Message({"ask": "x"}))[:kept])) is None


def test_an_object_is_never_pickled_on_the_way(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        send(io.BytesIO(), Message({}, {"object": np.array([tmp_path], dtype=object)}))


def test_message_arrives_where_the_clock_says_a_year_before_1980(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a small board without a clock of its own, until a network tells it the time."""
    monkeypatch.setattr(time, "time", lambda: -86_400.0)
    message = receive(io.BytesIO(sent(Message({"ask": "x"}, {"pixels": np.arange(3)}))))
    assert message is not None
    assert (message.values, message.arrays["pixels"].tolist()) == ({"ask": "x"}, [0, 1, 2])
