"""The pages, as ``dashboard`` lists them: the layout of each, and the texts of all of them in one place."""
