// The page: controls, the graph, the address, and what is drawn when.

const DATA = JSON.parse(document.getElementById("study-data").textContent);
const CASES = [{name: "as given", says: "", changes: {}}, ...DATA.cases];
const byId = (id) => document.getElementById(id);
const START = 0;  // before the first step
const page = {case: 0, step: START, walk: null, guessing: false, at: []};

function controls() {
  page.previous = make("button", {type: "button", id: "previous",
    onclick: () => go(page.step - 1)}, "← Previous");
  page.next = make("button", {type: "button", id: "next", class: "first",
    onclick: () => go(page.step + 1)}, "Next →");
  page.slider = make("input", {id: "slider", type: "range", min: START, value: START,
    max: page.walk.study.steps.length,
    "aria-label": "Step", oninput: () => go(Number(page.slider.value))});
  page.count = make("output", {id: "count", for: "slider"});
  const guess = make("input", {type: "checkbox", id: "guessing", onchange: () => {
    page.guessing = page.walk.guessing = guess.checked;
    page.walk.revealed.clear();
    byId("findings").hidden = page.guessing;  // it shows every gradient
    go(page.step);
  }});
  byId("controls").replaceChildren(page.previous, page.next, page.slider, page.count,
    make("span", {class: "option"}, guess, make("label", {for: "guessing"},
      "guess gradients first")));
}

function tabsOfCases() {
  const home = byId("cases");
  const why = whyNoCases(DATA.study);
  home.hidden = CASES.length < 2 && !why;
  if (CASES.length < 2) {
    home.replaceChildren(make("p", {}, why));
    return;
  }
  const group = make("div", {class: "tabs", role: "group", "aria-label": "What if"});
  CASES.forEach((one, i) => group.append(make("button", {type: "button",
    "aria-pressed": i === page.case, onclick: () => {
      open(i, page.step);
      byId("cases").querySelector("[aria-pressed=true]").focus();
    }}, one.name)));
  home.replaceChildren(group, make("p", {}, CASES[page.case].says));
}

function whyNoCases(study) {
  if (!study.arrangement) return "";
  if (!study.constant_statistics) {
    return "No what-ifs here: the statistics are given, and no value sees another. In training "
      + "there are some.";
  }
  const {shape} = study.arrangement, count = sizeOf(shape), {small} = DATA;
  if (count <= small) return "";
  const rows = Math.floor(small / (count / shape[0]));
  return `No what-ifs here: each is a study of its own, and the command adds them to ${small} `
    + `values of x at most, not to ${count}.${rows > 1 ? ` With --rows ${rows} it takes the first `
      + `${rows} samples.` : ""}`;
}

// Opens one of the what-ifs, at a step.
function open(number, step) {
  page.case = number;
  const plain = changed(DATA.study, CASES[number].changes);
  const study = filled(plain, plain.backward);
  page.walk = new Walk(study, byId("step"));
  page.walk.guessing = page.guessing;
  page.walk.at = page.at;
  byId("title").textContent = study.title;
  const mode = {train: "training", eval: "evaluation, with running statistics"}[study.mode];
  const side = study.forward.filter(onTheSide).length;
  const counts = [`${study.steps.length - side - study.backward.length} forward`,
    side && `${side} on the side`, `${study.backward.length} backward`].filter(Boolean);
  byId("subtitle").textContent = [mode, `${study.steps.length} steps: ${counts.join(", ")}`,
    "computed in float64"].filter(Boolean).join(" · ");
  const shade = tensorPicture(study, byId("tensor"));
  page.walk.onpoint = (at) => {
    page.at = at;
    shade(at);
  };
  tabsOfCases();
  controls();
  byId("guessing").checked = page.guessing;
  const sections = [truth(study), decomposition(study), identities(study), constants(study),
    jacobian(study), nudging(study, DATA.program, page.walk), notes(study)];
  byId("findings").replaceChildren(...sections.filter(Boolean));
  byId("findings").hidden = page.guessing;
  go(step);
}

function go(step) {
  const {steps} = page.walk.study, had = document.activeElement;
  page.step = Math.max(START, Math.min(step, steps.length));
  page.walk.show(page.step);
  const at = page.step === START;
  page.slider.value = page.step;
  page.count.textContent = at ? "start" : `${page.step} / ${steps.length}`;
  const says = at ? "start: what is given" : `step ${page.step}: ${steps[page.step - 1]}`;
  page.slider.setAttribute("aria-valuetext", says);
  if (had !== page.slider) byId("said").textContent = says;  // which says it by itself
  page.previous.disabled = at;
  page.next.disabled = page.step === steps.length;
  if (had.disabled) (had === page.next ? page.previous : page.next).focus();
  lightGraph();
  const hash = `#step=${page.step}${page.case ? `&case=${page.case}` : ""}`;
  try {
    if (location.hash !== hash) history.replaceState(null, "", hash);
  } catch {
    // A frame without an address of its own: the step is not kept.
  }
}

function fromHash() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const number = Math.trunc(Number(wanted.get("case"))) || 0;
  const step = /^\d+$/.test(wanted.get("step")) ? Number(wanted.get("step")) : START;
  return [CASES[number] ? number : 0, step];
}

function lightGraph() {
  const {walk, step} = page, item = walk.item, back = walk.isGradient(item.name);
  const current = back ? item.of : item.name, {items} = page.walk;
  const done = (node) => node.step <= step;
  const graded = (node) => node.gradient_step !== null && node.gradient_step <= step;
  const spoilt = (node) => graded(node) && !items.get(node.gradient_name).finite;
  const near = new Set(item.reads.map((read) => walk.items.get(read.name).of ?? read.name));
  for (const box of document.querySelectorAll("#graph .node")) {
    const node = walk.items.get(box.dataset.node);
    box.classList.toggle("current", node.name === current);
    box.classList.toggle("near", near.has(node.name) && node.name !== current);
    box.classList.toggle("known", done(node));
    box.classList.toggle("graded", graded(node));
    box.classList.toggle("infinite", done(node) && !node.finite);
    box.classList.toggle("spoilt", spoilt(node));
    if (node.name === current) inSight(box);
  }
  for (const edge of document.querySelectorAll("#graph .edge")) {
    const {from, to, marks} = edge.dataset, [start, end] = [items.get(from), items.get(to)];
    const backward = back && from === current && (item.through === to || item.kind === "sum");
    const lit = !back && to === current;
    edge.classList.toggle("lit", lit);
    edge.classList.toggle("back", backward);
    const bad = (done(start) && done(end) && !start.finite && !end.finite)
      || (spoilt(end) && spoilt(start));  // so NaN went, forward or back
    edge.classList.toggle("bad", bad);
    const mark = (kind) => `url(#${marks}-${bad ? "bad" : kind})`;
    edge.setAttribute("marker-end", backward ? "" : mark(lit ? "lit" : "end"));
    edge.setAttribute("marker-start", backward ? mark("back") : "");
  }
}

// Scrolls the graph sideways, never the page.
function inSight(box) {
  const home = byId("graph"), frame = home.getBoundingClientRect();
  const place = box.getBoundingClientRect();
  if (place.left < frame.left + 20 || place.right > frame.right - 20) {
    home.scrollLeft += place.left + place.width / 2 - frame.left - frame.width / 2;
  }
}

// First to where the value comes, and from there to its gradient.
function visit(name) {
  const node = page.walk.items.get(name), {step, gradient_step: back} = node;
  if (page.step !== step || back === null) go(step);
  else if (back !== null) go(back);
}

for (const box of document.querySelectorAll("#graph .node")) {
  box.addEventListener("click", () => visit(box.dataset.node));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    visit(box.dataset.node);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  // What has a use of its own for the arrows keeps them; a box to tick has none.
  if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
  const steps = {ArrowRight: page.step + 1, ArrowLeft: page.step - 1, Home: START,
    End: page.walk.study.steps.length};
  if (!(event.key in steps)) return;
  event.preventDefault();
  go(steps[event.key]);
});

window.addEventListener("hashchange", () => {
  const [number, step] = fromHash();
  if (number !== page.case) open(number, step);
  else if (step !== page.step) go(step);
});

open(...fromHash());
