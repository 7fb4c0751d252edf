"""The measured claims of the README: `python -m benchmarks` prints the table. See `benchmarks.__main__`."""
