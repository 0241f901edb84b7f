"use strict";

// The picture is an <svg>, moved and zoomed by its viewBox. There is one for each depth of modules;
// those that are not shown lie in templates. graphs[i] is the graph of the i-th.
// graph.js, numbers.js and controls.js are one script, in this order.

const graphs = JSON.parse(document.getElementById("graphs").textContent);
const at = (id) => document.getElementById(id);
const stage = at("stage"), numbers = at("numbers"), search = at("search"), depth = at("depth");

let view = Number(depth.value);       // which graph is shown
let svg, whole;                       // its drawing, and the drawing's own viewBox
let x = 0, y = 0, scale = 1;          // the corner of the window in the drawing; pixels per unit
let chosen = null;                    // {kind: "node" or "cluster", index}
let found = [], turn = -1;            // the elements that match, and which of them was gone to

// --- words

const KINDS = {
  op: "operation", seed: "gradient of the output", derivative: "operation of the backward pass",
  grad: "gradient of a leaf", saved: "value of the forward pass", box: "closed module",
};
const count = (n) => Number(n).toLocaleString("en");
const short = (v) => (typeof v === "number" ? String(Number(v.toPrecision(5))) : String(v));
const title = (one) => {
  const type = one.type ?? one.attributes?.type;
  return type && type !== one.name ? `${one.name ?? ""} ${type}`.trim() : one.name ?? type;
};

function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// --- the window

const printing = matchMedia("print");

function apply() {
  const { clientWidth: w, clientHeight: h } = stage;
  svg.setAttribute("viewBox", printing.matches ? `${whole.x} ${whole.y} ${whole.w} ${whole.h}`
                                               : `${x} ${y} ${w / scale} ${h / scale}`);
}

function fitting() {
  return Math.min(stage.clientWidth / whole.w, stage.clientHeight / whole.h) * 0.96;
}

function center(cx, cy) {
  x = cx - stage.clientWidth / scale / 2;
  y = cy - stage.clientHeight / scale / 2;
  apply();
}

function fit() {
  scale = Math.min(fitting(), 2);
  center(whole.x + whole.w / 2, whole.y + whole.h / 2);
}

// At first the whole, or where it would be too small to read the top of it.
function start() {
  fit();
  if (scale >= 0.7) return;
  scale = Math.max(scale, Math.min(1, Math.max(0.7, stage.clientWidth * 0.96 / whole.w)));
  x = whole.x + whole.w / 2 - stage.clientWidth / scale / 2;
  y = whole.y;
  apply();
}

// The point (px, py) of the stage stays where it is.
function zoom(factor, px = stage.clientWidth / 2, py = stage.clientHeight / 2) {
  const before = scale;
  scale = Math.min(Math.max(scale * factor, fitting() / 3), 10);
  x += px / before - px / scale;
  y += py / before - py / scale;
  apply();
}

function pan(dx, dy) {
  x += dx / scale;
  y += dy / scale;
  apply();
}

function box(element) {
  const r = element.getBoundingClientRect(), s = stage.getBoundingClientRect();
  return { left: r.left - s.left, top: r.top - s.top, right: r.right - s.left,
           bottom: r.bottom - s.top, x: (r.left + r.right) / 2 - s.left,
           y: (r.top + r.bottom) / 2 - s.top };
}

function bringIn(element) {
  apply();  // the numbers may have taken a part of the stage
  const b = box(element);
  if (b.left < 0 || b.top < 0 || b.right > stage.clientWidth || b.bottom > stage.clientHeight) {
    center(x + b.x / scale, y + b.y / scale);
  }
}

// --- the drawing

const nodes = () => [...svg.querySelectorAll(".node")];
const element = (one) => one && svg.querySelector(`[data-${one.kind}="${one.index}"]`);

function prepare() {
  svg = stage.querySelector("svg");
  const [left, top, w, h] = svg.getAttribute("viewBox").split(" ").map(Number);
  whole = { x: left, y: top, w, h };
  svg.setAttribute("role", "group");
  at("counts").textContent = svg.getAttribute("aria-label");
  for (const node of nodes()) {
    const one = graphs[view].nodes[node.dataset.node];
    node.setAttribute("role", "button");
    node.setAttribute("aria-label", `${title(one)}, ${KINDS[one.kind] ?? one.kind}`);
    node.setAttribute("tabindex", "-1");
  }
  nodes()[0]?.setAttribute("tabindex", "0");
}

// Another depth. What was chosen stays chosen, if it is still there by its name.
function show(next) {
  const before = chosen && graphs[view][`${chosen.kind}s`][chosen.index];
  const old = svg;
  old.setAttribute("viewBox", `${whole.x} ${whole.y} ${whole.w} ${whole.h}`);
  old.setAttribute("role", "img");
  const kept = make("template", "", { id: `view-${view}` });
  kept.content.append(old);
  document.body.append(kept);
  const template = at(`view-${next}`);
  stage.append(template.content);
  template.remove();
  view = next;
  depth.value = String(next);
  prepare();
  start();
  look();
  chosen = null;
  for (const kind of before ? ["node", "cluster"] : []) {
    const index = graphs[view][`${kind}s`].findIndex(
      (one) => one.name && one.name === before.name && (one.call ?? 1) === (before.call ?? 1));
    if (!chosen && element({ kind, index })) choose({ kind, index });
  }
  if (!chosen) choose(null);
  if (chosen) bringIn(element(chosen));
}

function level(step) {
  if (graphs[view + step]) show(view + step);
}
