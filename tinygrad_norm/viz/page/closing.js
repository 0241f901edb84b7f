// Modules closed one by one, in the drawing that is there: what lies in one is hidden, its frame
// becomes a box with its name, lines that cross its border end there, and the room is given back.

let drawn = null;              // the parts of the drawing as Graphviz made it, once measured
let shut = new Map();          // cluster → the closed one around it, or itself

function extent(element) {
  const b = element.getBBox();
  return { left: b.x, top: b.y, right: b.x + b.width, bottom: b.y + b.height };
}

function measured() {
  const parts = (selector) => [...svg.querySelectorAll(selector)];
  const shape = (part) => part.querySelector(":scope > :is(path, polygon, ellipse)");
  const base = parts(".graph")[0];
  const own = (part, tag) => [...part.children].filter((c) => c.tagName === tag);
  return {
    board: own(base, "polygon")[0],
    corners: own(base, "polygon").slice(0, 1).flatMap((one) => points(one.getAttribute("points"))),
    captions: own(base, "text").map((text) => ({ text, box: extent(text) })),
    nodes: parts(".node").map((part) => ({
      part, index: Number(part.dataset.node), box: extent(shape(part)) })),
    clusters: parts(".cluster").map((part) => ({
      part, index: Number(part.dataset.cluster), frame: shape(part), box: extent(shape(part)),
      line: shape(part).getAttribute("d"), points: points(shape(part).getAttribute("d")),
      texts: own(part, "text").map((text) => ({ text, box: extent(text) })) })),
    edges: parts(".edge").map((part) => ({
      part, from: Number(part.dataset.from), to: Number(part.dataset.to),
      path: own(part, "path")[0], line: own(part, "path")[0]?.getAttribute("d"),
      points: own(part, "path").slice(0, 1).flatMap((path) => points(path.getAttribute("d"))),
      heads: own(part, "polygon").map((head) => ({ head, line: head.getAttribute("points") })),
      texts: own(part, "text").map((text) => ({ text, box: extent(text) })) })),
  };
}

// The drawing as Graphviz made it.
function restore() {
  if (!drawn || !shut.size) return;
  shut = new Map();
  for (const gone of svg.querySelectorAll(".gone")) gone.classList.remove("gone");
  const moved = svg.querySelectorAll(".graph > [transform], .graph > g > text[transform]");
  for (const one of moved) one.removeAttribute("transform");
  for (const one of drawn.clusters.filter((each) => each.moved)) {
    one.moved = false;
    one.part.classList.remove("closed");
    for (const added of one.part.querySelectorAll(".shut")) added.remove();
    one.frame.setAttribute("d", one.line);
    pin(one.part, one.box.right, one.box.top);
    label(one.part);
  }
  for (const one of drawn.edges.filter((each) => each.moved)) {
    one.moved = false;
    one.path.setAttribute("d", one.line);
    for (const { head, line } of one.heads) head.setAttribute("points", line);
  }
  drawn.board?.setAttribute("points", drawn.corners.join(" "));
  whole = { ...drawn.whole };
}

const shutAround = (cluster) => (cluster === undefined || cluster === null ? undefined
  : shut.get(cluster));

// These clusters of the drawing, and no others, are closed.
function shutThese(indices) {
  restore();
  if (drawn?.svg !== svg) drawn = null;
  if (!indices.size) return;
  if (!drawn) {
    drawn = { ...measured(), svg, whole: { ...whole } };
    drawn.frames = new Map(drawn.clusters.map((one) => [one.index, one]));
  }
  graphs[view].clusters.forEach((cluster, i) => {  // parents stand before what they hold
    const around = shutAround(cluster.parent);
    if (around !== undefined) shut.set(i, around);
    else if (indices.has(i)) shut.set(i, i);
  });
  hide();
  write();
  const [mx, my] = maps();
  move(mx, my);
}

function hide() {
  const graph = graphs[view];
  const outer = (node) => shutAround(graph.nodes[node].cluster);
  for (const one of drawn.nodes) one.gone = outer(one.index) !== undefined;
  for (const one of drawn.clusters) {
    one.shut = shut.get(one.index) === one.index;
    one.gone = shut.has(one.index) && !one.shut;
    if (one.shut) one.part.classList.add("closed");
  }
  for (const one of drawn.edges) {
    [one.tail, one.head] = [outer(one.from), outer(one.to)];
    one.gone = one.tail !== undefined && one.tail === one.head;
    one.list = one.gone || !one.path ? null : cut(one.points, one.tail, one.head);
    one.gone ||= Boolean(one.path) && !one.list;
  }
  for (const one of [...drawn.nodes, ...drawn.clusters, ...drawn.edges]) {
    if (one.gone) one.part.classList.add("gone");
  }
}

function cut(list, tail, head) {
  const rect = (index) => drawn.frames.get(index).box;
  if (tail !== undefined) list = leaving(list, rect(tail));
  if (list && head !== undefined) list = entering(list, rect(head));
  return list;
}

// The words of a closed module, at first anywhere: they are measured before there is room.
function write() {
  for (const one of drawn.clusters.filter((each) => each.shut)) {
    const cluster = graphs[view].clusters[one.index], a = cluster.attributes ?? {};
    const lines = [[title(cluster) + (cluster.call > 1 ? ` (call ${cluster.call})` : "")
                    + (a.repeat ? ` ×${a.repeat}` : ""), 11, "#1f2933"]];
    const inner = inside(one.index), n = inner.operations;
    lines.push([`${count(n)} operation${n === 1 ? "" : "s"}`
                + (inner.back ? `, ${count(inner.back)} backward` : ""), 9, "#52606d"]);
    if (a.parameters) {
      lines.push([`${count(a.parameters)} parameter${a.parameters === 1 ? "" : "s"}`, 9,
                  "#52606d"]);
    }
    for (const { text } of one.texts) text.classList.add("gone");
    one.frame.classList.add("gone");
    one.box2 = draw("path", { class: "shut", fill: inner.backward ? "#fae6c8" : "#eaeff4",
                              stroke: inner.backward ? "#8a4b08" : "#3b4754",
                              "stroke-width": 1.6 });
    if (inner.bad) one.box2.setAttribute("stroke", "#c81e1e");
    one.words = lines.map(([words, size, fill], i) => {
      const text = draw("text", { class: "shut", "text-anchor": "middle", "font-size": size,
                                  fill });
      text.textContent = words.length > 44 ? `${words.slice(0, 26)}…${words.slice(-16)}` : words;
      if (!i) text.setAttribute("font-weight", "bold");
      return text;
    });
    one.part.append(one.box2, ...one.words, one.part.querySelector(".fold"));
    one.least = { w: Math.max(...one.words.map((text) => text.getBBox().width)) + 26,
                  h: 10 + 12 * lines.length };
  }
}
