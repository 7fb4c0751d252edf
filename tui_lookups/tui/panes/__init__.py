"""The panes of the walk, one a file: each shows its part of the walk, takes its keys and posts messages."""
