"""What stays on disk: the result cache, array folders beside it, and exported documents.

Nothing here imports torch, and nothing here can write or read pickle.
"""
