"""Words for what is open: sentences and lines made of results. Pure."""
