"use strict";

// The picture is an <svg>, moved and zoomed by its viewBox. There is one for each depth of modules;
// those that are not shown lie in templates. graphs[i] is the graph of the i-th.
// The files beside this one are one script with it, in the order of html.py's SCRIPTS.

const graphs = JSON.parse(document.getElementById("graphs").textContent);
const places = JSON.parse(document.getElementById("places").textContent);
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
  if (!w || !h) return;
  svg.setAttribute("width", String(whole.w * 4 / 3));  // on paper, as points
  svg.setAttribute("height", String(whole.h * 4 / 3));
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

// At first the whole, or where it would be too small to read the top of it; in the frame of a
// notebook the whole, since what is below cannot be guessed there. In a frame that is not shown yet
// there is no size: it starts when there is.
let started = false;

function start() {
  started = stage.clientWidth > 0 && stage.clientHeight > 0;
  if (!started) return;
  fit();
  if (scale >= 0.7 || window !== window.top) return;
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

const nodes = () => [...svg.querySelectorAll(".node:not(.gone)")];
const clusters = () => [...svg.querySelectorAll(".cluster:not(.gone)")];
let parts = new Map();                // "node 3" → its element
const element = (one) => {
  const part = one && parts.get(`${one.kind} ${one.index}`);
  return part && !part.classList.contains("gone") ? part : null;
};
const which = (part) => (part.dataset.node === undefined
  ? { kind: "cluster", index: Number(part.dataset.cluster) }
  : { kind: "node", index: Number(part.dataset.node) });

// What screen readers are told, and the one stop of the Tab key; the arrows go on from there.
function label(part) {
  const { kind, index } = which(part), one = graphs[view][`${kind}s`][index];
  const folds = kind === "cluster" || opens(index);
  const state = kind === "cluster" && one.kind !== undefined && one.kind !== "module"
    ? "steps" : "module";
  part.setAttribute("role", "button");
  part.setAttribute("aria-label",
                    `${title(one)}, ${kind === "node" ? KINDS[one.kind] ?? one.kind : state}`);
  if (folds) {
    part.setAttribute("aria-expanded",
                      String(kind === "cluster" && !part.classList.contains("closed")));
  }
  if (!part.hasAttribute("tabindex")) part.setAttribute("tabindex", "-1");
}

function stop(part) {
  if (part?.getAttribute("tabindex") === "0") return;
  for (const old of svg.querySelectorAll('[tabindex="0"]')) old.setAttribute("tabindex", "-1");
  part?.setAttribute("tabindex", "0");
}

function prepare() {
  svg = stage.querySelector("svg");
  const [left, top, w, h] = svg.getAttribute("viewBox").split(" ").map(Number);
  whole = { x: left, y: top, w, h };
  svg.setAttribute("role", "group");
  at("counts").textContent = svg.getAttribute("aria-label");
  parts = new Map();
  for (const part of svg.querySelectorAll(".cluster, .node")) {
    const { kind, index } = which(part);
    parts.set(`${kind} ${index}`, part);
    label(part);
    if (part.hasAttribute("aria-expanded") && !part.querySelector(".fold")) badge(part);
  }
  stop(clusters()[0] ?? nodes()[0]);
}

// A round button on the corner: − closes the module, + opens it.
function badge(part) {
  const mark = draw("g", { class: "fold" });
  mark.append(draw("circle", { class: "reach", r: 13 }), draw("circle", { class: "disc", r: 6 }),
              draw("path", { class: "minus", d: "M-3,0H3" }),
              draw("path", { class: "plus", d: "M0,-3V3" }));
  const b = part.querySelector("path, polygon, ellipse").getBBox();
  part.append(mark);
  pin(part, b.x + b.width, b.y);
}

function pin(part, right, top) {
  part.querySelector(".fold").setAttribute("transform", `translate(${right - 14} ${top})`);
}

function draw(tag, attributes = {}) {
  const one = document.createElementNS(svg.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  return one;
}

// Another drawing takes the place of this one, which goes back to its template as it was made.
function swap(next) {
  restore();
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
  prepare();
}
