"""What keeps the page of a run up to date while it trains."""
