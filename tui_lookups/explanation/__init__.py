"""Explanations of heads from an OpenAI-compatible endpoint, and their scores (method.md, section 5)."""
