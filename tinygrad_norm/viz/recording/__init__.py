"""What happens in training: recorded by hooks, and drawn.

    recorder.py    hooks, steps                 choices.py     what it is asked for, and labels
    statistics.py  a tensor in a few numbers    notes.py       rows until they are fetched
    history.py     what was seen, as plain data files.py       and as a file
    curves.py, activations.py, gradients.py     the pictures   figure.py      what they share
"""
