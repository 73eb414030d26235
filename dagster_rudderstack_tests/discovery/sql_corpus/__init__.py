"""Statements that people write in SQL models, with the tables and origins that are known of each.

The expectations are written by hand, from what is known about each warehouse.
"""
