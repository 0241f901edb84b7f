// Which modules are closed, and the drawing that shows it: Graphviz's own of a depth where there is
// one, and else the smallest in which all the open ones stand, the others closed in it.

let closed = new Set();               // the modules' numbers in the graph that all depths come from

// What holds what, put together from the drawings of one graph.
const family = (i) => (places[i] ? graphs.map((_, k) => k).filter((k) => places[k]) : [i]);
const keyOf = (i, cluster) => (places[i] ? places[i].clusters[cluster] : cluster);
const boxKey = (i, node) => (places[i] && places[i].nodes[node] < 0
  ? -1 - places[i].nodes[node] : undefined);
const trees = new Map();

function tree(i) {
  const members = family(i), known = trees.get(members[0]);
  if (known) return known;
  const parent = new Map(), isModule = new Map();
  const drawnIn = new Map(members.map((k) => [k, new Set()]));
  for (const k of members) {
    const graph = graphs[k];
    graph.clusters.forEach((cluster, c) => {
      const key = keyOf(k, c);
      drawnIn.get(k).add(key);
      isModule.set(key, (cluster.kind ?? "module") === "module");
      parent.set(key, cluster.parent === undefined ? undefined : keyOf(k, cluster.parent));
    });
    graph.nodes.forEach((node, n) => {
      const key = boxKey(k, n);
      if (key === undefined || parent.has(key)) return;
      isModule.set(key, true);
      parent.set(key, node.cluster === undefined ? undefined : keyOf(k, node.cluster));
    });
  }
  const made = { members, parent, isModule, drawnIn };
  trees.set(members[0], made);
  return made;
}

function chain(key) {                 // itself and what is around it
  const keys = [];
  for (let k = key; k !== undefined; k = tree(view).parent.get(k)) keys.push(k);
  return keys;
}

// Those that a depth closes.
function below(i) {
  const { parent, isModule } = tree(i), found = new Set();
  if (!places[i]) return found;
  for (const key of parent.keys()) {
    let level = 0;
    for (let k = parent.get(key); k !== undefined; k = parent.get(k)) level += isModule.get(k);
    if (isModule.get(key) && level >= places[i].depth) found.add(key);
  }
  return found;
}

// Whether the box of a node can be opened: it stands open in another drawing.
function opens(node) {
  const key = boxKey(view, node);
  return key !== undefined && tree(view).members.some((k) => tree(view).drawnIn.get(k).has(key));
}

// The picture of what is closed now. ``held`` is a module whose corner stays where it was.
function arrange(held) {
  const before = held === undefined ? null : corner(held);
  const was = chosen && { ...chosen, key: chosenKey() };
  const { members, parent, drawnIn } = tree(view);
  const open = [...parent.keys()].filter((key) => !chain(key).some((k) => closed.has(k)));
  const next = members.find((k) => open.every((key) => drawnIn.get(k).has(key)))
    ?? members[members.length - 1];
  if (next !== view) swap(next);
  shutThese(new Set(graphs[view].clusters.map((_, c) => c)
    .filter((c) => closed.has(keyOf(view, c)))));
  depth.value = shut.size ? "" : String(view);
  svg.classList.toggle("mixed", shut.size > 0);
  const after = before && corner(held);
  if (after) {
    x += after.x - before.x;
    y += after.y - before.y;
  }
  apply();
  look();
  again(was);
  if (!chosen) stop(clusters()[0] ?? nodes()[0]);
  return after;
}

// Where the round button of a module is in the drawing; read from what was written, since to ask
// for a place on the screen would have it all laid out again.
function corner(key) {
  const part = element(placeOf(key)), mark = part?.querySelector(".fold");
  if (!mark) return null;
  const moves = [part.parentNode, part, mark].map((one) =>
    /translate\((-?[\d.e-]+)[ ,]+(-?[\d.e-]+)\)/.exec(one.getAttribute("transform") ?? ""));
  const sum = (k) => moves.reduce((total, found) => total + (found ? Number(found[k]) : 0), 0);
  return { x: sum(1), y: sum(2) };
}

// A module in this drawing: its frame, or its box.
function placeOf(key) {
  const cluster = graphs[view].clusters.findIndex((_, c) => keyOf(view, c) === key);
  if (cluster >= 0) return { kind: "cluster", index: cluster };
  const node = graphs[view].nodes.findIndex((_, n) => boxKey(view, n) === key);
  return node >= 0 ? { kind: "node", index: node } : null;
}

function chosenKey() {
  if (chosen.kind === "cluster") return { module: keyOf(view, chosen.index) };
  const key = boxKey(view, chosen.index);
  if (key !== undefined) return { module: key };
  return { node: places[view] ? places[view].nodes[chosen.index] : chosen.index };
}

// What was chosen is chosen still, or the closed module that it lies in.
function again(was) {
  chosen = null;
  let one = null;
  if (was?.key.module !== undefined) one = placeOf(was.key.module);
  else if (was) one = nodePlace(was.key.node);
  if (one && !element(one)) one = standing(one);
  choose(one && element(one) ? one : null);
}

function nodePlace(base) {
  const index = places[view] ? places[view].nodes.indexOf(base) : base;
  return index >= 0 && index < graphs[view].nodes.length ? { kind: "node", index } : null;
}

// What is drawn of it: itself, the box it shares, or the closed module around it.
function standing(one) {
  if (element(one)) return one;
  if (one.kind === "node") {
    const shared = heldWith(one.index).map((index) => ({ kind: "node", index })).find(element);
    if (shared) return shared;
  }
  const cluster = one.kind === "cluster" ? one.index : graphs[view].nodes[one.index].cluster;
  const around = shutAround(cluster);
  return around === undefined ? null : { kind: "cluster", index: around };
}

// --- what the reader does

function toggle(one) {
  const key = one.kind === "cluster" ? keyOf(view, one.index) : boxKey(view, one.index);
  if (key === undefined || (one.kind === "node" && !opens(one.index))) return;
  if (closed.has(key)) closed.delete(key);
  else closed.add(key);
  chosen = one;
  const place = arrange(key), h = stage.clientHeight, w = stage.clientWidth;
  const seen = place && place.x > x && place.y > y && place.x < x + w / scale
    && place.y < y + h / scale;
  if (!seen) bringIn(element(chosen));
  element(chosen)?.focus({ preventScroll: true });
}

// A depth of modules, as the list offers it.
function show(next) {
  const was = chosen && { ...chosen, key: places[next] && places[view] ? chosenKey() : {} };
  if (next !== view) swap(next);
  closed = below(next);
  shutThese(new Set());
  depth.value = String(next);
  svg.classList.remove("mixed");
  start();
  look();
  const place = was && parentShown(was.key);
  chosen = null;
  choose(place);
  if (place) bringIn(element(place));
}

// The thing itself, or the innermost module around it that this drawing shows.
function parentShown(key) {
  if (key.node !== undefined && nodePlace(key.node)) return standing(nodePlace(key.node));
  for (const k of key.module === undefined ? [] : chain(key.module)) {
    if (placeOf(k)) return placeOf(k);
  }
  return null;
}

function level(step) {
  if (shut.size) show(step > 0 ? view : Math.max(view - 1, 0));
  else if (graphs[view + step]) show(view + step);
}
