"""Type checks of the public signatures. mypy checks these files; they are never run."""
