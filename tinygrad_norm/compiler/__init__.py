"""Recorded steps become loops in machine code."""
