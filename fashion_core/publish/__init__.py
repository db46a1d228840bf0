"""What leaves the app for people to read: a model's folder with its card, and a report on runs in one file.

Both are made by a command, which a page asks for through ``ask``: drawing charts without a browser takes 250 MB.
"""
