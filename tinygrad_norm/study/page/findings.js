// What the whole walk shows: truth in several columns, the decomposition, the Jacobian.

const SYMBOLS = {dgamma: "dγ", dbeta: "dβ"};

function card(title, ...children) {
  return make("section", {class: "card"}, make("h2", {}, title), ...children);
}

// Beside another one, where there is room.
function half(section) {
  section.classList.add("half");
  return section;
}

const shapeOf = (value) => (Array.isArray(value) ? [value.length, ...shapeOf(value[0])] : []);
const arrayOf = (value) => ({shape: shapeOf(value), cells: flat(value)});

// Buttons of which one is chosen; draw(i) fills what is below.
function tabs(label, names, draw) {
  const below = make("div");
  const group = make("div", {class: "tabs", role: "group", "aria-label": label});
  const choose = (i) => {
    [...group.children].forEach((one, k) => one.setAttribute("aria-pressed", k === i));
    below.replaceChildren(...draw(i));
  };
  names.forEach((name, i) => group.append(make("button", {type: "button",
    onclick: () => choose(i)}, name)));
  choose(0);
  return names.length > 1 ? [group, below] : [below];
}

function truth(study) {
  const {columns, badges} = study.truth;
  if (!columns.length || !Object.keys(columns[0].gradients).length) return null;
  const names = Object.keys(columns[0].gradients);
  return card(`${columns.length} ways to the same gradients`,
    make("p", {}, "Each badge is computed: exact is every bit, ≈ is within the tolerance."),
    ...tabs("Which gradient", names.map((name) => SYMBOLS[name] ?? name), (i) => {
      const scale = largest(flat(columns[0].gradients[names[i]]));
      const ways = columns.filter((one) => names[i] in one.gradients);
      return [make("div", {class: "arrays"}, ...ways.map((one) => table(make("b", {}, one.name),
        arrayOf(one.gradients[names[i]]), {scale, axes: study.arrangement?.axes}))),
      make("ul", {class: "badges"}, ...badges.filter((one) => one.of === names[i]).map(badge))];
    }));
}

function badge(one) {
  return make("li", {class: one.verdict === "differs" ? "differs" : "agrees"},
    make("span", {}, `${one.one} · ${one.other}`),
    make("b", {}, one.verdict === "exact" ? "exact" : `${one.verdict} ${tiny(one.difference)}`));
}

function decomposition(study) {
  const found = study.decomposition;
  if (!found) return null;
  const widest = Math.max(...found.parts.map((one) => Number(one.norm)), 1e-300);
  const scale = largest(found.parts.flatMap((one) => flat(one.value)));
  return card("dx, taken apart",
    make("div", {class: "arrays"}, ...found.parts.map((one) => make("div", {class: "part"},
      table([make("b", {}, one.name)], arrayOf(one.value), {scale,
        axes: study.arrangement.axes}),
      make("div", {class: "scroll math small"}, parsedMath(one.formula.mathml)),
      make("div", {class: "norm"}, make("span", {}, `norm ${size(one.norm)}`),
        bar(Number(one.norm) / widest))))),
    make("p", {}, `Added up they are dx, but for ${tiny(found.difference)} at most.`));
}

const size = (value) => (Math.abs(Number(value)) < 1e-3 ? tiny(Number(value))
  : short(Number(value)));

function bar(share) {
  const element = make("i", {class: "bar", "aria-hidden": "true"});
  element.style.width = `${Number.isFinite(share) ? Math.min(100 * share, 100) : 0}%`;
  return element;
}

function identities(study) {
  if (!study.identities.length) return null;
  return half(card("What must hold, measured", ...study.identities.map((one) => make("div",
    {class: "identity"}, make("h3", {}, one.text),
    make("div", {class: "scroll"}, lines(["", "left", "right"], one.left.map((left, i) => [
      study.jacobians[i]?.set ?? `set ${i}`, tiny(Number(left)), tiny(Number(one.right[i]))]))),
    make("p", {}, `At most ${tiny(one.difference)} apart.`)))));
}

function lines(head, rows) {
  const grid = make("table", {class: "lines"});
  const top = grid.createTHead().insertRow();
  for (const text of head) top.append(make("th", {scope: "col"}, text));
  const body = grid.createTBody();
  for (const row of rows) {
    body.append(make("tr", {}, ...row.map((text, i) => make(i ? "td" : "th",
      i ? {} : {scope: "row"}, text))));
  }
  return grid;
}

function constants(study) {
  const wrong = study.constant_statistics;
  if (!wrong) return null;
  const below = make("div", {class: "arrays"});
  const total = (sums) => `norm %, Σdx of each set: ${sums.map((v) => size(v)).join(", ")}`;
  const scale = Math.max(largest(flat(wrong.dx)), largest(flat(wrong.right)));
  const column = (name, value, norm_, sums, kind) => make("div", {class: "part"},
    table(make("b", {}, name), arrayOf(value), {scale, class: kind,
      axes: study.arrangement.axes}),
    make("p", {}, total(sums).replace("%", size(norm_))));
  const draw = (on) => below.replaceChildren(...[
    column("dx", wrong.right, wrong.right_norm, wrong.right_sums, ""),
    on ? column("dx with constants: wrong", wrong.dx, wrong.norm, wrong.sums, "wrong") : null,
    on ? make("p", {class: "verdict"}, `They differ by up to ${size(wrong.difference)}. `
      + "The statistics move with x, and so they have a gradient too.") : null].filter(Boolean));
  const input = make("input", {type: "checkbox", id: "constants", role: "switch",
    onchange: () => draw(input.checked)});
  draw(false);
  const names = study.arrangement.centred ? "μ and σ²" : "the mean square";
  return half(card("The usual mistake", make("p", {}, input,
    make("label", {for: "constants"}, ` treat ${names} as constants`)), below));
}

function jacobian(study) {
  const all = study.jacobians;
  if (!all.length) return null;
  return card("The Jacobian ∂y/∂x of what is normalized together",
    make("label", {for: "set"}, "Set "), ...chooser(all, (one) => {
      const scale = Math.max(largest(flat(one.matrix)), largest(flat(one.closed)));
      const digits = one.cells.length > 6 ? 2 : 3;
      return [make("div", {class: "arrays"},
        table(make("b", {}, "by the engine"), arrayOf(one.matrix), {scale, digits, class: "heat"}),
        table(make("b", {}, `closed form: ${study.arrangement.centred
          ? "(γ/√(σ²+ε)) (I − 11ᵀ/N − x̂x̂ᵀ/N)" : "(γ/√(σ²+ε)) (I − x̂x̂ᵀ/N)"}`),
        arrayOf(one.closed), {scale, digits, class: "heat"})),
      make("p", {}, `At most ${tiny(one.difference)} apart.`), ...spectrum(one),
      ...one.dead.map((way) => make("div", {class: "dead"}, table([make("b", {},
        `dead direction: ${way.name}`), make("small", {},
        ` of a step along it ${tiny(Number(way.gain))} is left`)], arrayOf(way.direction))))];
    }));
}

function chooser(all, draw) {
  const below = make("div");
  const select = make("select", {id: "set", onchange: () => below.replaceChildren(
    ...draw(all[select.value]))}, ...all.map((one, i) => make("option", {value: i}, one.set)));
  below.replaceChildren(...draw(all[0]));
  return [select, below];
}

function spectrum(one) {
  if (!one.eigenvalues) return [];
  return [make("h3", {}, "Eigenvalues of ∂x̂/∂x · √(σ²+ε)"), make("div", {class: "scroll"},
    lines(["", ...one.eigenvalues.map((_, i) => String(i + 1))], [
      ["measured", ...one.eigenvalues.map((v) => size(v))],
      ["expected", ...one.expected.map((v) => size(v))]]))];
}

function notes(study) {
  if (!study.notes.length) return null;
  return card("Notes", make("ul", {}, ...study.notes.map((text) => make("li", {}, text))));
}

// Which values are normalized together with the chosen one: the same figure for every norm.
function tensorPicture(study, home) {
  const found = study.arrangement;
  home.hidden = !found;
  if (!found) return () => {};
  const names = found.reduced.map((a) => found.axes[a]).join(", ");
  const holder = make("div", {class: "slabs"}), view = found.view;
  const rest = view.slice(0, -2), cells = [];
  for (let block = 0; block < sizeOf(rest); block++) {
    const slab = make("div", {class: "slab"});
    slab.style.setProperty("--columns", view[view.length - 1]);
    slab.style.setProperty("--rows", view[view.length - 2]);
    for (let i = 0; i < view[view.length - 2] * view[view.length - 1]; i++) {
      cells.push(slab.appendChild(make("i")));
    }
    holder.append(slab);
  }
  const shape = view.map((n, a) => `${found.axes[a]} ${n}`).join(" × ");
  home.replaceChildren(holder, make("figcaption", {}, make("b", {}, shape), make("br"),
    `${found.n} values along ${names} ${study.constant_statistics ? "are normalized together"
      : "share their running statistics"}`));
  return (at) => {
    const index = view.map((n, a) => Math.min(at[a + at.length - view.length] ?? 0, n - 1));
    const set = new Set(every(found.reduced, view, index).map((one) => ravel(one, view)));
    cells.forEach((cell, i) => cell.classList.toggle("in", set.has(i)));
  };
}
