"""The Streamlit pieces that pages are built of: what a page shows and asks for, never how a run works.

`common` and `run_status` are shared by all pages, `login` decides who may see and press what, and the other modules
are each one part of a page. `overview/` is the Overview page, `live/` keeps the page of a run up to date, `predict/` is
the Predict page, `snippets/` writes plain PyTorch. `server/` stands around all pages: what is done at the start, and
the guard. Nothing here loads torch.
"""
