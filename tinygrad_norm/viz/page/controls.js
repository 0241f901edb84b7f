// Search, the keyboard, the pointer, the buttons; at the end the page comes to life.

// --- search

function matches(graph, text) {
  const has = (one) => [one.name, one.type, one.attributes?.type, ...(one.details ?? [])]
    .some((word) => word && word.toLowerCase().includes(text));
  const pick = (list, kind) => (list ?? []).flatMap((one, index) =>
    (has(one) ? [{ kind, index }] : []));
  return [...pick(graph.nodes, "node"), ...pick(graph.clusters, "cluster")];
}

function look() {
  const text = search.value.trim().toLowerCase();
  for (const old of svg.querySelectorAll(".match")) old.classList.remove("match");
  found = text ? matches(graphs[view], text).filter(element) : [];
  turn = -1;
  for (const one of found) element(one).classList.add("match");
  const opens = text && !found.length ? elsewhere(text) : -1;
  at("found").textContent = !text ? "" : found.length ? `${found.length} found`
    : opens >= 0 ? "inside: Enter" : "none";
}

// The nearest depth at which there is such a name.
function elsewhere(text) {
  const order = graphs.map((_, i) => i).sort((a, b) => Math.abs(a - view) - Math.abs(b - view));
  return order.find((i) => i !== view && matches(graphs[i], text).length) ?? -1;
}

function nextFound(step) {
  const text = search.value.trim().toLowerCase();
  if (text && !found.length && elsewhere(text) >= 0) show(elsewhere(text));
  if (!found.length) return;
  turn = (turn + step + found.length) % found.length;
  go(found[turn], false);
  at("found").textContent = `${turn + 1} of ${found.length}`;
}

// --- the keyboard

// The node that lies nearest in a direction, sideways steps counted twice.
function towards(from, dx, dy) {
  const b = box(from);
  let best = null, least = Infinity;
  for (const node of nodes()) {
    const c = box(node), along = (c.x - b.x) * dx + (c.y - b.y) * dy;
    const aside = Math.abs((c.x - b.x) * dy) + Math.abs((c.y - b.y) * dx);
    if (node !== from && along > 1 && along + 2 * aside < least) {
      best = node;
      least = along + 2 * aside;
    }
  }
  return best;
}

const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function arrow(event) {
  const [dx, dy] = ARROWS[event.key];
  if (event.shiftKey) {
    pan(60 * dx, 60 * dy);
    return;
  }
  const from = document.activeElement.closest?.(".node") ?? element(chosen);
  const next = from?.isConnected ? towards(from, dx, dy) : nodes()[0];
  if (!next) return;
  go({ kind: "node", index: Number(next.dataset.node) });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === search && event.key === "Enter") nextFound(event.shiftKey ? -1 : 1);
  else if (event.target === search && event.key === "Escape") {
    search.value = "";
    look();
    search.blur();
  } else if (typing) return;
  else if (event.target.closest?.(".node") && ["Enter", " "].includes(event.key)) {
    choose({ kind: "node", index: Number(event.target.closest(".node").dataset.node) });
  } else if (event.key in ARROWS && !event.target.closest?.("aside")) arrow(event);
  else if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-" || event.key === "−") zoom(0.8);
  else if (event.key === "0") fit();
  else if (event.key === "/") search.focus();
  else if (event.key === "o") level(1);
  else if (event.key === "c") level(-1);
  else if (event.key === "Escape") choose(null);
  else return;
  event.preventDefault();
});

// --- the pointer: one moves, two zoom

const pointers = new Map();
let travelled = 0;

stage.addEventListener("pointerdown", (event) => {
  if (!pointers.size) travelled = 0;
  pointers.set(event.pointerId, event);
});

stage.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  travelled += Math.abs(dx) + Math.abs(dy);
  if (travelled > 4 && !stage.hasPointerCapture(event.pointerId)) {
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("moving");
  }
  if (pointers.size === 1) pan(-dx, -dy);
  else if (pointers.size === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
    const apart = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY) || 1;
    const s = stage.getBoundingClientRect();
    zoom(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - s.left,
         (event.clientY + other.clientY) / 2 - s.top);
  }
  pointers.set(event.pointerId, event);
});

for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
  stage.addEventListener(name, (event) => {
    if (name === "pointerleave" && stage.hasPointerCapture(event.pointerId)) return;
    pointers.delete(event.pointerId);
    if (!pointers.size) stage.classList.remove("moving");
  });
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const s = stage.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)),
       event.clientX - s.left, event.clientY - s.top);
}, { passive: false });

stage.addEventListener("click", (event) => {
  if (travelled > 4) return;
  const part = event.target.closest(".node, .cluster");
  if (!part) choose(null);
  else if (part.matches(".node")) go({ kind: "node", index: Number(part.dataset.node) });
  else choose({ kind: "cluster", index: Number(part.dataset.cluster) });
});

stage.addEventListener("dblclick", (event) => {
  const part = event.target.closest(".node, .cluster");
  if (part?.matches(".cluster")) level(-1);
  else if (graphs[view].nodes[part?.dataset.node]?.kind === "box") level(1);
});

// --- the controls

at("in").addEventListener("click", () => zoom(1.25));
at("out").addEventListener("click", () => zoom(0.8));
at("fit").addEventListener("click", fit);
search.addEventListener("input", look);
depth.addEventListener("change", () => show(Number(depth.value)));

printing.addEventListener("change", apply);

document.documentElement.classList.add("live");
at("tools").hidden = false;
document.querySelector("aside").hidden = false;
prepare();
start();
new ResizeObserver(apply).observe(stage);
