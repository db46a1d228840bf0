"""Who may do what.

``roles`` decides who asks and what they may do, ``gate`` is the one way through which people change a store, and
``audit`` notes each of those changes. The pages and the command line change nothing past the gate.
"""
