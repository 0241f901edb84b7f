"""The page of a graph, opened in a browser, and what can be wrong with its drawing."""

from contextlib import contextmanager

from browser import DESKTOP, PHONE

# What is wrong with the drawing: things one over another, lines that end nowhere, boxes whose words
# stick out. In units of the drawing, so the zoom does not matter.
FAULTS = """() => {
  const wrong = [], scale = svg.getScreenCTM().a, eps = 1.5 * scale;
  const rect = (e) => e.getBoundingClientRect();
  const shape = (e) => rect(e.querySelector("path:not(.gone), polygon, ellipse"));
  const name = (e) => e.getAttribute("aria-label");
  const over = (p, q) => p.left < q.right - eps && p.right > q.left + eps
    && p.top < q.bottom - eps && p.bottom > q.top + eps;
  const solid = [...nodes(), ...clusters().filter((c) => c.matches(".closed"))];
  solid.forEach((a, i) => solid.slice(i + 1).forEach((b) => {
    if (over(shape(a), shape(b))) wrong.push(["over", name(a), name(b)]);
  }));
  for (const part of solid) {
    for (const text of part.querySelectorAll("text:not(.gone)")) {
      const t = rect(text), s = shape(part);
      if (t.left < s.left - eps || t.right > s.right + eps) wrong.push(["sticks out", name(part)]);
    }
  }
  const around = (e) => e.dataset.cluster === undefined
    ? graphs[view].nodes[e.dataset.node].cluster : graphs[view].clusters[e.dataset.cluster].parent;
  for (const part of [...solid, ...clusters()]) {
    const frame = element({ kind: "cluster", index: around(part) });
    if (!frame) continue;
    const p = shape(part), f = shape(frame);
    if (p.left < f.left - eps || p.right > f.right + eps || p.top < f.top - eps
        || p.bottom > f.bottom + eps) wrong.push(["outside", name(part), name(frame)]);
  }
  for (const edge of svg.querySelectorAll(".edge:not(.gone)")) {
    const path = edge.querySelector("path");
    if (!path) continue;
    const ends = [[edge.dataset.from, 0], [edge.dataset.to, path.getTotalLength()]];
    for (const [node, at] of ends) {
      const one = standing({ kind: "node", index: Number(node) }), s = shape(element(one));
      const p = path.getPointAtLength(at).matrixTransform(path.getScreenCTM());
      const away = Math.hypot(Math.max(s.left - p.x, 0, p.x - s.right),
                              Math.max(s.top - p.y, 0, p.y - s.bottom));
      if (!(away < 14 * scale)) wrong.push(["ends nowhere", name(element(one)), away / scale]);
    }
  }
  const board = rect(svg.querySelector(".graph > polygon"));
  for (const part of solid) {
    const p = shape(part);
    const off = p.right > board.right + eps || p.bottom > board.bottom + eps;
    if (off) wrong.push(["off", name(part)]);
  }
  return wrong;
}"""


@contextmanager
def opened(browser, address, size=DESKTOP, scheme="light"):
    """The page; at the end nothing was complained of, nothing asked for."""
    with browser.tab(size, scheme, touch=size == PHONE) as (page, heard):
        page.goto(address)
        yield page
    assert heard.said == []
    assert [url for url in heard.asked if not url.startswith("data:")] == [address]
