"""How a small dictionary of transcoders is trained on the packaged model; not in the wheel."""
