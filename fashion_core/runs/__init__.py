"""The records of training: one folder a run, read and changed by any process at any time, never with torch.

``run`` names the files of a run folder and reads its records; ``saved_files`` knows its checkpoints; ``store`` finds,
makes and deletes runs; ``queue`` starts and stops their workers; ``metrics``, ``live`` and ``tables`` read what they
measured; ``verify`` re-reads saved files; ``machine`` asks a process that has torch, which this one must not import.
"""
