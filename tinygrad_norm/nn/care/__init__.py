"""The care of the norms in a model: what is wrong with their statistics, and what to do about it.

    find.py       the norms of a model      diagnosis.py  running statistics against a batch's
    gap.py        why they differ           cures.py      what to do about it
    freeze.py     norms that stay still     recalibration.py  exact statistics of all the data
    swap.py       other norms in a model's places         fusion.py  a norm within the layer before
"""
