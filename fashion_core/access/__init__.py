"""Who may do what.

``roles`` decides who asks and what they may do, every change that people make to a store goes through ``gate``, and
``audit`` notes each of those changes. Neither the pages nor the command line bypass the gate.
"""
