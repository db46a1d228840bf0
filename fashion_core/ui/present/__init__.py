"""What a room sees: the look for a projector, the way in for its phones, and the crash drill."""
