"""What lists show of every run, kept so that a list costs the same however many runs there are.

The index is derived: the run folders are the truth, and all of it may be deleted at any time. ``row`` reads one run;
``index`` holds the rows of a store and finds what has changed; ``database`` keeps them for the next process.
"""
