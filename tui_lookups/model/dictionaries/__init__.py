"""Dictionaries of transcoders on disk: what they say, and their tensors (method.md, section 14)."""
