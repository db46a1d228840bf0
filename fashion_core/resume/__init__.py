"""Resuming: the verdict before the click, the queued runs after it, and whether it helped.

`verdict` says whether resuming a checkpoint is exact, `transfer` which of its layers another model or dataset keeps,
`plan` makes runs from it; `comparison` sets each run's loss beside the `loss_last` of its checkpoint; `tables` has the
frames for charts, the tree of runs included, and `labels` their short words; `bitwise` compares a resumed run with its
parent; `lesson` is the tutorial in four steps, and its `outputs` alone needs torch. `texts` has the words of all but a
verdict's `reasons`.
"""
