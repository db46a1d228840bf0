"""What a person reads on the pages, apart from the texts of the pieces that they are built of."""

from fashion_core.config import COMMAND

# The menu of pages; also their titles, and the links to them
OVERVIEW = "Overview"
TRAIN = "Train"
CHECKPOINTS = "Checkpoints"
RESUME = "Resume"
PREDICT = "Predict"
LESSON = "Lesson"
BROWSER_TITLE = "{page} · Fashion Core"

# On several pages
SET_UP_RUN = "Set up a run"
TAKE_LESSON = "Take the lesson"
RUN = "Run"
ALL_RUNS = "All runs"
START_ONE = "Start"
START_MANY = "Start {count:,} runs"
STARTING = "Starting…"
LOOK_INSIDE = "Look inside"
IN_PLAIN_PYTORCH = "In plain PyTorch"

# Overview
APP_NAME = "Fashion Core"
NO_RUN_PASSES = "No run passes these filters."
RUNS_SHOWN = "{shown:,} of {count:,} runs"

# Train: the form
PRESET = "Preset"
AS_RUN = "As {name}"
PRESET_INSTEAD = "The form begins with a preset instead."
NOT_RESUMED = (
    "That run was resumed from a checkpoint. This form starts a run from fresh weights, for {epochs:,} epochs in all; "
    "the Resume page starts one from a checkpoint."
)
ON_SEVERAL_HOSTS = "Continue on several hosts"
ON_EACH_HOST = (
    "Run this on each host, with the number of hosts, of processes on each, and the name of one of the hosts filled in."
)
THIS_MACHINE = "This machine: what it can train on"
LOOKING = "Looking…"
MACHINE_COLUMNS = ["device", "processor", "threads", "taken by auto", "has bf16 instructions"]
SAME_IN_PYTORCH = "The same in plain PyTorch"

# Train: a run
SET_UP_ANOTHER_RUN = "Set up another run"
CRASH_DRILL = "Crash drill"
STOP = "Stop"
ROWS_LOST_ONE = "The charts lack {count:,} row of metrics.jsonl, which can't be read."
ROWS_LOST_MANY = "The charts lack {count:,} rows of metrics.jsonl, which can't be read."
NO_CHARTS_YET = "The charts appear with the first batch."
NO_CHARTS = "There are no charts: metrics.jsonl holds no batch of this run."
LOSSES_CHART = "Losses of this run by optimizer step"
ACCURACY_CHART = "Test accuracy of this run by epoch"
LOG = "Log"
EMPTY_LOG = "Only warnings and errors are printed here: it stays empty while all goes well."
SETTINGS = "Settings"
START_ANOTHER = "Start another like this"
AGAIN_ELSEWHERE = "Train this again elsewhere"
COMPARE_HERE = f"Here, *{COMMAND} reproduce {{run}}* trains it again and says whether every bit is the same."

# Checkpoints: its tabs
CHECKPOINTS_CAPTION = "Every saved file: what is in it, how large it is, and what it is good for."
SAVED_FILES = "Saved files"
IMPORT = "Import"
VERIFY_AND_TIDY_UP = "Verify and tidy up"

# Checkpoints: the filters
ALL_FILES_INSTEAD = "The files of all runs are listed."
EVERY_EPOCH_INSTEAD = "Every epoch is listed."
FORMAT = "Format"
EPOCH = "Epoch"
ANY_EPOCH = "any"
BEST_OF_EACH_RUN = "Best of each run"
NO_FILE_PASSES = "No saved file passes these filters."

# Checkpoints: the table
FILE_COLUMN = "file"
CONDITION_COLUMN = "condition"
RUN_COLUMN = "run"
FORMAT_COLUMN = "format"
EPOCH_COLUMN = "epoch"
LOSS_COLUMN = "loss"
ACCURACY_COLUMN = "accuracy"
BEST_COLUMN = "best"
RESUMED_COLUMN = "resumed"
SIZE_COLUMN = "size"
AGE_COLUMN = "age"
DAMAGED_CELL = "⚠ damaged"
BEST_CELL = "★ best"
CONDITION_HELP = "Select the row to read what is wrong"
LOSS_HELP = "Mean cross-entropy over the test images"
ACCURACY_HELP = "Of the test images"
BEST_HELP = "The checkpoint with the lowest loss of its run"
RESUMED_HELP = "How many runs were resumed from it"
FILES_TABLE = "All saved files"
FILES_ONE = "{count:,} file, {size}"
FILES_MANY = "{count:,} files, {size}"
FILES_SHOWN = "{shown:,} of {count:,} files, {size}"
SELECT_ROW = "Select a row, by keyboard with Shift+Space, to see what is in a file and what you can do with it."

# Checkpoints: one file
FIVE_WAYS = "Five ways"
COMPARE = "Compare"
DOWNLOAD = "Download"
OPEN_RUN = "Open run"
DELETE = "Delete…"
TRANSFERRED = "{name} (transfer)"
RESUMED_FROM_FILE = "Resumed from it: {names}"
DAMAGED = "Damaged: {reason}."

# Checkpoints: tidying up
VERIFY_ALL = "Verify all"
VERIFY_RUN = "Verify this run"
KEEP = "Keep"
SELECT_RUN_TO_KEEP = "Select a run above to choose which of its checkpoints to keep."

# Resume
RESUME_CAPTION = "Resume from any checkpoint as a new run, and compare loss_now with loss_last."
LINEAGE = "Lineage"
ANOTHER_RUN_INSTEAD = "Another run is used instead."
NO_CHECKPOINT_YET = "No checkpoint yet: this run saves one at the end of each epoch."
NEWEST_EPOCH_INSTEAD = "The newest one is used instead."
LOSS_UNKNOWN = "The loss of this checkpoint is not known: it was trained elsewhere."
CLICK_CHECKPOINT = "Click the checkpoint to resume from, or select its epoch below."
LOSS_CHART = "Test loss of this run by epoch"
CHECKPOINT = "Checkpoint"
CHECKPOINT_OPTION = "epoch {epoch}"
ADDITIONAL_EPOCHS = "Additional epochs"
ADDITIONAL_EPOCHS_HELP = "Use {planned} to finish the run as originally planned."
SEVERAL = "From several checkpoints, or with several values"
SETTING_TO_VARY = "Setting to vary"
NO_SETTING = "none"
VALUES_TO_TRY = "Values, separated by commas"

# Predict
PREDICT_CAPTION = "Use any saved model on test images, on your own images, and beside every other checkpoint."
MODEL_FILE = "{model} · {format} · epoch {epoch:,} · loss {loss} · pixels {pixels}"
OTHER_IMAGES = (
    "This run was trained and tested on other images than those here: the loss above is of its own test images, "
    "everything below of those here."
)
TEST_IMAGES = "Test images"
YOUR_IMAGES = "Your images"
CHECKPOINT_HISTORY = "Checkpoint history"
EVALUATION = "Evaluation"
TWO_MODELS = "Two models"

# Lesson: before it
LESSON_TITLE = "The lesson"
LESSON_CAPTION = "Save, load and use a model in three ways, then resume from a checkpoint: the tutorial, run for real."
LESSON_STEPS = (
    "Two epochs of the tutorial's network, its weights saved and loaded, the whole model saved and loaded, and one "
    "more epoch resumed from checkpoint 0: a minute on synthetic garments, a few on Fashion-MNIST."
)
LESSON_PIXELS = (
    "Raw pixels, from 0 to 255, are what the tutorial's author trained on: two epochs at its learning rate learn "
    "well from those, and far less from unit pixels, from 0 to 1, with which Train begins."
)
RUN_LESSON = "Run the lesson"

# Lesson: its steps
STEP = "Step {step} of 5"
STEP_WITH_TIME = "Step {step} of 5 · about {duration} of training left"
STEPS_OF_FILES = "Steps 2 and 3 of 5"
STEP_HEADER = "{number}. {title}"
WATCH = "Watch"
MEASURED_HERE = "What this app measured when it ran these lines:"
WAITS_FOR_OPERATOR = "The last step starts once an operator opens this page."
TRY_AGAIN = "Try again"
RUNNING_CODE = "Running the tutorial's code…"
FILE_SIZES = "**The sizes of these files**, and of the same checkpoint with Adam in place of SGD:"
SIZES_CHART = "Size of the same model in four files"
DID_IT_HELP = "5. Did it help?"
MEASURING = "Measuring on the training images too…"
TEST_IMAGES_COLUMN = "test images"
TRAINING_IMAGES_COLUMN = "training images"
TRAINING_IMAGES_NOTE = (
    "The tutorial's author measured both losses on the training images. The model has learned from those, so only "
    "the loss on the test images shows how it does on images that it has never seen."
)
RUN_LESSON_AGAIN = "Run it again"
