"""Faults and hostile input, put in on purpose: nothing is lost, nothing wrong is answered, nothing is run."""
