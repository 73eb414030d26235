"""Tests of the local RudderStack."""
