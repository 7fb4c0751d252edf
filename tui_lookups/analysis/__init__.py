"""Functions over a LookupModel and a Corpus that return frozen dataclasses."""
