// What is known of the chosen node or module, written beside the picture. Text is only ever text:
// nothing here is parsed as HTML.

function choose(one) {
  chosen = one;
  for (const old of svg.querySelectorAll(".chosen, .lit")) old.classList.remove("chosen", "lit");
  for (const old of svg.querySelectorAll("[aria-pressed]")) old.removeAttribute("aria-pressed");
  numbers.replaceChildren();
  if (!one) {
    numbers.append(make("p", "Choose a node to see its numbers."));
    return;
  }
  const shown = element(one);
  shown.classList.add("chosen");
  if (one.kind === "cluster") {
    describeCluster(one.index);
    return;
  }
  shown.setAttribute("aria-pressed", "true");
  for (const node of nodes()) node.setAttribute("tabindex", node === shown ? "0" : "-1");
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
  if (node.kind === "box" && graphs[view + 1]) numbers.append(act("Open a level", 1));
}

// Buffers that a module only holds are drawn as one box: all that share it.
function heldWith(index) {
  const held = graphs[view].edges.filter((e) => e.kind === "state");
  const target = held.find((e) => e.source === index)?.target;
  return target === undefined ? [index]
    : held.filter((e) => e.target === target).map((e) => e.source);
}

function describeCluster(index) {
  const cluster = graphs[view].clusters[index];
  numbers.append(make("h2", title(cluster)));
  numbers.append(rows([["kind", cluster.kind ?? "module"], ["in", modules(cluster.parent)],
                       ["call", cluster.call], ...counted(cluster.attributes)]));
  if (view > 0) numbers.append(act("Close a level", -1));
}

function act(text, step) {
  const button = make("button", text, { type: "button" });
  button.addEventListener("click", () => level(step));
  return button;
}

function values(heading, edges, end) {
  if (!edges.length) return;
  const list = make("ul");
  for (const edge of edges) {
    const a = edge.attributes ?? {}, item = make("li"), other = edge[end];
    const button = make("button", title(graphs[view].nodes[other]),
                        { type: "button", class: "go" });
    button.addEventListener("click", () => go({ kind: "node", index: other }));
    const shape = `(${(edge.shape ?? []).join(", ")}${edge.shape?.length === 1 ? "," : ""})`;
    const first = [edge.output, shape, a.dtype].filter(Boolean).join(" ");
    item.append(button, make("small", first));
    const measured = [
      a.mean === undefined ? "" : `mean ${short(a.mean)} ± ${short(a.std)}`,
      a.gradient === undefined ? "" : `‖grad‖ ${short(a.gradient)}`,
      a.nonfinite ?? "", a.nonfinite_gradient ? `gradient: ${a.nonfinite_gradient}` : "",
      edge.kind === "constant" ? "no gradient flows back" : "",
      heldWith(edge.source).length > 1 && end === "target"
        ? graphs[view].nodes[edge.source].name : "",
    ].filter(Boolean).join(" · ");
    if (measured) item.append(make("small", measured));
    list.append(item);
  }
  numbers.append(make("h3", heading), list);
}

// The node, or that in whose box it is drawn.
function go(one, focus = true) {
  const drawn = one.kind === "node" ? heldWith(one.index).map((index) => ({ kind: "node", index }))
    .find((each) => element(each)) ?? one : one;
  if (!element(drawn)) return;
  choose(drawn);
  bringIn(element(drawn));
  if (focus && drawn.kind === "node") element(drawn).focus({ preventScroll: true });
}
