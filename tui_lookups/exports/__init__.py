"""Exports: a basket as one JSON document, above the Explorer that fills and recomputes it.

`writing.export` writes a selection, `reading.read_export` opens a document again, and `verifying.verify`
recomputes every figure of one.
"""
