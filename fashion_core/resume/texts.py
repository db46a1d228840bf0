"""The texts of resuming; the reasons of a verdict, which are stored as ids, have theirs in `reasons`."""

from typing import Literal

from fashion_core.config import COMMAND

Told = Literal["too few", "within luck", "beyond luck"]
Fate = Literal["kept", "new", "left behind"]
WhyNotKept = Literal["absent", "shape", "classes", "surplus"]

# What a resumed run changed, and how far its loss moved, in few letters
SAME_SETTINGS = "same settings"
SHORT_CHANGES = {  # of settings that change the numbers, the weightiest first; others are left out
    "dataset": "on {after}",
    "model": "as {after}",
    "learning_rate": "lr {after:g}",
    "optimizer": "→ {after}",
    "batch_size": "batch {before} → {after}",
    "momentum": "momentum {after}",
    "weight_decay": "decay {after}",
    "schedule": "{after} lr",
    "augmentation": "augmented",
    "seed": "seed {after}",
    "precision": "{after}",
    "pixels": "{after} pixels",
    "device": "on {after}",
    "threads": "threads {before} → {after}",
    "train_images": "{after:,} images",
    "processes": "processes {before} → {after}",
    "frozen": "{after} frozen",
}
RATE_MULTIPLIED = "lr ×{factor:g}"
RATE_DIVIDED = "lr ÷{factor:g}"
NOT_AUGMENTED = "not augmented"
NONE_FROZEN = "none frozen"
ALL_IMAGES = "all images"
DIVERGED = "diverged"
FROM_ZERO = "from 0"

# Planning: names of runs, and what can't be
TOO_FEW_EPOCHS = "Additional epochs should be at least 1, not {additional}."
NOTHING_KEPT = (
    "Nothing of the checkpoint's {parent} fits {model} for {data}, as no tensor has the same name and shape: "
    "train {model} from the start."
)
NOTHING_TO_FREEZE = "Only the head would be kept, which is always trained: leave freeze off."
NO_HEAD = "All of {model} would be frozen, and nothing trained: leave freeze off."

# What is kept of a checkpoint, tensor by tensor
WHY_NOT_KEPT: dict[WhyNotKept, str] = {
    "absent": "the checkpoint has none of that name",
    "shape": "it has another shape",
    "classes": "it stands for other classes",
    "surplus": "the model has none of that name",
}
LAYER_COLUMNS = ("tensor", "what becomes of it", "in the checkpoint", "in the model")
NO_TENSOR = "–"
FATES: dict[Fate, str] = {"kept": "✓ kept", "new": "◆ new", "left behind": "○ left behind"}
FROZEN = "■ kept, frozen"
BECAUSE = "{fate}: {why}"

# The checkpoints of a run, where it lacks the one that was asked for
HAS_NO_CHECKPOINT = "Run {run} has no checkpoint of epoch {epoch}; it has none."
HAS_CHECKPOINTS = "Run {run} has no checkpoint of epoch {epoch}; it has those of epoch {epochs}."
HAS_MANY_CHECKPOINTS = (
    "Run {run} has no checkpoint of epoch {epoch}; it has {count:,}, from epoch {first:,} to {last:,}."
)

# Did resuming help
NO_EPOCH_ENDED = "No resumed run has ended an epoch yet."
ANSWERS_ONE = (
    "{lower} of {count} resumed run is below the loss of the checkpoint, {noise} within noise, {higher} above. "
    "Median change {change}; lowest loss now {loss:.3f} ({name}, from {parent} epoch {epoch})."
)
ANSWERS_MANY = (
    "{lower} of {count} resumed runs are below the loss of the checkpoint, {noise} within noise, {higher} above. "
    "Median change {change}; lowest loss now {loss:.3f} ({name}, from {parent} epoch {epoch})."
)
ONE_SEED_ONE = "{count} of them has one seed only, which can't tell help from luck."
ONE_SEED_MANY = "{count} of them have one seed only, which can't tell help from luck."
MEASURED_HERE_ONE = "{count} of them compares with a loss measured here: the stored one was measured otherwise."
MEASURED_HERE_MANY = "{count} of them compare with a loss measured here: the stored one was measured otherwise."
OTHER_DATASET_ONE = "{count} run that was resumed onto another dataset, model or source is not counted."
OTHER_DATASET_MANY = "{count} runs that were resumed onto another dataset, model or source are not counted."
NOT_COUNTED = ", not counted"  # after an answer
ENDED_WITHOUT_EPOCH = "Ended without an epoch: {count}."
STILL_TRAINING = "Still training: {count}."

# The same over the seeds of a group
SEEDS = "{count} seeds"
SOME_SEEDS = "{count} of {started} seeds"
SOME_SEEDS_ENDED = "{count} of {started} seeds ({ended})"
ENDED = "{count} {state}"
MEAN_OF = "mean of {seeds} with {changes}"
SEEDS_COUNT_ONCE = "Runs that differ in nothing but the seed count once, by their mean."
OVER_SEEDS: dict[Told, str] = {
    "too few": "Resumed from {parent} epoch {epoch}, {changes}: {mean} ± {interval} over {seeds}, "
    "too few to tell: seed luck alone moves {luck}%.",
    "within luck": "Resumed from {parent} epoch {epoch}, {changes}: {mean} ± {interval} over {seeds}; "
    "seed luck alone moves {luck}%, so one seed can't tell.",
    "beyond luck": "Resumed from {parent} epoch {epoch}, {changes}: {mean} ± {interval} over {seeds}; "
    "seed luck alone moves {luck}%.",
}

# Headings and labels of charts and tables
WHAT_ZERO_MEANS = {"threads": "automatic", "train_images": "all"}  # by setting
EPOCH = "epoch {epoch}"
TRANSFER = "transfer: {change}"
FROM = "from {origin}"
OTHER_SOURCE = "from another source"
PIXELS = "{pixels} pixels"
DELETED = "deleted"
ASSUMED_DATASET = "{dataset} (assumed)"
PARENT_DELETED = "its parent was deleted"
MEAN_OVER_SEEDS = "{mean} ± {interval:.4f} · {seeds}"

# The crash drill
NO_WORKER = "Run {run} does not train on this machine right now, so there is no worker to kill."
TWIN_NAME = "Twin of {name}"

# To train a run again
REPRODUCTION_NAME = "{name}, again"
NOT_TRAINED_HERE = "Run {run} was imported: what trained it is not known here, so it can't be trained again."
NOT_FINISHED = "Run {run} is {state}; only a finished run can be trained again and compared."
OTHER_IMAGES = "Run {run} was trained on {images}, and the images here are others: bring those back to train it again."
PARENT_GONE = "The checkpoint that run {run} was resumed from is gone or damaged, so it can't be trained again."
IDENTICAL = "identical: {epochs:,} epochs, and {tensors:,} tensors of {checkpoints:,} checkpoints, to the last bit"
NOT_COMPARED = "not compared to the last bit, as no checkpoint is left of both; {epochs:,} epochs measured the same"
DIFFERENT = "different from epoch {epoch:,} on: {reasons}"
ENVIRONMENT_ONE = "# Python {python}; {device} ({processor}), {count:,} thread; torch {torch}"
ENVIRONMENT_MANY = "# Python {python}; {device} ({processor}), {count:,} threads; torch {torch}"
THIS_APP = "# this app: {version}"
PACKAGES = "python -m pip install {packages}"
IMAGES = "# {images}: {sha256}"
SHA256_OF_IMAGES = "SHA-256 {sha256}"
ALWAYS_THE_SAME = "always the same ones"
ADDED_IMAGES = f"# added as this does: {COMMAND} data add PHOTOS --name {{name}}"
MODEL_SOURCE = "# FASHION_MODELS must list {model}, with a source of SHA-256 {sha256}"
MKL_ORDER = "export MKL_CBWR={mkl}"
TRAIN_COMMAND = f"{COMMAND} train {{flags}}"
RESUME_COMMAND = f"{COMMAND} resume RUN {{epoch}} {{flags}}  # RUN: what the command before made"
IMPORT_COMMAND = f"{COMMAND} import {{file}} {{flags}}  # its SHA-256: {{sha256}}"
GONE_COMMAND = "# here stands {run}, which is gone: without it this run can't be trained again"
UNKNOWN = "unknown"

# The lesson
LESSON_NOT_FINISHED = "The lesson of run {run} has not finished yet."
NOT_A_LESSON = "Run {run} is not part of a lesson; open the Lesson page to start one."
NOT_THE_TUTORIALS_MODEL = "The lesson needs a finished run of the tutorial's model; run {run} is not one."
TRAIN_TITLE = "Train, and save a checkpoint at each epoch"
TRAIN_NOTICE = "Two files appear in model_save, 0 and 1: one for each epoch, with the optimizer beside the weights."
WEIGHTS_TITLE = "Save and load only the weights"
WEIGHTS_NOTICE = "The file holds only numbers and their names, so you need the class to load them into."
MODEL_TITLE = "Save and load the whole model"
MODEL_NOTICE = (
    "No model = NeuralNetwork() is needed: the file names the class. Loading it calls what the file names, so today "
    "PyTorch wants to hear which classes are safe; the tutorial was written before that."
)
RESUME_TITLE = "Resume from checkpoint 0"
RESUME_NOTICE = (
    "Training continues where the checkpoint was saved. Order and randomness follow from seed and epoch here, so "
    "compare this Epoch 2 with that of step 1: digit for digit."
)
WEIGHTS_FILE = "weights only"
MODEL_FILE = "whole model"
CHECKPOINT_FILE = "checkpoint, SGD"
ADAM_FILE = "checkpoint, Adam"
LESSON_SIZES = (
    "Filled is what each file must hold, the weights; hollow is all else in it. SGD keeps no state, so its checkpoint "
    "is hardly larger; Adam keeps two numbers for each weight, so the same checkpoint is three times as large."
)
