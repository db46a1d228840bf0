"""No code from a file ever runs: each hostile file is refused in one sentence, at once, and nothing else happens."""

import io
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from tests import hostile
from tests.hostile.building import real_file
from tests.hostile.gadgets import GADGETS, STYLES
from tests.hostile.opcodes import tensor, whole
from tests.support.processes import ROOT

SECONDS, BYTES = 0.1, 50_000_000
READERS = ("inspect", "load")
Result = dict[str, Any]
REST = [name for name, _ in hostile.rest()]
QUICK = [name for name, _ in hostile.quick()]


def audited(folder: Path, part: str) -> dict[str, Any]:
    """What a fresh process said of each file, by its name, and what its audit hook saw."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.audited", str(folder), part]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    for kind in ("hostile", "harmless", "good"):
        answer[kind] = {result["name"]: result for result in answer[kind]}
    return answer


NUMBERS_ALONE = (
    "weights: ", "speaking: weights named", "safetensors with: ", "names: weights with", "sizes: tensor of 2^47",
    "sizes of no model: weights",
)  # fmt: skip
"""How the names of hostile files begin that can hold nothing but weights, if of a strange shape or name."""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return audited(tmp_path_factory.mktemp("hostile"), "quick")


def assert_refused(result: Result) -> None:
    outcomes = "(refused|not usable)" if result["name"].startswith(NUMBERS_ALONE) else "refused"
    for reader in READERS:
        said = result[reader]["said"]
        assert said is not None, f"{reader} accepts {result['name']}"
        assert re.fullmatch(rf"The file is {outcomes}: .{{10,400}}\.", said), f"{reader}: {said}"
        assert said.isprintable(), f"{reader}: {said!r}"
    assert_costs_nothing(result)


def assert_costs_nothing(result: Result) -> None:
    """A tenth of a second, or five times what going through as many instructions as a pickle may have takes there."""
    for reader in READERS:
        found = result[reader]
        assert found["events"] == [], f"{reader} does more than read {result['name']}"
        assert found["seconds"] < max(SECONDS, 5 * found["pace"]), (
            f"{reader} takes {found['seconds']:.2f} s for {result['name']}"
        )
        assert found["memory"] < BYTES, f"{reader} takes {found['memory']:,} bytes for {result['name']}"


@pytest.mark.parametrize("name", QUICK)
def test_hostile_file_is_refused(quick: dict[str, Any], name: str) -> None:
    assert_refused(quick["hostile"][name])


@pytest.mark.slow
def test_every_other_hostile_file_is_refused_and_heavy_harmless_ones_cost_nothing(tmp_path: Path) -> None:
    answer = audited(tmp_path, "rest")
    assert list(answer["hostile"]) == REST
    for result in answer["hostile"].values():
        assert_refused(result)
    assert list(answer["harmless"]) == [name for name, _ in hostile.harmless()]
    for result in answer["harmless"].values():
        assert_costs_nothing(result)


@pytest.mark.parametrize("kind", ["checkpoint", "legacy", "weights", "model", "pt2", "zipped again"])
def test_good_file_is_loaded_in_the_same_process(quick: dict[str, Any], kind: str) -> None:
    assert [quick["good"][kind][reader]["said"] for reader in READERS] == [None, None]
    assert_costs_nothing(quick["good"][kind])


def test_hook_sees_a_gadget_that_is_really_unpickled(quick: dict[str, Any]) -> None:
    assert [event.partition("(")[0] for event in quick["control"]] == ["pickle.find_class", "compile", "exec"]


def test_memory_is_measured_that_is_not_touched_or_was_free_before(quick: dict[str, Any]) -> None:
    assert [name for name, taken in quick["greedy"].items() if taken < BYTES] == []
    assert len(quick["greedy"]) == 3


def test_corpus_is_large_and_each_name_is_there_once() -> None:
    names = [name for name, _ in hostile.corpus()]
    assert len(names) > 700
    assert len(QUICK) > 100
    assert sorted(names) == sorted({*QUICK, *REST})


class Recorder(pickle.Unpickler):
    """Calls nothing of what it is asked for, and notes it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.called: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        def note(*_: object) -> str:
            self.called.append(f"{module} {name}")
            return "harmless"

        return note


@pytest.mark.parametrize("style", ["GLOBAL", "STACK_GLOBAL", "SHORT_BINUNICODE", "UNICODE", "INST", "OBJ", "memo"])
def test_gadgets_are_alive_in_an_unpickler_that_trusts_them(style: str) -> None:
    for gadget in GADGETS:
        recorder = Recorder(whole(STYLES[style](gadget), 4))
        recorder.load()
        assert recorder.called == [f"{gadget.module} {gadget.name}"]


@pytest.mark.parametrize(("kind", "fragment"), [("bias", tensor()), ("checkpoint", b"N"), ("legacy", b"N")])
def test_same_file_with_a_harmless_fragment_is_loaded(tmp_path: Path, kind: str, fragment: bytes) -> None:
    (tmp_path / "file").write_bytes(real_file(kind, fragment))
    assert inspect(tmp_path / "file").refusal is None
    assert load(tmp_path / "file").model_name == "mlp"
