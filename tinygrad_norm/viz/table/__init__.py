"""A model as a table.

    summary.py    rows, totals, text          probe.py      the run that tells the shapes
    norm_axes.py  what norms reduce
"""
