"""The care of running statistics, and of the norms in a model.

    diagnosis.py  what is wrong with them     gap.py  why they differ from a batch's
    cures.py      what to do about it         recalibration.py  exact ones of all the data
    swap.py       other norms in a model's places
"""
