"""The Overview page: the first screen of an empty store; then the runs that train, and a table of all runs."""
