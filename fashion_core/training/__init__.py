"""Train one run, from its first batch to its last file, in a worker process of its own.

``trainer`` trains a run to its last epoch, bit for bit the same however often it is interrupted. It takes its
steps through ``captured_step``, reports through ``reporting``, saves through ``saving``, and begins a resumed run from
its ``parent``. Where several processes train a run, they are a ``group`` that ``torchrun`` starts: they take each
``group_step`` together, and their ``shared_layers`` see the whole of a batch. ``worker`` is the process, known to
others by its command line alone.
"""
