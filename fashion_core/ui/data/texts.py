"""The texts of bringing a dataset in."""

from fashion_core.config import COMMAND

ADD_YOUR_OWN = "Train on your own images"
WHAT_CAN_BE_ADDED = (
    "A zip with a folder for each class (with or without *train* and *test* above them), an .npz as MedMNIST and Keras "
    "have them, or a Parquet file of images and labels. Pictures of another size are made to fit. "
    f"`{COMMAND} data add --help` takes folders of any size."
)
FILE = "File"
PATH = "Or a file or folder under FASHION_DATA"
PATH_HINT = "such as incoming/shoes"
NAME = "Name"
NAME_HELP = "Small letters, digits and hyphens: it stands in commands and addresses."
LABEL = "Label"
LABEL_HINT = "what people read; the name if empty"
SIZE = "Pixels a side"
SIZE_HINT = "automatic"
COLOURS = "Colours"
COLOURS_OF = {"automatic": None, "grey": 1, "colour": 3}
FIT = "Other shapes are"
FITS = {"pad": "padded", "crop": "cropped", "stretch": "stretched"}
PREVIEW = "Preview"
ADD = "Add"
PREVIEW_FIRST = "Look at the preview first: it shows what would be added, and keeps nothing."
READING = "Reading…"
READ = "{done:,} of {total:,} images"
NO_SOURCE = "Choose a file, or name one under FASHION_DATA."
NOT_UNDER_DATA = "{path} is not under FASHION_DATA: name a file or folder in it."
ADDED = (
    "{label} was added: {train:,} training and {test:,} test images. It is chosen as *Dataset* above, and stands in "
    "{folder}."
)
ADDED_DATASETS = "Datasets that were added"
REMOVE = "Remove…"
ASK_REMOVE = "Remove this dataset?"
REMOVES = "This removes **{label}** and all its images for good."
USED_BY_ONE = (
    "{count} run was trained on it: it stays, and can't be continued, resumed or measured without these images."
)
USED_BY_MANY = (
    "{count:,} runs were trained on it: they stay, and can't be continued, resumed or measured without these images."
)
SURE_TO_REMOVE = "Remove it even though runs were trained on it"
REMOVE_IT = "Remove"
REMOVED = "Removed {name}."
COUNTS = "{words}: {train:,} training and {test:,} test images"
COUNT_COLUMNS = ("class", "training", "test")
COUNTS_TABLE = "Images of each class"
NAMED = " ({names})"
