"""What people read in the live part of a run's page."""

# The metrics
TRAINING_LOSS = "Training loss, smoothed"
TEST_LOSS = "Test loss"
TEST_ACCURACY = "Test accuracy"
ACCURACY_CHANGE = "{change:.2f} points"
IMAGES_PER_SECOND = "Images per second"
SLOWED = "{fastest:,.0f} at its fastest: other programs may be slowing this run down. {advice}"
CLOSE_THEM = "Close them."
FEWER_THREADS = "Close them, or stop it and resume with one thread."
TIME_LEFT = "Time left"
TIME_TRAINED = "Time trained"

# The losses of a resumed run
LOSS_LAST = "loss_last, stored"
LOSS_CHECK = "right after loading"
SAME_LOSS = "equal"
OTHER_IMAGES = "other images"
OTHER_MODEL = "other model"
LOADED_CORRECTLY = "loss_last measured again: the checkpoint was loaded correctly."
NOT_COMPARABLE = "loss_last is of other images, another model or other software, so loss_now is compared with this one."
LOSS_NOW_FIRST = "loss_now, first epoch"
LOSS_NOW_LATEST = "loss_now, latest"
CHANGE = "{change}, {answer}"

# The means over seeds
MEAN_LOSS_UNKNOWN = "Test loss, mean of {seeds} seeds"
MEAN_UNKNOWN = "A mean needs two seeds that have ended an epoch."
MEAN_LOSS = "Test loss, mean"
MEAN_ACCURACY = "Test accuracy, mean"
MEAN_NOTE = "95 % interval, {seeds} at epoch {epoch:.0f}."
MEAN_LOSS_NOTE = "95 % interval, {seeds} at epoch {epoch:.0f}. Seed luck alone moves {luck:.4f}."
MEAN_CHANGE = "Change, mean"
MEAN_CHANGE_NOTE = "Seed luck alone moves {luck}%."
INTERVAL_IN_POINTS = "± {interval} points"
INTERVAL = "± {interval}"

# The seeds beside this one
SEED = "Seed"
SEED_AND_STATE = "seed {seed} · {state}"
STOP_ALL_SEEDS = "Stop all seeds"
