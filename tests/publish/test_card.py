"""The model card of a run that others have described."""

import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData

from fashion_core.errors import one_line
from fashion_core.inference.scores import Answers
from fashion_core.publish.card import Published, card
from fashion_core.publish.lineage import Step
from fashion_core.runs.store import RunStore
from tests.support.runs import new_run


@pytest.mark.parametrize("sign", ["\x7f", "\x85", "\n---\n", "\u202e"])
def test_label_of_a_dataset_is_one_line_of_the_metadata(store: RunStore, sign: str) -> None:
    run = new_run(store)
    described = run.record.description.model_copy(update={"label": f"a{sign}b"})
    run.write_record(run.record.model_copy(update={"described": described}))
    answers = Answers(np.full((10, 10), 0.1, np.float32), np.arange(10), described.classes)
    data = ModelCard(card(Published(run, 0, answers, 2.3, [Step(run, 0, None)], 5, None), [])).data
    assert isinstance(data, ModelCardData)
    assert data.eval_results
    assert {one.dataset_name for one in data.eval_results} == {one_line(f"a{sign}b")}
