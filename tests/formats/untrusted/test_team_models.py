"""Files that are nearly those of a team's own models: each is refused in one sentence, and nothing runs."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fashion_core.errors import RefusedFileError
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.models import build_model
from fashion_core.runs.store import RunStore
from tests.hostile import team
from tests.hostile.building import repickled, saved
from tests.support.files import files_opened
from tests.support.zoo import zoo_store

SLOW = pytest.mark.slow
CASES = dict(team.corpus())
QUICK = [*CASES][::4]
RUNNING = (
    "exec", "compile", "import", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork",
    "subprocess.Popen", "socket.connect", "ctypes.dlopen",
)  # fmt: skip
"""What an audit hook is told of before anything could run."""


@pytest.fixture(scope="module", autouse=True)
def zoo(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> Iterator[RunStore]:
    folder = tmp_path_factory.mktemp("zoo")
    with zoo_store(folder / "runs", synthetic_data) as store:
        for model in ("residual", "settled"):  # what is imported when the first file is read is so before the watch
            (folder / model).write_bytes(saved(build_model(model, seed=0)))
            assert load(folder / model).model_name == inspect(folder / model).model == model
        (folder / "again").write_bytes(repickled((folder / "residual").read_bytes(), lambda old: old))
        load(folder / "again")
        yield store


def said_of(read: Callable[[Path], object], path: Path) -> str | None:
    """What a reader objects to, after checking that it did nothing else than read."""
    modules = set(sys.modules)
    with files_opened(*RUNNING) as seen:
        try:
            told = read(path)
        except RefusedFileError as error:
            told = str(error)
    assert [one for one in seen if not one.startswith("/")] == []
    assert sys.modules.keys() == modules
    return told if isinstance(told, str) else None


READERS: dict[str, Callable[[Path], Any]] = {"inspect": lambda path: inspect(path).refusal, "load": load}


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in CASES])
def test_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(CASES[name]())
    for reader, read in READERS.items():
        said = said_of(read, path)
        assert said is not None, f"{reader} accepts it"
        assert re.fullmatch(r"The file is (refused|not usable): .{10,400}\.", said), f"{reader}: {said}"
        assert said.isprintable()


def test_corpus_is_large_and_its_models_are_loaded_as_they_are(tmp_path: Path) -> None:
    assert len(CASES) >= 80
    for model in ("lenet", "residual", "flat", "settled", "tied"):
        (tmp_path / model).write_bytes(saved(build_model(model, seed=0)))
        assert inspect(tmp_path / model).refusal is None
        assert load(tmp_path / model).model_name == model


def test_settings_that_name_another_model_change_no_weights(tmp_path: Path) -> None:
    """Only among the models that its weights fit does a file say which it is."""
    state = build_model("residual", seed=0).state_dict()
    for said in ("lenet", "gone", "../x", ["residual"], {"a": 1}, None):
        torch.save({"model_state_dict": state, "config": {"model": said}}, tmp_path / "file")
        assert load(tmp_path / "file").model_name == inspect(tmp_path / "file").model == "residual"
