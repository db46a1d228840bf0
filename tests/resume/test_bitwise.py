"""Whether a resumed run equals its uninterrupted parent, bit for bit."""

from typing import NamedTuple

import pytest
import torch

from fashion_core.errors import DamagedFileError
from fashion_core.resume.bitwise import check_bitwise
from fashion_core.resume.reasons import texts
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.exact import load
from tests.support.files import flip_a_bit
from tests.support.runs import FEW, copied, new_run, resume, save_again, train


class Pair(NamedTuple):
    child: Run
    parent: Run


@pytest.fixture(scope="module")
def trained_pair(module_store: RunStore) -> Pair:
    train(parent := new_run(module_store, train_images=300, epochs=3), test_images=FEW)
    train(child := resume(module_store, parent, 0), test_images=FEW)
    return Pair(child, parent)


@pytest.fixture
def pair(store: RunStore, trained_pair: Pair) -> Pair:
    return Pair(copied(trained_pair.child, store), copied(trained_pair.parent, store))


def test_first_epoch_that_differs_is_named_and_why(store: RunStore, pair: Pair) -> None:
    train(child := resume(store, pair.parent, 0, 1, seed=99), test_images=FEW)
    found = check_bitwise(child, pair.parent)
    assert (found.kind, found.epoch, texts(found.reasons)) == ("different", 1, ["seed 0 → 99"])


def test_one_changed_bit_is_seen(pair: Pair) -> None:
    content = load(pair.child.checkpoint_path(2))
    content["model_state_dict"]["linear_relu_stack.4.bias"].view(torch.int32)[0] ^= 1
    save_again(pair.child, 2, content)
    assert check_bitwise(*pair).kind == "different"


def test_damage_is_not_taken_for_a_difference(pair: Pair) -> None:
    flip_a_bit(pair.child.checkpoint_path(2))
    with pytest.raises(DamagedFileError, match="SHA-256 is not the one that was recorded"):
        check_bitwise(*pair)


def test_newest_checkpoint_that_both_still_have_is_compared_and_else_the_losses_alone(pair: Pair) -> None:
    tensors = check_bitwise(*pair).tensors
    assert tensors > 0
    for run, epoch, compared in ((pair.child, 2, tensors), (pair.parent, 1, 0)):
        run.remove_saved(run.checkpoint_path(epoch))
        found = check_bitwise(*pair)
        assert (found.kind, found.epoch, found.tensors) == ("identical", 2, compared)


def test_runs_without_an_epoch_in_common_are_neither(store: RunStore, pair: Pair) -> None:
    train(child := resume(store, pair.parent, 2, 1), test_images=FEW)
    assert check_bitwise(child, pair.parent).kind == "none"
