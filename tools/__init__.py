"""What made something that ships with the package; run from the root of the source tree."""
