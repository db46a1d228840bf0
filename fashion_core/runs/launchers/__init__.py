"""What starts workers: this machine (``local``), or an engine that places them on many: ``slurm``, ``ray_jobs``.

``base`` is what an engine must be able to do; ``engines`` chooses one by ``FASHION_LAUNCHER`` and asks it about its
jobs; ``jobs`` knows which run a job is for. An engine's library is imported only inside functions of its own module.
"""
