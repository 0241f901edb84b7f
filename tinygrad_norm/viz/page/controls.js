// The keyboard, the pointer, the buttons; at the end the page comes to life.

// --- the keyboard

// How far a thing is in a direction, sideways steps counted twice. An open module is the bar at its
// top: from below it is as near as what lies under its whole width.
function reach(from, to, dx, dy) {
  const b = bar(from), c = bar(to);
  const gap = (low, high) => Math.max(b[low] - c[high], c[low] - b[high], 0);
  const along = dx ? (c.x - b.x) * dx : (c.y - b.y) * dy;
  const aside = dx ? Math.abs(c.y - b.y) : gap("left", "right") + Math.abs(c.x - b.x) / 50;
  return along > 1 ? along + 2 * aside : Infinity;
}

function bar(part) {
  const b = box(part.querySelector("path:not(.gone), polygon, ellipse"));
  if (!part.matches(".cluster:not(.closed)")) return { ...b, left: b.x, right: b.x };
  return { ...b, bottom: b.top, y: b.top };
}

function towards(from, dx, dy) {
  let best = null, least = Infinity;
  for (const part of [...nodes(), ...clusters()]) {
    const far = part === from ? Infinity : reach(from, part, dx, dy);
    if (far < least) [best, least] = [part, far];
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
  const from = document.activeElement.closest?.(".node, .cluster") ?? element(chosen);
  const next = from?.isConnected ? towards(from, dx, dy) : nodes()[0];
  if (next) go(which(next));
}

// The module around what is chosen.
function outwards() {
  if (!chosen) return;
  const one = graphs[view][`${chosen.kind}s`][chosen.index];
  const around = chosen.kind === "cluster" ? one.parent : one.cluster;
  if (around !== undefined) go({ kind: "cluster", index: around });
}

function press(part) {
  const one = which(part);
  if (part.hasAttribute("aria-expanded")) toggle(one);
  else choose(one);
}

// The drawing in which all stand open; one saved in a way of its own may have closed ones.
const fullest = places.some(Boolean) ? places.findLastIndex(Boolean) : 0;

// The panel of numbers takes the arrows where it is longer than its place.
const scrolls = (panel) => panel && panel.scrollHeight > panel.clientHeight;

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === search && event.key === "Enter") nextFound(event.shiftKey ? -1 : 1);
  else if (event.target === search && event.key === "Escape") {
    search.value = "";
    look();
    search.blur();
  } else if (typing) return;
  else if (event.target.closest?.(".node, .cluster") && ["Enter", " "].includes(event.key)) {
    press(event.target.closest(".node, .cluster"));
  } else if (event.key in ARROWS && !scrolls(event.target.closest?.("aside"))) arrow(event);
  else if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-" || event.key === "−") zoom(0.8);
  else if (event.key === "0") fit();
  else if (event.key === "/") search.focus();
  else if (event.key === "o") level(1);
  else if (event.key === "c") level(-1);
  else if (event.key === "O") show(fullest);
  else if (event.key === "C") show(0);
  else if (event.key === "m") outwards();
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

// One click shows the numbers, two close or open a module; on its corner, and on the title of an
// open one, one click does.
let turned = false;                   // whether one click of the two did

stage.addEventListener("click", (event) => {
  if (travelled > 4) return;
  if (event.detail < 2) turned = false;
  const part = event.target.closest(".node, .cluster");
  const named = event.target.closest("text") && part?.matches(".cluster:not(.closed)");
  if (!part) choose(null);
  else if (event.target.closest(".fold") || named) {
    toggle(which(part));
    turned = true;
  } else go(which(part));
});

stage.addEventListener("dblclick", (event) => {
  const part = event.target.closest(".node, .cluster");
  if (part?.hasAttribute("aria-expanded") && !turned) toggle(which(part));
});

// --- the controls

at("in").addEventListener("click", () => zoom(1.25));
at("out").addEventListener("click", () => zoom(0.8));
at("fit").addEventListener("click", fit);
at("open").addEventListener("click", () => show(fullest));
at("close").addEventListener("click", () => show(0));
search.addEventListener("input", look);
depth.addEventListener("change", () => show(Number(depth.value)));

printing.addEventListener("change", () => {
  document.querySelector(printing.matches ? "main" : "aside").append(at("legend"));
  apply();
});

document.documentElement.classList.add("live");
at("tools").hidden = false;
document.querySelector("aside").hidden = false;
document.querySelector("aside").append(at("legend"));
prepare();
closed = below(view);
for (const id of ["open", "close", "depth"]) at(id).disabled = graphs.length < 2;
choose(null);
start();
new ResizeObserver(() => (started ? apply() : start())).observe(stage);
