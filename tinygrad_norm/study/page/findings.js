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

// Of x itself; in the view that is walked the channels may stand in groups.
function axesOfX({arrangement}) {
  const axes = arrangement?.axes;
  return axes?.[1] === "G" ? ["N", "C", ...axes.slice(3)] : axes;
}

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
        arrayOf(one.gradients[names[i]]), {scale, axes: axesOfX(study)}))),
      make("ul", {class: "badges"}, ...badges.filter((one) => one.of === names[i]).map(
        (one) => badge(one, columns)))];
    }));
}

function badge(one, columns) {
  const [a, b] = [one.one, one.other].map((name) => columns.find((way) => way.name === name)
    .gradients[one.of]);
  const found = apart(one.difference, a, b);
  return make("li", {class: one.verdict === "differs" ? "differs" : "agrees"},
    make("span", {}, `${one.one} · ${one.other}`),
    make("b", {}, one.verdict === "exact" ? "exact" : `${one.verdict} ${found.size}`),
    found.nan ? make("small", {}, ` ${found.nan}`) : null);
}

function decomposition(study) {
  const found = study.decomposition;
  if (!found) return null;
  const widest = Math.max(...found.parts.map((one) => Number(one.norm)), 1e-300);
  const scale = largest(found.parts.flatMap((one) => flat(one.value)));
  const dx = flat(study.backward.find((one) => one.name === "dx").value);
  const nan = dx.filter(Number.isNaN).length;
  return card("dx, taken apart",
    make("div", {class: "arrays"}, ...found.parts.map((one) => make("div", {
      class: `part ${one.name === NOTHING ? "rounding" : ""}`},
    table([make("b", {}, one.name)], arrayOf(one.value), {scale,
      axes: axesOfX(study)}),
    make("div", {class: "scroll math small"}, bodyOf(one.formula)),
    make("div", {class: "norm"}, make("span", {}, `norm ${size(one.norm)}`),
      bar(Number(one.norm) / widest)),
    one.name === NOTHING ? make("p", {}, nothing(one)) : null))),
    make("p", {}, nan === dx.length ? "All of dx is NaN."
      : `Added up they are dx${Number(found.difference) === 0 ? " to the last bit"
        : `, but for ${tiny(found.difference)} at most`}${nan ? `; ${cellsAre(nan)} NaN` : ""}.`));
}

// The way that comes to nothing.
const NOTHING = "through σ², then μ";

function nothing(part) {
  const cells = flat(part.value).filter((v) => !Number.isNaN(v));
  const why = "Exactly 0 on paper, as Σ(x − μ) = 0: σ² does not change with μ.";
  return cells.some((v) => v !== 0) ? `${why} What stands here is rounding, ${
    tiny(Math.max(...cells.map(Math.abs)))} at most.` : why;
}

// The right side of a formula.
function bodyOf(formula) {
  const whole = parsedMath(formula.mathml), row = whole.firstElementChild;
  row.firstElementChild.remove();
  row.firstElementChild.remove();
  return whole;
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
    make("p", {}, apart(one.difference, one.left, one.right).text)))));
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
      axes: axesOfX(study)}),
    make("p", {}, total(sums).replace("%", size(norm_))));
  const draw = (on) => below.replaceChildren(...[
    column("dx", wrong.right, wrong.right_norm, wrong.right_sums, ""),
    on ? column("dx with constants: wrong", wrong.dx, wrong.norm, wrong.sums, "wrong") : null,
    on ? make("p", {class: "verdict"}, `The norm of their difference is ${size(wrong.difference)}. `
      + "The statistics move with x, and so they have a gradient too.") : null].filter(Boolean));
  const input = make("input", {type: "checkbox", id: "constants", role: "switch",
    onchange: () => draw(input.checked)});
  draw(false);
  const names = study.arrangement.centred ? "μ and σ² as constants"
    : "the mean square as a constant";
  return half(card("The usual mistake", make("p", {class: "option"}, input,
    make("label", {for: "constants"}, `treat ${names}`)), below));
}

function jacobian(study) {
  const all = study.jacobians;
  if (!all.length) return null;
  return card("The Jacobian ∂y/∂x of what is normalized together",
    ...chooser(all, (one) => {
      const scale = Math.max(largest(flat(one.matrix)), largest(flat(one.closed)));
      const digits = one.cells.length > 6 ? 2 : 3;
      return [make("div", {class: "arrays"},
        table(make("b", {}, "by the engine"), arrayOf(one.matrix), {scale, digits, class: "heat"}),
        table(make("b", {}, `closed form: ${one.text}`), arrayOf(one.closed),
          {scale, digits, class: "heat"})),
      make("p", {}, apart(one.difference, one.matrix, one.closed).text), ...spectrum(one),
      ...one.dead.map((way) => make("div", {class: "dead"}, table([make("b", {},
        `direction: ${way.name}`), make("small", {}, way.gain === null ? ` none: ${one.of} = 0`
        : ` of a step along it ${tiny(way.gain)} is left in ${one.of}`)],
      arrayOf(way.direction))))];
    }));
}

function chooser(all, draw) {
  const below = make("div");
  const select = make("select", {id: "set", onchange: () => below.replaceChildren(
    ...draw(all[select.value]))}, ...all.map((one, i) => make("option", {value: i}, one.set)));
  below.replaceChildren(...draw(all[0]));
  return [make("p", {class: "option"}, make("label", {for: "set"}, "Set"), select), below];
}

function spectrum(one) {
  if (!one.eigenvalues) return [];
  return [make("h3", {}, `Eigenvalues of ∂${one.of}/∂x · sqrtvar`), make("div", {class: "scroll"},
    lines(["", ...one.eigenvalues.map((_, i) => String(i + 1))], [
      ["measured", ...one.eigenvalues.map((v) => size(v))],
      ["expected", ...one.expected.map((v) => size(v))]]))];
}

function notes(study) {
  if (!study.notes.length) return null;
  return card("Notes", make("ul", {}, ...study.notes.map((text) => make("li", {}, text))));
}
