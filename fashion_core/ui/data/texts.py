"""The texts of bringing a dataset in."""

ADD_YOUR_OWN = "Train on your own images"
WHAT_CAN_BE_ADDED = (
    "A zip with a folder for each class (with or without *train* and *test* above them), an .npz as MedMNIST and Keras "
    "have them, or a Parquet file of images and labels. Pictures of another size are made to fit. "
    "`python -m fashion_core data add --help` takes folders of any size."
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
ADDED = "{label} was added: {train:,} training and {test:,} test images."
COUNTS = "{words}: {train:,} training and {test:,} test images"
COUNT_COLUMNS = ("class", "training", "test")
COUNTS_TABLE = "Images of each class"
NAMED = " ({names})"
