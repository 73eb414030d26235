"""The tests; each docstring states a fact about the product."""
