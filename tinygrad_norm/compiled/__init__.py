"""Compiled steps: what a step reaches, when it is recorded again, and how it is run.

    step.py     ``tn.compile``: calls, fall back, what ``print`` tells
    attempt.py  one recording, on copies of the state      stage.py   the state, lent and given back
    reach.py    what a function can reach                  entry.py   when a recording holds
    check.py    compiled beside eager
"""
