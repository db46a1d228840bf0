"""What a person reads on the Overview page."""

from typing import Final

# The first screen, of a store without runs
PROMISE = "Train a PyTorch model, resume it, and see whether that helped."
WATCH_CAPTION = "The tutorial's network on synthetic garments: ten seconds, or half a minute on a slow processor."
TAKE_LESSON = "Take the lesson"
LESSON_CAPTION = "Three ways to save a model, and what resuming does to its loss."
COMPARISON_CHART = "Loss of each resumed run and of its checkpoint"
BRANCHES = "Five runs, resumed from two checkpoints of one run on Fashion-MNIST"
BRANCHES_CHART = "Test loss by epoch of a run and of five resumed runs"
SAMPLE_RUN = "MLP with Adam"
SAMPLE_RESUMED_RUN = "MLP with Adam, {changes}"

# The runs that are queued or train
RUNNING_NOW = "Running now"
WATCH = "Watch"
WHERE_WITH_TIME = "{where} · {duration} left"

# A large store that this server reads for the first time
READING = (
    "Reading the runs of this store for the first time, the newest first: {known:,} of {count:,} are listed so far."
)

# The filters and the order
SEARCH = "Search"
SEARCH_PLACEHOLDER = "name, tag, note or id"
FILTER_LABELS: Final = {"dataset": "Dataset", "state": "State", "model": "Model", "tag": "Tag"}
SORT_BY = "Sort by"
SORT_HELP = "In the table, a click on the title of one of these columns does it too."
NEWEST_FIRST = "newest first"
REVERSED = "Reversed"

# The table of runs
NAME_COLUMN = "name"
MENU_COLUMN = "go to"
CURVE_COLUMN = "test loss"
STATE_COLUMN = "state"
NUMBER_COLUMNS: Final = {"best_loss": "best loss", "accuracy": "accuracy"}
NUMBER_COLUMNS_BY_DATASET: Final = {"best_loss": "best loss, {dataset}", "accuracy": "accuracy, {dataset}"}
SEEDS_COLUMN = "last loss over seeds"
EPOCHS_COLUMN = "epochs"
DATASET_COLUMN = "dataset"
MODEL_COLUMN = "model"
AGE_COLUMN = "age"
PARENT_COLUMN = "resumed from"
TAGS_COLUMN = "tags"
CURVE_HELP = "After each epoch; each on a scale of its own"
BEST_LOSS_HELP = "Lowest test loss of an epoch"
ACCURACY_HELP = "Test accuracy of that epoch"
SEEDS_HELP = "Mean of the test losses after the last epoch, and its 95 % interval"
RUNS_TABLE = "All runs"
RESUME = "Resume"
PREDICT = "Predict"
CHECKPOINTS = "Checkpoints"

# What is chosen in it
CHOOSE = (
    "Choose a run, by keyboard with Shift+Space, to name it, tag it, add notes or delete it; choose several to compare "
    "them."
)
OPEN = "Open"
DELETE = "Delete…"

# One run
LABELS_DAMAGED = "The name, tags and notes can't be read. Save replaces them, and keeps the damaged file as {file}."
NAME = "Name"
TAGS = "Tags, separated by commas"
NOTES = "Notes"
SAVE = "Save"
LABELS_SAVED = "Saved the name, tags and notes."

# Several runs
SEVERAL_RUNS = "{count:,} runs"
TAG = "Tag…"
CHOOSE_NONE = "Choose none"
OVERLAY_CURVES = "Overlay curves"
COMPARE = "Compare"

# Their tags
TAG_RUNS = "Tag these runs"
ADD = "Add"
CHOOSE_OR_WRITE_TAGS = "choose or write tags"
REMOVE = "Remove"
CHOOSE_TAGS = "choose tags"
SAVE_TAGS = "Save tags"
RUNS_TAGGED = "Tagged {count:,} runs."

# Their curves
FIRST_RUNS = "The first {shown:,} of {count:,} runs"
CURVES_CHART = "Test losses on {dataset}"
NO_CURVE = "Without an epoch, and so without a curve: {runs}."
NO_EPOCH_YET = "None of these runs has ended an epoch yet."

# Their differences
DIFFERENCES_TABLE = "What differs between these runs"
SAME_LEFT_OUT = "Settings that are the same for all of them are left out."
STATE = "State"
DATASET = "Dataset"
MODEL = "Model"
EPOCHS_TRAINED = "Epochs trained"
BEST_LOSS = "Best test loss"
ACCURACY = "Test accuracy"
RESUMED_FROM = "Resumed from"
