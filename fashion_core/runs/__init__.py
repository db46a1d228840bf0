"""The records of training: one folder a run, read and changed by any process at any time, never with torch.

``run`` names the files of a run folder; ``schema`` has the fields of each record, ``status`` says how it stands,
``saved_files`` has the checkpoints, ``lock`` the one writer; ``store`` finds, makes and deletes runs, and ``index``
knows what lists show of them; ``queue`` starts and stops workers, which ``processes`` identifies; ``metrics``,
``loss_curve`` and ``tables`` read what they measured; ``verify`` re-reads saved files; ``torch_process`` asks a process
that has torch, which this one must not import.
"""
