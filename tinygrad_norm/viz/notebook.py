"""A picture in a notebook: at first a still one with its legend, then, by a script, the page.

Where scripts are not run (a notebook not trusted, or shown by a website), the still one stays.
"""

from __future__ import annotations

import os
from html import escape
from typing import TYPE_CHECKING

from .html import to_html
from .legend import legend

if TYPE_CHECKING:
    from .picture import Picture

LARGEST_PAGE = 2_000_000
"""Characters. A notebook keeps what it shows: a larger page is left to ``.save("graph.html")``."""

HEADER = 100
"""Pixels above the drawing."""
HIGH = 640, 1000
"""Pixels. A frame is at least and at most so high; in between the whole graph has room."""

# The page comes alone in its frame: no style and no name of the notebook meets one of the page.
OPEN = """\
(() => {{
  const still = document.getElementById("{name}");
  if (!still) return;
  const frame = document.createElement("iframe");
  frame.title = "Computation graph";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "width:100%;height:{height}px;border:1px solid #8888;border-radius:6px";
  frame.srcdoc = still.dataset.page;
  still.replaceChildren(frame);
  still.removeAttribute("data-page");
}})();"""


def framed(picture: Picture) -> str:
    """HTML with the picture and its legend, and the page in their place where scripts run.

    Raises:
        as ``Picture.render`` does.
    """
    svg = picture.displayed()
    page = to_html(picture)
    still = f'{svg[svg.index("<svg"):]}{legend(picture.graph)}'
    if len(page) > LARGEST_PAGE:
        return f'<div style="overflow-x:auto">{still}</div>'
    drawn = float(svg.partition(' height="')[2].partition("pt")[0])
    height = round(min(max(drawn + HEADER, HIGH[0]), HIGH[1]))
    name = f"graph-{os.urandom(6).hex()}"
    return (f'<div id="{name}" style="overflow-x:auto" data-page="{escape(page)}">\n{still}</div>\n'
            f"<script>{OPEN.format(name=name, height=height)}</script>\n")
