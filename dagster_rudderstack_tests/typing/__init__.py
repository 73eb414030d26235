"""Checked by mypy, never run: what users' type checkers see of us."""
