"""Random hostile input: see `__main__`."""
