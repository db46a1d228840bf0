"""A store in which a team's own models can be trained: those of ``tests/support/team/zoo.py``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fashion_core.config import FASHION
from fashion_core.runs import team_models
from fashion_core.runs.store import RunStore
from fashion_core.runs.team_models.answers import FOLDER
from tests.support.processes import ROOT, end_workers

TEAM = ROOT / "tests" / "support" / "team"
ZOO = TEAM / "zoo.py"
_kept: dict[str, bytes] = {}  # what a process with torch has said in an earlier store: it is asked once


@contextmanager
def zoo_store(root: Path, data: Path) -> Iterator[RunStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_MODELS", str(ZOO))
        patch.setenv("FASHION_RUNS", str(root))
        patch.setenv("FASHION_DATA", str(data))
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        for name, answer in _kept.items():
            (root / FOLDER / name).write_bytes(answer)
        assert team_models.problems() == []
        assert team_models.answers(FASHION)
        _kept.update({path.name: path.read_bytes() for path in (root / FOLDER).iterdir()})
        store = RunStore()
        yield store
        end_workers(store)
