"""The texts of bundling runs, and of importing them from a bundle."""

from fashion_core.config import COMMAND

# Bundle
BUNDLE = "Bundle…"
BUNDLE_RUNS = "Bundle these runs"
ONE_RUN = "**{count} run** with its checkpoints, losses, name, notes and tags"
MANY_RUNS = "**{count:,} runs** with their checkpoints, losses, names, notes and tags"
WITH_ANCESTORS_ONE = "{runs}, of which {count} because others go back to it · {size}"
WITH_ANCESTORS_MANY = "{runs}, of which {count:,} because others go back to them · {size}"
WITHOUT_ANCESTORS = "{runs} · {size}"
TRAINING = "A run that still trains goes along as it is now, and is a stopped one there: it can continue there."
UNBUNDLE_THERE = (
    f"In the other store: *Import runs from a bundle* on its Overview, or *{COMMAND} unbundle FILE*. Images do not "
    "go along."
)
TOO_LARGE = "That is more than a browser should download at once ({most}). On the server:"
MAKING = "Bundling…"
DOWNLOAD = "Download"
FILE_NAME = "runs.zip"
ON_THE_SERVER = COMMAND + " bundle {runs} {file}"

# Unbundle
IMPORT = "Import runs from a bundle"
WHAT_COMES = (
    f"A file that *Bundle* or *{COMMAND} bundle* has written, here or elsewhere. Runs keep their ids, their parents "
    f"and all their files; those that are here already stay as they are. Larger files: *{COMMAND} unbundle FILE*."
)
FILE = "File"
READING = "Reading…"
IMPORTING = "Importing…"
COLUMNS = ("name", "here", "state", "checkpoints", "size", "dataset", "id")
TABLE = "Runs in the bundle"
PRESENCE = {"new": "new", "there": "already here", "more": "has less", "other": "differs"}
NOTHING_NEW = "All of these runs are here already."
DIFFERS = "Run {run} is here already, and differs: {why}. Delete one of the two, or bundle without it."
MORE = "Run {run} is here already and stays as it is; the bundle has more of it, {what}."
IMAGES_MISSING = (
    "The images of {datasets} are not here: runs on them can be looked at and used, and continue only once these are "
    "added."
)
IMPORT_ONE = "Import {count} run"
IMPORT_MANY = "Import {count:,} runs"
IMPORTED_ONE = "Imported {count} run."
IMPORTED_MANY = "Imported {count:,} runs."
