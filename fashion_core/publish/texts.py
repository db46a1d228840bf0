"""What people read in a model card, in a report and when one can't be made."""

# what can't be done
BUSY = "Other reports are being made on this server: try again in a minute."
OTHER_IMAGES = (
    "Run {run} was trained on {images}; the images of that name here are others or gone, so the model can't be "
    "measured: add them again."
)
OUT_EXISTS = "{out} exists already and is not an empty folder; choose another name."
WRONG_LICENSE = (
    "A licence should be a name that the Hub knows, such as apache-2.0, mit or cc-by-4.0 "
    "(https://huggingface.co/docs/hub/repositories-licenses), not {given}."
)
TOO_MANY_RUNS = "A report is on at most {most} runs, not {count:,}: name fewer."
NOT_A_PAGE = "A report is an HTML file: give {out} a name that ends in .html."

# licences
LICENSED = "The licence of this model is `{license}`."
NOT_LICENSED = (
    "**No licence is given.** Without one, nobody but its owner may use, change or share this model: ask whoever "
    "published it."
)

# charts: what they show, and what is said of them to whoever can't see them
LOSSES = "Losses by optimizer step"
ACCURACY = "Test accuracy by epoch"
COMPARISON = "From loss_last to loss_now"
BRANCHES = "Where each run branched off"
LINEAGE = "The tree of runs"
OVERLAY = "Test loss by epoch on {dataset}"

# keys of charts, in plain words: those of the pages are Markdown
COMPARISON_KEY = "┃ before: loss_last · after: loss_now, ◀ lower, ● within ±2 SE, ▶ higher"
BRANCHES_KEY = "thin and grey: parents · ring: the checkpoint that was resumed"
LINEAGE_KEY = (
    "one lane per run · one dot per checkpoint, hollow once deleted · a curve starts at the checkpoint that was "
    "resumed · ring: lowest loss on its dataset"
)

# cells
NONE = "–"
RESUMED_FROM = "{parent}, epoch {epoch}"
PARENT_DELETED = "{parent}, epoch {epoch} (deleted)"
NOT_RESUMED = "not resumed"
IMPORTED = "imported from {file}"
