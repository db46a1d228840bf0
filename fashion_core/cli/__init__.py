"""``python -m fashion_core …``: every page's job without a browser.

``main`` declares the commands; the other modules carry them out and print the result, in words or as one JSON document.
Modules with torch are imported by the commands that need them.
"""
