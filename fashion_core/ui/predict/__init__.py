"""The tabs of the Predict page."""
