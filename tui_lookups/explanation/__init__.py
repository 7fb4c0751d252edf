"""Explanations of heads from an OpenAI-compatible endpoint, and their scores (METHOD 5)."""
