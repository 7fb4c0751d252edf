"""Colours, and the lines that panes are painted with. Pure."""
