"""Tests of the resource."""
