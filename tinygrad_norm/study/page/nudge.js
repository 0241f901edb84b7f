// One input is moved, and the whole walk is computed again here.

const WATCHED = ["x", "xhat", "out", "dx"];

function nudging(study, program, walk) {
  if (!program || !study.arrangement || !walk.items.has("dx")) return null;
  const view = study.arrangement.view, axes = study.arrangement.axes;
  const count = sizeOf(view);
  const before = Object.fromEntries(walk.arrays);
  const where = (i) => unravel(i, view).map((k, a) => `${axes[a]} ${k}`).join(", ");
  const select = make("select", {id: "nudged"}, ...Array.from({length: count}, (_, i) => make(
    "option", {value: i}, `x at ${where(i)}`)));
  const slider = make("input", {id: "nudge", type: "range", min: -3, max: 3, step: 0.05, value: 0});
  const says = make("output", {for: "nudge nudged"}), below = make("div", {class: "scroll"});
  const names = WATCHED.filter((name) => walk.items.has(name) || name === "out")
    .map((name) => (name === "out" ? study.output : name));

  function draw() {
    const cell = Number(select.value), by = Number(slider.value);
    const x = {shape: view, cells: [...before.x.cells]};
    x.cells[cell] += by;
    const after = walked(study, program, {x});
    const set = every(study.arrangement.reduced, view, unravel(cell, view))
      .map((index) => ravel(index, view));
    says.textContent = `${by < 0 ? "−" : "+"}${Math.abs(by).toFixed(2)}`;
    const changes = set.map((i) => Math.abs(after[study.output].cells[i]
      - before[study.output].cells[i]));
    const moved = changes.filter((v) => v > 1e-12).length;
    const lost = changes.filter(Number.isNaN).length;
    below.replaceChildren(nudgedTable(names, set, cell, before, after, where),
      make("p", {role: "status"}, `${moved} of ${set.length} outputs move${
        lost ? `; of ${lost} it cannot be said: NaN` : ""}.`));
  }
  const again = make("button", {type: "button", onclick: () => {
    slider.value = 0;
    draw();
  }}, "Back to 0");
  select.addEventListener("change", draw);
  slider.addEventListener("input", draw);
  draw();
  const effect = study.constant_statistics
    ? "with it move the statistics of what is normalized together."
    : "the running statistics stay, and so do all other values.";
  return card("Nudge one input",
    make("p", {}, `One value of x moves; ${effect} The gradient that comes in stays.`),
  make("div", {class: "sliders"}, make("label", {for: "nudged"}, "Which "), select,
    make("label", {for: "nudge"}, "by "), slider, says, again), below);
}

function nudgedTable(names, set, cell, before, after, where) {
  const grid = make("table", {class: "lines nudged"});
  grid.createTHead().append(make("tr", {}, make("th", {scope: "col"}, ""),
    ...names.map((name) => make("th", {scope: "col", colspan: 2}, name))));
  const scales = names.map((name) => largest(set.flatMap((i) => [before[name].cells[i],
    after[name].cells[i]])));
  const body = grid.createTBody();
  for (const i of set) {
    const row = make("tr", {class: i === cell ? "chosen" : ""},
      make("th", {scope: "row"}, where(i)));
    names.forEach((name, k) => {
      const old = make("td", {class: "old"}, short(before[name].cells[i]));
      const value = after[name].cells[i];
      const now = make("td", {class: "now", "data-of": name, "data-cell": i,
        "data-value": value, title: String(value)}, short(value));
      tint(now, value, scales[k]);
      row.append(old, now);
    });
    body.append(row);
  }
  return grid;
}
