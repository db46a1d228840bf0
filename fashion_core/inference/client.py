"""Ask for predictions without importing torch: one process with torch answers all pages of this server.

Messages are a few JSON values and arrays, never a pickle.
"""

import io
import json
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from fashion_core.data.description import Description
from fashion_core.errors import WorkerError
from fashion_core.inference.prepare import Prepared, Step
from fashion_core.runs import processes, team_models

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Message:
    """``values`` is ready for JSON."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def send(stream: IO[bytes], message: Message) -> None:
    """Write one message. Raises ``OSError`` if the reader has exited.

    Not as an ``.npz``, which can't be written where the clock says a year before 1980.
    """
    packed = io.BytesIO()
    for array in (np.array(json.dumps([message.values, list(message.arrays)])), *message.arrays.values()):
        np.save(packed, array, allow_pickle=False)
    stream.write(_LENGTH.pack(packed.tell()))
    stream.write(packed.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read one message; None where the other side has closed, in the middle of one too."""
    if len(head := stream.read(_LENGTH.size)) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if len(packed := stream.read(length)) < length:
        return None
    arrays = io.BytesIO(packed)
    values, names = json.loads(str(np.load(arrays, allow_pickle=False)))
    return Message(values, {name: np.load(arrays, allow_pickle=False) for name in names})


ANSWER_SECONDS = 600.0  # a ResNet needs a minute for 10,000 images on a slow CPU
PREPARE_SECONDS = 60.0  # no other question is answered meanwhile; includes starting the process on a busy machine
_GONE = "The process that computes predictions ended before it answered: try again; the server's terminal says why."
_LATE = "There was no answer within {:.0f} s, so the process that computes predictions was stopped: try again."


class Predictor:
    """The helper process, started when first needed and again after it has ended; it answers one question at a time.

    Every question raises ``WorkerError`` with a sentence about what went wrong.
    """

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._team: tuple[str, ...] = ()  # the digests of the sources that it may have imported

    def test_images(self, dataset: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the test half of a dataset: pixels (N, C, H, W) uint8 and labels (N,) int64."""
        arrays = self._ask(Message({"ask": "test images", "dataset": dataset})).arrays
        return arrays["pixels"], arrays["labels"]

    def prepare(self, file: bytes, description: Description) -> Prepared:
        """Make an image one of a dataset, in the other process, where a hostile file can't harm this one."""
        asked = {"ask": "prepare", "dataset": description.model_dump(mode="json")}
        question = Message(asked, {"bytes": np.frombuffer(file, np.uint8)})
        found = self._ask(question, min(PREPARE_SECONDS, self._answer_seconds))
        named = enumerate(found.values["steps"])
        steps = (Step(name, note, found.arrays[f"step {number}"]) for number, (name, note) in named)
        return Prepared(found.arrays["pixels"], tuple(steps))

    def predict(self, file: Path, pixels: np.ndarray, scaling: str, description: Description) -> np.ndarray:
        """The probabilities (N, classes) float32 that a saved file's model gives images (N, C, H, W) uint8.

        They are images as in the dataset of this description, which need not be here.
        """
        dataset = description.model_dump(mode="json")
        asked = {"ask": "predict", "file": str(file), "dataset": dataset, "pixels": scaling}
        return self._ask(Message(asked, {"pixels": pixels})).arrays["probabilities"]

    def evaluate(self, file: Path, dataset: str, scaling: str) -> np.ndarray:
        """The probabilities (N, classes) float32 that a saved file's model gives a dataset's test images."""
        asked = {"ask": "predict", "file": str(file), "dataset": dataset, "pixels": scaling}
        return self._ask(Message(asked)).arrays["probabilities"]

    def close(self) -> None:
        """End the process, if there is one, even in the middle of an answer."""
        if process := self._process:
            process.kill()
        with self._lock:
            self._end()

    def _ask(self, question: Message, seconds: float | None = None) -> Message:
        seconds = seconds or self._answer_seconds
        with self._lock:
            process, deadline = self._running(), time.monotonic() + seconds
            killing = threading.Timer(seconds, process.kill)
            killing.daemon = True
            killing.start()
            try:
                assert process.stdin
                assert process.stdout
                send(process.stdin, question)
                answer = receive(process.stdout)
            except OSError:
                answer = None
            finally:
                killing.cancel()
            if answer is None:
                is_late = time.monotonic() >= deadline
                self._end()
                raise WorkerError(_LATE.format(seconds) if is_late else _GONE)
        if "problem" in answer.values:
            raise WorkerError(answer.values["problem"])
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        team = team_models.digests()
        if self._process is None or self._process.poll() is not None or self._team != team:
            self._end()
            self._team = team
            try:
                self._process = subprocess.Popen(
                    processes.python_command("predictor"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=processes.child_environment(),
                    start_new_session=True,  # Ctrl-C is for the server; this one ends when its input does
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
            except OSError as error:
                raise WorkerError(f"No process can be started to compute predictions: {error.strerror}.") from error
        return self._process

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()  # closes its pipes and waits for it
        self._process = None


PREDICTOR = Predictor()
