"""What a person reads of the look for a room, and of the crash drill."""

# The switch, and the way in for phones
PRESENT = "Present"
PRESENT_HELP = "Large text and charts for a room, and the crash drill on the page of a run that trains."
CODE_FOR_PHONES = "QR code for phones"
ON_YOUR_PHONE = "This page on your phone"
CODE_OF_ADDRESS = "QR code of this page's address"
LOCALHOST = (
    "Phones can't open localhost: open this page at the network address that the server printed when it started, then "
    "the code leads there."
)
TOO_LONG_FOR_CODE = "This address is too long for a QR code: choose fewer runs."
EVERYONE_MAY_ACT = "Whoever opens it may start, stop and change runs: FASHION_ACCESS says so."

# The steps of a crash drill
CRASH_DRILL = "Crash drill"
KILLED = "Killed"
KILLED_IN = "Process {process} got SIGKILL in {epoch}, batch {batch:,} of {batches:,}."
FOUND_LOST = "Found lost"
EVERY_CHECKPOINT_WHOLE = "Its process is gone; every checkpoint that is listed is whole."
CHECKPOINTS_DAMAGED = "Its process is gone; not every checkpoint that is listed is whole."
WAITS_FOR_OPERATOR = "It continues once an operator opens this page."
CONTINUED = "Continued"
IN_PLACE = "In place, as the same run."
FROM_BEGINNING = "From the beginning, as no epoch had been saved."
FROM_CHECKPOINT = "From checkpoint {epoch}."
FROM_PARENT = "From checkpoint {epoch} of its parent, as no epoch of its own had been saved."
FROM_STOP = "From {epoch}, batch {batch:,}, where its last stop had saved the exact position."
ENDED = "Ended"
AFTER_LAST_EPOCH = "After its last epoch."

# Its undisturbed twin
NO_TWIN = "It has no undisturbed twin to compare with: a run of the same settings, seed and environment."
NO_TWIN_WITHOUT_PARENT = (
    "It has no undisturbed twin to compare with: the checkpoint that it was resumed from is gone or damaged."
)
SAME_BITS_AWAITED = "The same bits"
TWIN_ON_ITS_WAY = "Its undisturbed twin: {where}"
SAME_BITS = "The same bits as its undisturbed twin: every loss, every weight, and the optimizer's state."
SAME_WEIGHTS = "The same bits as its undisturbed twin: every loss and every weight. No epoch has checkpoints of both."
OTHER_BITS = "Not the same bits as its undisturbed twin."
DIGESTS = "SHA-256 of model_weights.pth, of this run and of its twin"
OPEN_TWIN = "Open the twin"
