"""Tests of what must not happen: a token that leaks, words of a server that do harm."""
