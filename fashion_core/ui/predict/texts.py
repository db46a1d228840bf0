"""What people read on the Predict page."""

# Which file is used
INSTEAD = "Another file is used instead."
RUN = "Run"
FILE = "File"
SECOND_RUN = "Second run"
SECOND_FILE = "Second file"
NO_SAVED_FILE = "Run {run} has no saved file."

# While a model runs
READING_TEST_IMAGES = "Reading the test images…"
RUNNING_MODEL = "Running the model on all test images…"
RUNNING_CHECKPOINTS = "Running every checkpoint…"
CHECKPOINTS_RUN = "Running every checkpoint… {done:,} of {total:,}"
PREPARING_IMAGE = "Preparing the image…"

# Test images
ORDER = "Show"
ORDER_LABELS = {  # by their ids
    "all": "all",
    "right": "right",
    "wrong": "wrong",
    "most confident mistakes": "most confident mistakes",
    "least sure": "least sure",
}
TRUE_CLASS = "True class"
ANY_CLASS = "any class"
TEST_IMAGE = "Test image"
NO_TEST_IMAGE = "none"
NOTHING_PASSES = "No test image passes these filters."
CHOOSE_IMAGE = "Click an image, or enter its number, to see what the model predicts for it."
PREDICTIONS_OF_TEST_IMAGES = "Predictions of all test images as CSV"
NO_IMAGE = "There is no such image."
IMAGES_ONE = "{count:,} image"
IMAGES_MANY = "{count:,} images"
IMAGES_ON_PAGES = "{count:,} images, page {page:,} of {pages:,}"
GALLERY = "Test images with what the model predicts"

# One image
CHOOSE_ABOVE = "Choose an image above."
TEST_IMAGE_AND_CLASS = "Test image {index:,} · {true_class}"
CHECKPOINT_HISTORY = "Checkpoint history"
THIS_MODEL = "this model"
CHOSEN_IMAGE = "The chosen image"
PROBABILITIES = "The probability of each class"

# Your images
SOURCE = "From"
UPLOAD = "Upload"
CAMERA = "Camera"
UPLOAD_IMAGES = "Images: PNG, JPEG, WebP, GIF, BMP or TIFF"
PHOTOGRAPH = "Take a picture; a garment best on a plain background"
MADE_ALIKE = "Each image is made to look like those of the training set: greyscale, bright on black, 28 × 28."
MADE_TO_FIT = "Each image is made to fit those of {dataset}."
PREDICTIONS = "Predictions as CSV"
PREDICTED = "**{name}** · {predicted}, {probability:.1%}"
PREPARED_IMAGE = "{name}, as the model sees it"
HOW_PREPARED = "How it was made to look like the training set"

# Checkpoint history
UNSURE_INSTEAD = "The image that the model is least sure about is used instead."
TEST_IMAGE_NUMBER = "Test image {index}"
NO_CHECKPOINT = "There is no checkpoint that can be used."
HISTORY = "The probability of each class by epoch, one panel per run"
MORE_RUNS_ONE = "Of the same tree, and not shown: {count:,} more run. Choose it above."
MORE_RUNS_MANY = "Of the same tree, and not shown: {count:,} more runs. Choose one of them above."
LEFT_OUT_ONE = "Left out: epoch {epoch:,} of {run}: {problem}"
LEFT_OUT_MANY = "Left out: epoch {epoch:,} of {run}: {problem} And {others:,} more."
FORGOTTEN = "Learned, then forgotten"
TOO_FEW_CHECKPOINTS = "Forgetting shows from the second checkpoint of a run on."
RUN_CHECKPOINTS = "Run all checkpoints of this run on all test images"

# Evaluation
CONFUSION_MATRIX = "Confusion matrix"
CONFUSIONS = "True class by predicted class"
CELL = "Cell"
CELL_HINT = "none; click one in the matrix, or choose it here"
CELL_OF = "{true_class} predicted as {predicted}"
WRONG_CELL = "In the address, cell should be two classes such as 6-0, not {given}."
EACH_CLASS = "Each class"
CLASS_SCORES = "Precision and recall of each class"
CALIBRATION = "Calibration"
RELIABILITY = "Accuracy by confidence"
CONFIDENT_MISTAKES = "Most confident mistakes"

# Two models
NO_OTHER_MODEL = "There is no other model for this dataset yet."
RESUME = "Resume this run"
DIFFERENCES = "Where they differ"
BELOW_IMAGES = "Below each image: first {first}, then {second}."
SAME_AGAIN = "{name} again"
