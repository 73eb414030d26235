"""Ratios against peers, each measured in one run; see `RESULTS.md`."""
