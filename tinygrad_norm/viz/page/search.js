// Search: in the drawing that shows most, so that what lies in closed modules is found too.

function matches(graph, text) {
  const has = (one) => [one.name, one.type, one.attributes?.type, ...(one.details ?? [])]
    .some((word) => word && word.toLowerCase().includes(text));
  const pick = (list, kind) => (list ?? []).flatMap((one, index) =>
    (has(one) ? [{ kind, index }] : []));
  return [...pick(graph.nodes, "node"), ...pick(graph.clusters, "cluster")];
}

const deepest = () => tree(view).members.at(-1);

// {the number in the graph of all depths, the modules around it} of something in a drawing.
function origin(i, one) {
  const graph = graphs[i];
  if (one.kind === "cluster") return { module: keyOf(i, one.index) };
  if (boxKey(i, one.index) !== undefined) return { module: boxKey(i, one.index) };
  const cluster = graph.nodes[one.index].cluster;
  return { node: places[i] ? places[i].nodes[one.index] : one.index,
           around: cluster === undefined ? undefined : keyOf(i, cluster) };
}

// Where it is drawn now, and whether only the closed module around it is.
function whereNow(hit) {
  const own = hit.node === undefined ? placeOf(hit.module) : nodePlace(hit.node);
  const here = own && (element(own) ? own : heldHere(own));
  if (here) return { hit, at: here, hidden: false };
  const around = hit.node === undefined ? tree(view).parent.get(hit.module) : hit.around;
  for (const key of around === undefined ? [] : chain(around)) {
    const place = placeOf(key);
    if (place && element(place)) return { hit, at: place, hidden: true };
  }
  return null;
}

const heldHere = (one) => one.kind === "node" && heldWith(one.index)
  .map((index) => ({ kind: "node", index })).find(element);

function look() {
  const text = search.value.trim().toLowerCase();
  for (const old of svg.querySelectorAll(".match, .holds")) old.classList.remove("match", "holds");
  found = text ? matches(graphs[deepest()], text).map((one) => origin(deepest(), one))
    .map(whereNow).filter(Boolean) : [];
  turn = -1;
  for (const one of found) element(one.at).classList.add(one.hidden ? "holds" : "match");
  const hidden = found.filter((one) => one.hidden).length;
  const inside = hidden ? `, ${hidden === found.length ? "" : `${hidden} `}inside` : "";
  const other = text && !found.length && elsewhere(text) >= 0;
  at("found").textContent = !text ? "" : found.length ? `${found.length} found${inside}`
    : other ? "inside: Enter" : "none";
}

// A drawing of the other graph that has such a name: the picture may have been saved in a way of
// its own.
function elsewhere(text) {
  return graphs.findLastIndex((graph, i) => !tree(view).members.includes(i)
                                            && matches(graph, text).length > 0);
}

function nextFound(step) {
  const text = search.value.trim().toLowerCase();
  if (text && !found.length && elsewhere(text) >= 0) show(elsewhere(text));
  if (!found.length) return;
  const next = (turn + step + found.length) % found.length;
  if (found[next].hidden) reveal(found[next].hit);
  turn = next;
  go(found[turn].at, false);
  at("found").textContent = `${turn + 1} of ${found.length}`;
}

// All modules around it are opened, no others.
function reveal(hit) {
  const around = hit.node === undefined ? tree(view).parent.get(hit.module) : hit.around;
  for (const key of around === undefined ? [] : chain(around)) closed.delete(key);
  arrange();
}
