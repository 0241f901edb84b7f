"""A study as one HTML page, which asks nothing of any network.

    build.py       the page and its numbers         drawing.py    the graph on top, as SVG
    placing.py     where its nodes stand            *.js, *.css   what the page does, how it looks
"""

from .build import framed, page, save

__all__ = ["framed", "page", "save"]
