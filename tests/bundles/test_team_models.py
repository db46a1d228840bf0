"""Runs of a team's own model: unbundled in a store that knows its module, and in one that does not."""

from pathlib import Path

import pytest

from fashion_core.bundles import unbundle
from fashion_core.errors import RefusedFileError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.bundles import bundled
from tests.support.runs import FEW, After, new_run, set_finished, set_state, train
from tests.support.team import readme_models


@pytest.fixture
def team(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("FASHION_MODELS", str(readme_models(tmp_path)))
    return new_run(store, model="lenet", epochs=1, train_images=64, batch_size=32)


@pytest.mark.slow
def test_checkpoints_of_a_teams_model_come_in_anywhere_and_its_whole_model_where_it_is_known(
    team: Run, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(team, After(2), FEW)
    set_state(team, "stopped")
    stopped = bundled(store, team)
    train(team, test_images=FEW)
    set_finished(team)
    whole = stopped.rename(tmp_path / "stopped.zip"), bundled(store, team)
    known, other = RunStore(tmp_path / "known"), RunStore(tmp_path / "other")
    unbundle.unbundle(known, whole[1])
    assert known.at(team.id).model_source == team.model_source
    monkeypatch.delenv("FASHION_MODELS")
    with pytest.raises(
        RefusedFileError, match=r"model\.pth is no model that can be read: .*; its run has a team's own"
    ):
        unbundle.unbundle(other, whole[1])
    unbundle.unbundle(other, whole[0])
    assert other.at(team.id).state() == "stopped"
