"""Train a run again: here, to compare every bit, or elsewhere, from what it tells of itself."""
