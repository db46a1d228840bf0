"""``TrainConfig``: defaults, bounds, and the sentence for each bad value."""

from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_core.config import (
    DATASET_LABELS,
    MODEL_LABELS,
    PRESETS,
    TRAINING_IMAGES,
    TrainConfig,
    parse_config,
    settings,
    variable,
)
from fashion_core.errors import ConfigError


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(values)
    return str(caught.value)


def test_defaults_are_the_tutorials() -> None:
    config = parse_config({})
    assert (config.model, config.optimizer, config.learning_rate) == ("mlp", "sgd", 1e-3)
    assert (config.batch_size, config.epochs, config.pixels) == (64, 2, "unit")
    assert (config.momentum, config.weight_decay, config.schedule, config.augmentation) == (0, 0, "constant", "none")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"learning_rate": "-1"}, "Learning rate should be greater than 0, not '-1'."),
        ({"learning_rate": "0"}, "Learning rate should be greater than 0, not '0'."),
        ({"learning_rate": "nan"}, "Learning rate should be a finite number, not 'nan'."),
        ({"learning_rate": "inf"}, "Learning rate should be a finite number, not 'inf'."),
        ({"learning_rate": "fast"}, "Learning rate should be a valid number, not 'fast'."),
        ({"epochs": 0}, "Epochs should be greater than or equal to 1, not 0."),
        ({"epochs": "2.5"}, "Epochs should be a valid integer, not '2.5'."),
        (
            {"learning_rate": -1, "epochs": 0},
            "Epochs should be greater than or equal to 1, not 0; Learning rate should be greater than 0, not -1.",
        ),
        ({"momentum": 1}, "Momentum should be less than 1, not 1."),
        ({"device": "tpu"}, "Device should be auto or cpu or mps or cuda or cuda:N, not 'tpu'."),
        ({"device": "cpu\n"}, "Device should be auto or cpu or mps or cuda or cuda:N, not 'cpu\\n'."),
        ({"name": "two\nlines"}, "Name should be one line of printable characters, not 'two\\nlines'."),
        ({"model": "VGG 16"}, "Model should be a name such as my-model, not 'VGG 16'."),
        ({"colour": "red"}, "colour is not a setting of this version."),
        (
            {"batch_size": 20_000},
            "Batch size 20,000 is larger than the 12,000 training images; choose a smaller batch.",
        ),
        (
            {"batch_size": 64, "train_images": 63},
            "Batch size 64 is larger than the 63 training images; choose a smaller batch.",
        ),
        (
            {"batch_size": 8, "processes": 9},
            "9 processes can't share batches of 8; choose fewer.",
        ),
        ({"train_images": 12_001}, "synthetic garments has 12,000 training images; ask for no more."),
        (
            {"model": "resnet18", "batch_size": 64, "train_images": 129},
            "ResNet-18 can't train on a batch of one image; choose another batch size.",
        ),
    ],
    ids=str,
)
def test_bad_value_gets_one_sentence(values: dict[str, Any], sentence: str) -> None:
    assert refusal(**values) == sentence


def test_a_huge_learning_rate_is_allowed() -> None:
    assert parse_config({"learning_rate": "1e9"}).learning_rate == 1e9


@pytest.mark.parametrize("dataset", TRAINING_IMAGES)
def test_whole_dataset_is_the_largest_batch_and_the_last_may_be_smaller(dataset: str) -> None:
    config = parse_config({"dataset": dataset, "batch_size": TRAINING_IMAGES[dataset]})
    assert (config.images_per_epoch, config.batches_per_epoch) == (TRAINING_IMAGES[dataset], 1)
    assert parse_config({"train_images": 500, "batch_size": 64}).batches_per_epoch == 8


def test_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config({}).epochs = 3


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_is_a_configuration_that_survives_json(preset: str) -> None:
    config = parse_config(PRESETS[preset].values)
    assert parse_config(config.model_dump(mode="json")) == config


def test_each_setting_says_what_it_is() -> None:
    assert [setting.name for setting in settings()] == list(TrainConfig.model_fields)
    for setting in settings():
        assert setting.label
        assert setting.help.endswith(".")


def test_settings_give_the_bounds_that_are_checked() -> None:
    for setting in settings():
        for bound, outside in ((setting.minimum, -1e-6), (setting.maximum, 1e-6)):
            if bound is not None:
                step = outside if setting.kind is float else outside * 1e6
                assert setting.label in refusal(**{setting.name: setting.kind(bound + step)})


def test_settings_give_the_choices_that_are_allowed() -> None:
    named = {"dataset": tuple(DATASET_LABELS), "model": tuple(MODEL_LABELS)}  # others may be added
    for setting in settings():
        annotation = TrainConfig.model_fields[setting.name].annotation
        literal = get_args(annotation) if get_origin(annotation) is Literal else ()
        assert setting.choices == named.get(setting.name, literal)
        for choice in setting.choices:
            parse_config({setting.name: choice, "batch_size": 64})


@given(st.dictionaries(st.sampled_from([*TrainConfig.model_fields, "other"]), st.text() | st.floats() | st.none()))
def test_any_answer_is_a_configuration_or_one_line(values: dict[str, Any]) -> None:
    refused = ""
    try:
        parse_config(values)
    except ConfigError as error:
        refused = str(error)
    assert "\n" not in refused


@pytest.mark.parametrize("name", ["می\u200cشود", "क्\u200dष", "👩\u200d💻 run", "שלום"])
def test_name_is_taken_as_people_write_it(name: str) -> None:
    assert parse_config({"name": name}).name == name


@pytest.mark.parametrize("name", ["\u200d", " \u200c ", " "])
def test_name_of_which_nothing_can_be_seen_is_none(name: str) -> None:
    assert parse_config({"name": name}).title == parse_config({}).title


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\u200b", "\u200f", "\x1b", "\ufeff"])
def test_name_with_signs_that_change_what_is_read_around_it_is_refused(sign: str) -> None:
    assert "one line of printable characters" in refusal(name=f"a{sign}b")


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_variable_that_is_set_to_nothing_is_not_set(value: str) -> None:
    assert variable("FASHION_RUNS", {"FASHION_RUNS": value}) == variable("FASHION_RUNS", {}) == ""
