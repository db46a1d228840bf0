"""What people read about saved files: what is in one, what it can be turned into, imports, and what can be deleted."""

from fashion_core.config import COMMAND, PIXEL_MEAN, PIXEL_STD
from fashion_core.runs.schema import VerdictKind

# which file
WRONG_EPOCH = "An epoch is a whole number such as 3, not {given!r}: fix the address."
BEST_FILE = "{name} ★ best"
LOOKING_INSIDE = "Looking inside…"

# what it is good for
GOOD_FOR: dict[VerdictKind, str] = {
    "exact": "It has all that an exact resume needs: weights, optimizer, epoch, settings and seed. On the same kind of "
    "machine, with as many threads, training continues bit for bit.",
    "approximate": "Resuming works, but not bit for bit.",
    "weights only": "Good for using the model, or for training with a fresh optimizer.",
    "not usable": "It can't be loaded here, so nothing can be resumed from it.",
    "damaged": "The file has changed since it was saved, so you can't resume from it. It stays until you delete it.",
}
MISSING = "Not in it: {missing}."
REFUSED_GLOBALS = "Pickle globals that no saved weights need:"

# what is in it
SIZE = "Size"
PARAMETERS = "Parameters"
EPOCH = "Epoch"
LOSS = "Loss"
OPTIMIZER = "Optimizer"
UNKNOWN = "–"
NO_OPTIMIZER = "none"
CHECKSUMMED = "{container} container, checksummed"
NOT_CHECKSUMMED = "{container} container, not checksummed: a changed bit goes unnoticed"
TRAINED_ON_PIXELS = "trained on {dataset}, pixels {pixels}"
DIGEST = "SHA-256 {digest}"
NO_DIGEST = "SHA-256 not computed, because the file is large"
LAYERS = "Bytes by layer"
LAYERS_KEY = "filled: weights · hollow: optimizer state"
NO_OPTIMIZER_STATE = "This file holds no optimizer state for any layer."
LAYERS_CHART_AXIS = "size in this file"
LAYERS_CHART_ALT = "Bytes of each layer in this file"
TENSORS = "Tensors"
OPTIMIZER_TENSORS = "Tensors of the optimizer"
NOT_FINITE = "{tensors}: not all numbers are finite."
HISTOGRAM_HELP = "How often each value occurs, from low to high"
OPTIMIZER_STATE = "Optimizer state: {optimizer}"
OPTIMIZER_WITHOUT_STATE = "It keeps nothing for any parameter: SGD without momentum has no state."
OPTIMIZER_SIZE_ONE = "{count:,} tensor, {size}: its state for each parameter"
OPTIMIZER_SIZE_MANY = "{count:,} tensors, {size}: its state for each parameter"
KEY_TREE = "The raw key tree"
GLOBALS = "Pickle globals"

# how far each layer moved
NO_OTHER_FILE = "There is no other file of this model to compare with this one."
OTHER_FILE_INSTEAD = "Another file is used instead."
COMPARING = "Comparing…"
OTHER_RUN = "Compare with"
OTHER_FILE = "File of that run"
FILE_OF_RUN = "{file} of {run}"
WEIGHT_CHANGE_CHART_ALT = "How far each tensor moved from the other file to this one"

# five formats
NO_CHECKPOINT = "Other formats are made from a checkpoint, and no checkpoint holds this model."
MEASURING = "Saving and loading it in five formats, three times each…"
FORMATS_KEY = "filled: the weights, which every format includes · hollow: everything else"
FORMATS_CHART_AXIS = "size"
FORMATS_CHART_ALT = "Size of the same model in five formats"
FORMATS_TABLE_ALT = "Five formats"
MILLISECONDS_HELP = "Median of 3 timings on this server"
OUTPUTS = {
    "test images": "Outputs: the logits of {images} test images, compared with those of the checkpoint.",
    "random pixels": "Outputs: the logits of {images} images of random pixels, because the dataset is missing, "
    "compared with those of the checkpoint.",
}
MEASURE_AGAIN = "Measure again"

# scripts and the download
NO_LOADING_SCRIPT = "No known model fits this file, so there is no script that loads it."
NO_USING_SCRIPT = "No known model fits this file, so there is no script that uses it."
LOAD = "Load"
AS_STORED = "as it is stored"
DOWNLOADED_NAME = "Under the name that it has once you have downloaded it here."
USE_FOR = "For"
ONE_IMAGE = "one image"
ALL_IMAGES = "all test images"
PREPARING_IMPORTED = "All of it is PyTorch but how images are prepared: that is imported from this package."
IMAGES_IMPORTED = "All of it is PyTorch but the images: they are read, or drawn, by this package."
DAMAGED_DOWNLOAD = "It is damaged, so it can't be downloaded: {reason}."
DOWNLOAD = "Download"
MAKING_FILE = "Making the file…"

# import
UPLOAD = (
    "A state_dict, a checkpoint, a whole model, a Lightning checkpoint, safetensors or a .pt2 program, "
    f"of one of the three models here, up to 160 MB; `{COMMAND} import FILE` takes larger ones. "
    "Nothing in it is executed."
)
FILE = "File"
WEIGHTS = "Weights"
WEIGHTS_HELP = "The keys that lead to each set of weights in the file"
AS_FILE_SAYS = "as the file says"
NOT_KNOWN = "not known"
TRAINED_ON = "Trained on"
TRAINED_ON_HELP = "The dataset it will be tested on; synthetic garments if unknown"
PIXELS = "Pixels"
PIXELS_HELP = "How the pixels were scaled; 0 to 1 if unknown"
SCALINGS = {"unit": "from 0 to 1", "raw": "from 0 to 255", "standard": f"mean {PIXEL_MEAN:.4f}, std {PIXEL_STD:.4f}"}
IMPORT = "Import"
IMPORTING = "Importing…"

# verify
VERIFY = "Verify"
VERIFY_EXPLAINED = (
    "Reads saved files again and compares each with the SHA-256 that was recorded when it was saved. A damaged "
    "file is marked in the lists and can't be resumed from; it is never deleted automatically."
)
READING = "Reading…"
FILES_READ = "{done:,} of {total:,} files · {left} left"
AS_SAVED_ONE = "The file is exactly what was saved."
AS_SAVED_MANY = "All {count:,} files are exactly what was saved."
DAMAGED_ONE = "{count:,} of {files:,} files is damaged."
DAMAGED_MANY = "{count:,} of {files:,} files are damaged."
DAMAGED_COLUMNS = ("file", "what is wrong", "run", "id")
DAMAGED_TABLE_ALT = "Damaged files"

# delete
ASK_DELETE_FILE = "Delete this file?"
ASK_DELETE_RUNS_ONE = "Delete this run?"
ASK_DELETE_RUNS_MANY = "Delete these {count:,} runs?"
DELETES_FILE = "This deletes `{file}` of {runs} for good."
DELETES_RUNS_ONE = "This deletes {runs} and all its checkpoints for good."
DELETES_RUNS_MANY = "This deletes these runs and all their checkpoints for good: {runs}."
RESUMED_FROM_FILE_ONE = "Resumed from it: {runs}. That run stays usable, but its first epoch can no longer be checked."
RESUMED_FROM_FILE_MANY = (
    "Resumed from it: {runs}. These runs stay usable, but their first epoch can no longer be checked."
)
RESUMED_FROM_RUN_ONE = "Resumed from what is deleted: {runs}. That run stays usable, but loses its parent."
RESUMED_FROM_RUN_MANY = "Resumed from what is deleted: {runs}. These runs stay usable, but lose their parent."
SURE_TO_DELETE_RESUMED_ONE = "Delete it even though other runs were resumed from it"
SURE_TO_DELETE_RESUMED_MANY = "Delete them even though other runs were resumed from them"
DELETE = "Delete"
DELETED_FILE = "Deleted the file."
DELETED_RUNS_ONE = "Deleted the run."
DELETED_RUNS_MANY = "Deleted {count:,} runs."

# keep
KEEP = "Keep"
CHECKPOINTS_TO_KEEP = "Checkpoints to keep"
KEEP_ALL = "All of them"
KEEP_LAST_AND_BEST = "The last ones and the best"
MANY_TO_KEEP = "How many to keep"
NOTHING_TO_DELETE = "Nothing to delete."
WOULD_BE_DELETED = (
    "**{count:,} of {saved:,} checkpoints would be deleted**, {size}. "
    "Never one that another run was resumed from, and never a damaged one."
)
CHECKPOINTS_TABLE_ALT = "Checkpoints to delete"
SURE_TO_DELETE_ONE = "Delete it for good"
SURE_TO_DELETE_MANY = "Delete them for good"
DELETE_CHECKPOINTS_ONE = "Delete this checkpoint"
DELETE_CHECKPOINTS_MANY = "Delete these {count:,} checkpoints"
DELETED_CHECKPOINTS_ONE = "Deleted {count:,} checkpoint."
DELETED_CHECKPOINTS_MANY = "Deleted {count:,} checkpoints."
