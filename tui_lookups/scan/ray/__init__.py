"""The scan by many workers of Ray."""
