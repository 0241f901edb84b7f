// What is known of the chosen node or module, written beside the picture. Text is only ever text:
// nothing here is parsed as HTML.

function choose(one) {
  chosen = one;
  for (const old of svg.querySelectorAll(".chosen, .lit")) old.classList.remove("chosen", "lit");
  for (const old of svg.querySelectorAll("[aria-pressed]")) old.removeAttribute("aria-pressed");
  numbers.replaceChildren();
  if (!one) {
    const folds = svg.querySelector(".fold") ? " − and + close and open a module." : "";
    numbers.append(make("p", `Choose a node to see its numbers.${folds}`));
    return;
  }
  const shown = element(one);
  shown.classList.add("chosen");
  stop(shown);
  if (one.kind === "cluster") {
    describeCluster(one.index);
    return;
  }
  if (!shown.hasAttribute("aria-expanded")) shown.setAttribute("aria-pressed", "true");
  for (const side of ["from", "to"]) {
    for (const edge of svg.querySelectorAll(`.edge[data-${side}="${one.index}"]`)) {
      edge.classList.add("lit");
    }
  }
  describeNode(one.index);
}

function rows(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (value !== undefined && value !== "") list.append(make("dt", name), make("dd", value));
  }
  return list;
}

function modules(cluster) {
  const names = [];
  for (let i = cluster; i !== undefined && i !== null; i = graphs[view].clusters[i].parent) {
    names.unshift(title(graphs[view].clusters[i]));
  }
  return names.join(" › ");
}

const counted = (a = {}) => [
  ["parameters", a.parameters === undefined ? undefined : count(a.parameters)],
  ["operations", a.operations === undefined ? undefined : count(a.operations)],
  ["backward", a.back ? `${count(a.back)} of them` : undefined],
  ["times in a row", a.repeat === undefined ? undefined : count(a.repeat)],
  ["saved bytes", a.saved === undefined ? undefined : count(a.saved)],
  ["not finite", a.nonfinite === undefined ? undefined :
    a.nonfinite === "origin" ? "from here on" : "handed on"],
];

function describeNode(index) {
  const graph = graphs[view], node = graph.nodes[index];
  numbers.append(make("h2", title(node)));
  numbers.append(rows([
    ["kind", KINDS[node.kind] ?? node.kind],
    ["in", modules(node.cluster)],
    ["settings", (node.details ?? []).join(", ")],
    ["gradient of", node.of === undefined ? undefined : title(graph.nodes[node.of])],
    ...counted(node.attributes),
  ]));
  values("Takes", heldWith(index).flatMap((i) => graph.edges.filter((e) => e.target === i)),
         "source");
  values("Gives", heldWith(index).flatMap((i) => graph.edges.filter((e) => e.source === i)),
         "target");
  if (opens(index)) numbers.append(act("Open this module", { kind: "node", index }));
  else if (node.kind === "box" && graphs[view + 1]) {
    numbers.append(button("Open a level", () => level(1)));
  }
}

// Buffers that a module only holds are drawn as one box: all that share it.
function heldWith(index) {
  const held = graphs[view].edges.filter((e) => e.kind === "state");
  const target = held.find((e) => e.source === index)?.target;
  return target === undefined ? [index]
    : held.filter((e) => e.target === target).map((e) => e.source);
}

// What lies in a module: which nodes, how many operations, whether all of it is of the backward
// pass and, where not, how many operations are.
function inside(index) {
  const graph = graphs[view], held = new Set([index]), found = new Set();
  graph.clusters.forEach((cluster, i) => { if (held.has(cluster.parent)) held.add(i); });
  graph.nodes.forEach((node, i) => { if (held.has(node.cluster)) found.add(i); });
  const all = [...found].map((i) => graph.nodes[i]);
  const back = (node) => ["derivative", "grad", "seed"].includes(node.kind)
    || node.attributes?.backward;
  const total = (list) => list.reduce((sum, node) => sum + (node.attributes?.operations
    ?? Number(["op", "derivative"].includes(node.kind))), 0);
  const backward = all.length > 0 && all.every(back);
  return { nodes: found, backward, bad: all.some((node) => node.attributes?.nonfinite),
           operations: total(all), back: backward ? 0 : total(all.filter(back)) };
}

function describeCluster(index) {
  const graph = graphs[view], cluster = graph.clusters[index], inner = inside(index);
  const isClosed = shut.get(index) === index, kind = cluster.kind ?? "module";
  numbers.append(make("h2", title(cluster)));
  numbers.append(rows([
    ["kind", isClosed ? `closed ${kind}` : kind], ["class", cluster.type],
    ["in", modules(cluster.parent)], ["call", cluster.call],
    ...counted({ operations: inner.operations, back: inner.back, ...cluster.attributes }),
  ]));
  values("Takes", graph.edges.filter((e) => inner.nodes.has(e.target) && !inner.nodes.has(e.source)
                                            && e.kind !== "state"), "source");
  values("Gives", graph.edges.filter((e) => inner.nodes.has(e.source) && !inner.nodes.has(e.target)
                                            && e.kind !== "state"), "target");
  numbers.append(act(isClosed ? "Open this module" : "Close this module",
                     { kind: "cluster", index }));
}

const act = (text, one) => button(text, () => toggle(one));

function button(text, does) {
  const made = make("button", text, { type: "button" });
  made.addEventListener("click", does);
  return made;
}

function values(heading, edges, end) {
  if (!edges.length) return;
  const list = make("ul"), known = new Map();
  for (const edge of edges) {
    const a = edge.attributes ?? {}, item = make("li"), other = edge[end];
    const link = button(title(graphs[view].nodes[other]), () => go({ kind: "node", index: other }));
    link.className = "go";
    const shape = `(${(edge.shape ?? []).join(", ")}${edge.shape?.length === 1 ? "," : ""})`;
    const first = [edge.output, shape, a.dtype].filter(Boolean).join(" ");
    item.append(link, make("small", first));
    const measured = [
      a.mean === undefined ? "" : `mean ${short(a.mean)} ± ${short(a.std)}`,
      a.gradient === undefined ? "" : `‖grad‖ ${short(a.gradient)}`,
      a.nonfinite ?? "", a.nonfinite_gradient ? `gradient: ${a.nonfinite_gradient}` : "",
      edge.kind === "constant" ? "no gradient flows back" : "",
      heldWith(edge.source).length > 1 && end === "target"
        ? graphs[view].nodes[edge.source].name : "",
    ].filter(Boolean).join(" · ");
    if (measured) item.append(make("small", measured));
    const alike = `${other} ${first} ${measured}`;
    if (known.has(alike)) {
      known.get(alike).times++;
      continue;
    }
    known.set(alike, { item, times: 1 });
    list.append(item);
  }
  for (const { item, times } of known.values()) {
    if (times > 1) item.append(make("small", `${times} times`));
  }
  numbers.append(make("h3", heading), list);
}

// The node, or that in whose box it is drawn, or the closed module around it.
function go(one, focus = true) {
  const here = standing(one);
  if (!here) return;
  choose(here);
  bringIn(element(here));
  if (focus) element(here).focus({ preventScroll: true });
}
