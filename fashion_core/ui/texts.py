"""What people read in the parts that all pages share, the comparison, the resumed runs and the login."""

# the address
FIRST_SHOWN_INSTEAD = "It shows {first!r} instead."
OFF_INSTEAD = "It is taken as off."
ALL_SHOWN_INSTEAD = "All are shown instead."
PAGE_SHOWN_INSTEAD = "Page {page:,} is shown instead."
CHANGES_NOTHING = "That changes nothing here."
UNKNOWN_IN_ADDRESS = "The address says {said}, which this page does not know."
NO_WHOLE_NUMBER = "The address says {name}={given}, which is no whole number from {least:,} to {most:,}."
CLEAR_FILTERS = "Clear filters"

# time
NO_DURATION = "–"
HOURS = "{hours} h {minutes} min"
MINUTES = "{minutes} min {seconds} s"
SECONDS = "{seconds} s"
DAYS_AGO_ONE = "{count:,} day ago"
DAYS_AGO_MANY = "{count:,} days ago"
HOURS_AGO_ONE = "{count:,} hour ago"
HOURS_AGO_MANY = "{count:,} hours ago"
MINUTES_AGO_ONE = "{count:,} minute ago"
MINUTES_AGO_MANY = "{count:,} minutes ago"
JUST_NOW = "just now"

# the model
MODEL = "The model: print(model) and its layers"
BUILDING_MODEL = "Building the model…"
MODEL_SOURCE = "Its source, as it was when the run was made"
ASKING_MODELS = "Looking at your own models…"
NOT_WHOLE = "Its runs save weights and checkpoints, but no whole model: {problem}."
PARAMETERS_COLUMN = "parameters"
LAYER_COLUMNS = ("layer", "class", "output of one image", PARAMETERS_COLUMN)
PARAMETERS = "{count:,} parameters"

# the login
APP = "Fashion Core"
LOG_IN = "Log in"
LOG_IN_WITH = "Log in with {provider}"
LOG_OUT = "Log out"
ROLES_WITHOUT_LOGIN = "The secrets have [access] and no [auth]: add how people log in, or remove [access]."
UNREADABLE_SECRETS = "The secrets can't be read: {error}."
WRONG_SECRETS = "The secrets can't be read: fix secrets.toml; the server's log says what is wrong with it."

# the settings of a run
MORE_SETTINGS = "More settings"
SEEDS = "Repeat: number of seeds"
SEEDS_HELP = "As many runs, with this seed and the next ones: their mean and its 95 % interval tell help from luck."
SETTING_COLUMN = "setting"
VALUE_COLUMN = "value"
LOOKING_AT_MACHINE = "Looking at this machine…"
DATASET_MISSING = (
    "Fashion-MNIST is not on this machine yet. Download it (30 MB), or copy its four .gz files into {folder}."
)
DOWNLOAD_DATASET = "Download Fashion-MNIST"
DOWNLOADING = "Downloading…"
DOWNLOADED_DATASET = "Downloaded Fashion-MNIST."

# a run, and where it is
CHECKPOINTS = "Checkpoints"
RESUME = "Resume"
PREDICT = "Predict"
CONTINUE = "Continue"
DIVERGES_AGAIN = "Continue repeats the same steps, and so diverges again: resume with a smaller learning rate instead."
DIVERGES_AGAIN_FROM_BEGINNING = (
    "Continue repeats the same steps, and so diverges again: start another like this with a smaller learning rate."
)
RESUME_FROM_THE_LAST = "Resume from the last whole checkpoint"
DAMAGED_RECORD = "Damaged file {file}: {reason}."
DAMAGED_FILES = "Damaged: {names}. Verify on the Checkpoints page says what is wrong."
NO_SAVED_FILE = "No saved file yet. Each run saves a checkpoint at the end of each epoch."
NO_FILE_OF_RUN = "Run {run} has no saved file yet. {instead}"
NEWEST_RUNS = (
    "This lists the newest {shown:,} of {count:,} runs. To find an older one, search on Overview; the menu of its row "
    "leads here."
)
NO_RUNS = "No runs yet"
WELCOME = (
    "Train the tutorial's network on synthetic garments: nothing to download, and in about ten seconds "
    "there is a run to look at, with a checkpoint for each epoch."
)
WATCH_IT_TRAIN = "Watch it train"
FIRST_RUN = "First run"
RUNS_AHEAD_ONE = "{count:,} run ahead"
RUNS_AHEAD_MANY = "{count:,} runs ahead"
NEXT_TO_START = "next to start"
WAITS_IN_ENGINE = "waiting in {engine} as job {job}"
WHAT_ENGINE_SAYS = "{where}: {words}"
WAITS_FOR_LAUNCHER = "waiting for a dashboard that was started with FASHION_LAUNCHER={launcher}"
NOT_HANDED_OVER = "waiting to be handed over"
ENGINE_SILENT = "{where}; {problem}"
IMPORTED = "imported from {name} ({format}); trained elsewhere"
DONE = "{epoch} done"
LOST = "its process has ended; Continue starts from the newest undamaged checkpoint"
AT_BATCH = "{epoch}, batch {batch:,} of {batches:,}"
AT_BATCH_IN_PHASE = "{epoch}, batch {batch:,} of {batches:,}, {phase}"
RESTARTED_ONE = "{where}; restarted once, as one of its processes had died"
RESTARTED_MANY = "{where}; restarted {count:,} times, as one of its processes had died"
SUSPENDED = "{where}; its process is suspended: kill -CONT {pid} on this machine resumes it"
SILENT = "{where}; no update for {duration}"

# what will be resumed
CHECKING = "Checking the checkpoint and this machine…"
VERDICT_COLUMNS = ("from", "trains", "verdict", "why")
RUNS_TO_BE_MADE = "The runs to be made"
EPOCHS_ONE = "epoch {first:,}"
EPOCHS_MANY = "epochs {first:,} to {last:,}"
TRAINS_EPOCHS_ONE = "trains epoch {first:,} in a new run; the parent is not changed"
TRAINS_EPOCHS_MANY = "trains epochs {first:,} to {last:,} in a new run; the parent is not changed"
OTHER_DATASET = "This resumes on images other than those the parent was trained on."
FREEZE = "Freeze the layers that are kept"
FREEZE_HELP = (
    "All but the head, which gives the classes: they stay as they are in the checkpoint, the statistics of batch norm "
    "too. Where the run had frozen layers, off trains them as well."
)
LAYERS = "Layers: {told}"
LAYERS_TABLE = "What becomes of each tensor of the checkpoint"
PLAIN_PYTORCH = "The same in plain PyTorch"
PLAIN_PYTORCH_DIFFERS = (
    "Its DataLoader shuffles the images differently, so its losses are close to the app's, not equal. "
    "The synthetic garments are drawn by this package, so run it where fashion_core can be imported."
)

# the runs of one click
NO_GROUP = "No run belongs to the group {group}: they have been deleted, or the address is wrong."
CHOOSE_CHECKPOINT = "Choose a checkpoint"
HELPED_VIEW, HELPED = "Helped", "Did resuming help?"  # the first one in addresses
RESUME_MORE = "Resume more runs"
RUNS_ENDED_ONE = "{count} of {runs} runs has ended"
RUNS_ENDED_MANY = "{count} of {runs} runs have ended"
CANCEL_ALL = "Cancel all"

# where a resumed run comes from
RESUMED_FROM = "resumed from **{name}**"
PARENT_EPOCH = "epoch {epoch}"
PARENT_EPOCH_DELETED = "epoch {epoch}; its run has been deleted"
IDENTICAL = "Identical to the uninterrupted run up to epoch {epoch}, bit for bit: every loss."
IDENTICAL_WITH_TENSORS = (
    "Identical to the uninterrupted run up to epoch {epoch}, bit for bit: every loss, "
    "and all {tensors} tensors of the newest checkpoint that both have."
)
DIFFERENT = "Differs from the uninterrupted run from epoch {epoch} on: {reasons}."
DIFFERENT_WITHOUT_REASON = (
    "Differs from the uninterrupted run from epoch {epoch} on: no recorded difference explains it."
)

# whether resuming helped
NOTHING_RESUMED = "No run has been resumed yet. Choose a checkpoint to resume from."
LOSS_NOW = "loss_now is"
FIRST_EPOCH = "first epoch"
LATEST_EPOCH = "latest"
SORT = "Sort by"
SORT_LABELS = {"lineage": "lineage", "change": "change", "loss now": "loss now", "newest": "newest"}
PARENTS = "Resumed from"
ANY_PARENT = "any run"
NO_EPOCH_ENDED = "No resumed run has ended its first epoch yet."
KEY_WHILE_TRAINING = "{key} … training"
FOCUS = "Focus a run"
NO_FOCUS = "none; click one in a chart, or choose it here"
FOCUS_OPTION = "{name} · {parent} epoch {epoch}"
FOCUS_MISSING = "The run in focus, {run}, is not among these."
FOCUSED = "{loss_last:.4f} → **{loss_now:.4f}** ({change}, {answer}; ±{noise:.4f})"
SHOW_ALL = "Show all"
LOSSES_CHART = "From `loss_last` to `loss_now`"  # short, because the chart's toolbar is right of it
NOT_COUNTED = "Grey: resumed onto another dataset or model, from the loss right after loading; not counted."
LOSSES_CHART_ALT = "Loss of each resumed run and of its checkpoint"
BRANCHES_CHART = "Where each run branched off"
BRANCHES_CHART_ALT = "Test loss by epoch of parents and resumed runs"
OPEN_RUN = "Open"
PARENT_DELETED = "its parent {name} has been deleted"
ALL_NUMBERS = "All numbers"
NUMBER_COLUMNS = {  # what a column is called, from left to right
    "name": "run",
    "parent_name": "resumed from",
    "epoch": "epoch",
    "answer": "answer",
    "loss_last": "loss_last, stored",
    "loss_check": "right after loading",
    "loss_now_first": "loss_now, first epoch",
    "loss_now_latest": "loss_now, latest",
    "difference": "mean change",
    "standard_error": "its standard error",
    "overrides": "changes",
    "verdict": "verdict",
    "state": "state",
}
RESUMED_RUNS = "Resumed runs on {dataset}"
CSV = "CSV"

# the tree of runs
LINEAGE_PAGE = "{shown:,} of {count:,} runs: one page of trees, newest first"
LINEAGE_CHART_ALT = "The tree of runs and checkpoints"
NO_CHECKPOINT = "Epoch {epoch} of {run} no longer has a checkpoint."

# A report to download
REPORT = "Make report"
REPORT_ABOUT = "One HTML file with charts, tables and settings: it opens without a network, and prints well."
REPORT_FIRST = "It is on the first {most} of these {count:,} runs: filter them to report on others."
REPORT_MAKING = "Making the report…"
REPORT_DOWNLOAD = "Download report"
