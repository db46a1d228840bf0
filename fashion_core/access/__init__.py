"""Who may do what.

``roles`` tells who is asking and what they may do, every change people make to a store goes through ``gate``, and
``audit`` records each of them. Neither the pages nor the command line bypasses the gate. ``addresses`` tells whether a
page was loaded from this server.
"""
