"""The texts of charts: titles of axes, legends and tooltips, words inside, and what is said beside them.

Where the browser fills in a template (`base.filled_in`), its fields are columns.
"""

from fashion_core.inference.scores import CalibrationVerdict

# Axes, legends and tooltips of several charts
RUN = "run"
MODEL = "model"
CLASS = "class"
TRUE_CLASS = "true class"
TAKEN_FOR = "taken for"
EPOCH = "epoch"
EPOCH_FROM_FIRST_RUN = "epoch (counted from the first run)"
CHECKPOINT = "checkpoint"
DATASET = "dataset"
ANSWER = "answer"
IMAGES = "images"
PROBABILITY = "probability"
ACCURACY = "accuracy"
TEST_ACCURACY = "test accuracy"
TEST_LOSS = "test loss"
TEST_LOSS_PER_IMAGE = "test loss (cross-entropy, mean per image)"
TEST_LOSS_LOGARITHMIC = "test loss (cross-entropy, log scale)"

# A run while it trains, and its checkpoints
LIVE_KEY = (
    "thin line: each batch · bold line: smoothed · ring: checkpoint saved, at the epoch's mean training loss · "
    "diamond: test loss at epoch end"
)
LIVE_KEY_OF_SEEDS = f"{LIVE_KEY} · bar: 95 % interval of the mean over the seeds"
LOSS_LAST_LINE = "loss_last of the checkpoint: {loss}"
LOSS_CHECK_LINE = "loss right after loading: {loss}"
STEP_OF_RUN = "optimizer step of this run"
LOSS_PER_IMAGE = "cross-entropy loss (mean per image)"
ACCURACY_OF_IMAGES = "test accuracy (% of images)"
EPOCH_MARK = "epoch {epoch}"
TRAIN_LOSS = "train loss"
CHECKPOINT_SAVED = "checkpoint saved"
STEP = "optimizer step"
BATCH_LOSS = "batch loss"
SMOOTHED_LOSS = "smoothed loss"
SEEDS = "seeds"
MEAN = "mean"
INTERVAL_FROM = "95 % interval from"
INTERVAL_TO = "to"

# Did resuming help, and where runs branched off
COMPARISON_KEY = "**┃** before, `loss_last` · after, `loss_now`: :blue[◀ lower] :gray[● within ±2 SE] :orange[▶ higher]"
EQUAL_LENGTHS = "log scale: equal lengths, equal percentages"
CHANGED = "changed"
RESUMED_FROM = "from"
LOSS_LAST = "loss_last"
LOSS_NOW = "loss_now"
AFTER_EPOCH = "after epoch"
CHANGE = "change"
NOISE_FROM = "noise from"
NOISE_TO = "noise to"
STATE = "state"
VERDICT = "verdict"
CURVE_OF = "curve of"

# The tree of runs
LINEAGE_KEY = (
    "one lane per run · one dot per checkpoint, hollow once deleted · a curve starts at the checkpoint that was "
    "resumed · ring: lowest loss on its dataset · a click opens a checkpoint, as does its row on the Checkpoints page"
)
SAVED = "saved"
DELETED = "deleted"
BEST = "best"
TEST_LOSS_OF_DATASETS = "test loss (log scale, each dataset by itself)"
LOWEST = "lowest"
HIGHEST = "highest"

# What models predict for one image
TRUE_MARK = "◆ true class"
PREDICTED_MARK = "◀ predicted"
RIGHT_MARK = "✓ predicted"
WRONG_MARK = "✗ predicted"
MODELS_KEY = ":blue[■] upper bar: {first} · :orange[■] lower bar: {second}"

# What the checkpoints of a run predict
HISTORY_KEY = "height of a colour: the probability of its class · vertical lines: checkpoints"
HISTORY_KEY_OF_RESUMED = "{key} · dashed: the checkpoint that was resumed"
RESUMED_RUN = "↳ {name}, resumed"
RESUMED_RUN_OF_PARENT = "↳ {name}, resumed from {parent}"
RESUMED_AT_EPOCH = "resumed at epoch {epoch}"
OTHER_CLASSES = "other classes"
TRUE_CLASS_NAMED = "{name}, true class"
RIGHT_CLASS = "✓ {name}"
WRONG_CLASS = "✗ {name}"
PREDICTED = "predicted"
FORGOTTEN_ONE = "**{count:,}** of {images:,} images was right at an earlier checkpoint and is wrong at the last."
FORGOTTEN_MANY = "**{count:,}** of {images:,} images were right at an earlier checkpoint and are wrong at the last."
NEVER_LEARNED_ONE = "{count:,} was right at none of the {checkpoints}."
NEVER_LEARNED_MANY = "{count:,} were right at none of the {checkpoints}."

# The images, each under its picture
ACTUAL_CLASS = "is {name}"
IMAGE_OF_ONE_MODEL = "image {index}, {truth}, taken for {first}"
IMAGE_OF_TWO_MODELS = "image {index}, {truth}, taken for {first} and {second}"

# How good a model is
ACCURACY_FOUND = "**{accuracy:.1%}** of {count:,} test images are right (95% interval {low:.1f}–{high:.1%})."
DISAGREEMENT_NONE = "Both models predict the same class for every image."
DISAGREEMENT_ONE = (
    "They differ on **{count:,}** image; only {first} is right on {first_alone:,}, only {second} on "
    "{second_alone:,}: **no significant difference** ({p}, exact McNemar test)."
)
DISAGREEMENT_MANY = (
    "They differ on **{count:,}** images; only {first} is right on {first_alone:,}, only {second} on "
    "{second_alone:,}: **no significant difference** ({p}, exact McNemar test)."
)
DISAGREEMENT_DECIDED = (
    "They differ on **{count:,}** images; only {first} is right on {first_alone:,}, only {second} on "
    "{second_alone:,}: **{better} is significantly better** ({p}, exact McNemar test)."
)

# The confusion matrix
CONFUSION_KEY = (
    "rows: true class · columns: predicted class · framed diagonal: correct · "
    "the stronger the colour, the larger the share of the true class"
)
CONFUSION_NONE = "No image is misclassified."
CONFUSION_MOST = "Most often mixed up: **{truth}** predicted as **{predicted}** ({count:,} of {images:,})."
SHARE_OF_TRUE_CLASS = "of the true class"

# Each class
CLASS_KEY = (
    ":blue[●] precision: the share of its predictions that are right · :orange[◆] recall: the share of its images "
    "that are found · F1: the harmonic mean of both"
)
SHARE_OF_IMAGES = "share of the images"
F1_FOUND = "F1 {f1:.1%}"
NEVER_PREDICTED = "never"
PRECISION = "precision"
RECALL = "recall"
F1 = "F1"

# Calibration
RELIABILITY_KEY = (
    ":blue[▀] accuracy of the answers in each bin · :orange[▨] gap to their mean confidence · dashed: perfect "
    "calibration · below: number of answers in each bin"
)
CALIBRATION: dict[CalibrationVerdict, str] = {
    "neither": "**Neither over- nor underconfident on average**: {confidence:.1%} sure on average, right on "
    "{accuracy:.1%} of the images (expected calibration error {error:.1%}).",
    "overconfident": "**Overconfident**: {confidence:.1%} sure on average, but right on "
    "{accuracy:.1%} of the images (expected calibration error {error:.1%}).",
    "underconfident": "**Underconfident**: {confidence:.1%} sure on average, but right on "
    "{accuracy:.1%} of the images (expected calibration error {error:.1%}).",
}
CONFIDENCE = "confidence"
CONFIDENCE_FROM = "confidence from"
CONFIDENCE_TO = "to"
MEAN_CONFIDENCE = "mean confidence"
ANSWERS = "answers"

# What is in a saved file
SIZE_AXIS = "{title} ({unit})"
BYTES = "bytes"
PART = "part"
TENSOR = "tensor"
ONE_NUMBER = "one number"
UNNAMED_PARAMETER = "parameter {index}"

# How far its weights moved
WEIGHT_CHANGE_AXIS = "relative L2 change (%)"
CHANGE_PERCENT = "change (%)"
WEIGHT_CHANGE_NONE = "**The same weights** as {other}: no tensor moved."
WEIGHT_CHANGE = (
    "From {other} to this file the weights moved by **{overall:.2%}** of their norm. "
    "Most: `{fast}` ({most:.2%}), least: `{slow}` ({least:.2%})."
)
WEIGHT_CHANGE_FROM_ZERO = (
    "From {other} to this file, the tensor that moved most: `{fast}` ({most:.2%}), least: `{slow}` ({least:.2%})."
)

# The five formats: the columns of their table, and its cells
FORMAT = "format"
SIZE = "size"
SAVE_TIME = "save (ms)"
LOAD_TIME = "load (ms)"
OPTIMIZER = "optimizer"
EPOCH_AND_LOSS = "epoch and loss"
BUILDS_MODEL = "builds the model"
SAFE_TO_SHARE = "safe to share"
OUTPUTS = "outputs"
WEIGHTS_ONLY = "weights only"
WHOLE_MODEL = "whole model"
SAFETENSORS = "safetensors"
PT2_PROGRAM = "pt2 program"
BUILT_BY_CODE = "no: your code builds it"
BUILT_FROM_CLASS = "yes, if its class can be imported"
BUILT_WITHOUT_CLASS = "yes, without its class"
SAFE_WEIGHTS_ONLY = "yes, with weights_only=True"
SAFE_NUMBERS = "yes: it holds only numbers"
UNSAFE_NAMES = "no: it names code to run"
UNSAFE_GRAPH = "no: its graph can hold code"
NONE_TO_KEEP = "– none"
LOST = "– lost"
KEPT = "✓ kept"
OPTIMIZER_KEPT = "✓ {optimizer}"
SAME_BITS = "the same bits"
OFF_BY = "off by up to {difference:.1e}"

# What their sizes say
SIZES = "**Weights only take {weights}.** The whole model takes {more} more, for the names of its classes."
SIZES_WITHOUT_WHOLE = "**Weights only take {weights}.**"
SIZE_WITHOUT_OPTIMIZER = "The checkpoint is {times:.1f} times as large: it carries no optimizer."
SIZE_WITHOUT_STATE = "The checkpoint is {times:.1f} times as large: plain SGD keeps no state."
SIZE_WITH_MOMENTUM = "The checkpoint is {times:.1f} times as large: SGD keeps a momentum for each weight."
SIZE_WITH_STATE = "The checkpoint is {times:.1f} times as large: {optimizer} keeps two numbers for each weight."
