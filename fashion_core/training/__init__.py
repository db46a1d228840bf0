"""Train one run, from its first batch to its last file, in a worker process of its own.

``trainer`` trains a run to its last epoch, bit for bit the same however often it is interrupted. It takes its
steps through ``captured_step``, reports and saves through ``reporting``, and begins a resumed run from its ``parent``.
``worker`` is the process, known to others by its command line alone.
"""
