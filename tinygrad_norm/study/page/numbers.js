// Arrays as {shape, cells}, and the expressions of the walk computed with them.

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

// NaN and the infinities come as strings.
const flat = (value) => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)]);

function unravel(i, shape) {
  const index = [];
  for (let a = shape.length - 1; a >= 0; a--) {
    index[a] = i % shape[a];
    i = Math.floor(i / shape[a]);
  }
  return index;
}

// Axes count from the last one back; an axis of length 1 has only 0.
function ravel(index, shape) {
  const offset = index.length - shape.length;
  return shape.reduce((i, n, a) => i * n + Math.min(index[a + offset] ?? 0, n - 1), 0);
}

function every(axes, shape, from) {
  let found = [from];
  for (const a of axes) {
    found = found.flatMap((index) => Array.from({length: shape[a]},
      (_, i) => index.map((v, b) => (b === a ? i : v))));
  }
  return found;
}

// Which cells of an array of shape `other` the cell `i` of one of shape `own` depends on.
function cellsOf(read, own, i, other) {
  if (Array.isArray(read.cells)) return read.cells[i];
  if (read.cells === "all") return Array.from({length: sizeOf(other)}, (_, k) => k);
  const index = unravel(i, own), offset = own.length - other.length;
  const aligned = other.map((n, a) => (n === 1 ? 0 : index[a + offset] ?? 0));
  const free = other.map((n, a) => a).filter((a) => other[a] > 1 && (own[a + offset] ?? 1) === 1);
  return every(free, other, aligned).map((one) => ravel(one, other));
}

function spread(f, ...arrays) {
  const dims = Math.max(...arrays.map((a) => a.shape.length));
  const shape = Array.from({length: dims}, (_, k) => Math.max(
    ...arrays.map((a) => a.shape[k - dims + a.shape.length] ?? 1)));
  const cells = Array.from({length: sizeOf(shape)}, (_, i) => {
    const index = unravel(i, shape);
    return f(...arrays.map((a) => a.cells[ravel(index, a.shape)]));
  });
  return {shape, cells};
}

function summed(array, axes) {
  const shape = array.shape.map((n, a) => (axes.includes(a) ? 1 : n));
  const cells = new Array(sizeOf(shape)).fill(0);
  array.cells.forEach((v, i) => { cells[ravel(unravel(i, array.shape), shape)] += v; });
  return {shape, cells};
}

const OPERATORS = {
  "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b,
  "**": (a, b) => a ** b, sqrt: Math.sqrt, ones: () => 1,
  clip: (v, low, high) => Math.min(Math.max(v, low), high),
};

// `what` is a number, a name, or [operator, operand, …].
function computed(what, values, arrangement) {
  if (typeof what === "number") return {shape: [], cells: [what]};
  if (typeof what === "string") return values[what];
  const operands = what.slice(1).map((one) => computed(one, values, arrangement));
  if (what[0] === "sum") return summed(operands[0], arrangement.reduced);
  if (what[0] === "share") return summed(operands[0], arrangement.shared);
  if (what[0] === "average") return averaged(operands[0]);
  return spread(OPERATORS[what[0]], ...operands);
}

// Over the first axis.
function averaged(array) {
  const total = summed(array, [0]);
  return {shape: total.shape, cells: total.cells.map((v) => v / array.shape[0])};
}

// The whole walk once more, from other leaves.
function walked(study, program, leaves) {
  const values = {};
  for (const one of [...study.forward, ...study.backward]) {
    values[one.name] = leaves[one.name] ?? (one.formula
      ? computed(program[one.name], values, study.arrangement)
      : {shape: one.shape, cells: flat(one.value)});
  }
  return values;
}

// What Python's `changes` took apart.
function changed(one, change) {
  if (change === undefined) return one;
  if ("is" in change) return change.is;
  if (!("at" in change)) return one;
  const copy = Array.isArray(one) ? [...one] : {...one};
  for (const key of Object.keys(change.at)) copy[key] = changed(one[key], change.at[key]);
  return copy;
}

// Where Python's `shared` left a gradient out that stands there already.
function filled(one, gradients) {
  if (one === null || typeof one !== "object") return one;
  if ("same" in one) {
    return one.shape.reduceRight((cells, n) => Array.from({length: cells.length / n},
      (_, i) => cells.slice(i * n, i * n + n)),
    flat(gradients.find((own) => own.name === one.same).value))[0];
  }
  if (Array.isArray(one)) return one.map((own) => filled(own, gradients));
  return Object.fromEntries(Object.entries(one).map(([key, own]) => [key, filled(own, gradients)]));
}

// Few digits for the eye; all of them stand in the cell's title.
function short(value, digits = 3) {
  if (value === null || value === undefined) return "—";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 10 ** -digits || size >= 1e5
    ? value.toExponential(1).replace("e+", "e") : size >= 1000
      ? value.toFixed(0) : value.toFixed(digits);
  return text.replaceAll("-", "−");
}

// Of a difference: never rounded to nothing.
function tiny(found) {
  const value = found === null ? NaN : Number(found);
  if (!Number.isFinite(value)) return short(value);
  return value === 0 ? "0" : value.toExponential(1).replace("e+", "e").replaceAll("-", "−");
}

// How far two arrays are apart, in words: `measured` is Python's figure; NaN is never passed over.
function apart(measured, one, other) {
  const [a, b] = [flat(one), flat(other)];
  const missing = a.map((v, i) => Number.isNaN(v) + Number.isNaN(b[i]));
  const [both, single] = [2, 1].map((n) => missing.filter((m) => m === n).length);
  const found = measured === null || !Number.isFinite(Number(measured)) ? Math.max(...a.map(
    (v, i) => (missing[i] || v === b[i] ? 0 : Math.abs(v - b[i])))) : Number(measured);
  const nan = [both && `${cellsAre(both)} NaN in both`, single && `${cellsAre(single)} NaN in only `
    + "one"].filter(Boolean);
  const rest = both + single < a.length ? [tiny(found)] : [];
  return {size: rest[0] ?? "", nan: nan.join(", "),
    text: rest.length ? `At most ${[`${rest[0]} apart`, ...nan].join("; ")}.`
      : `Nothing to compare: ${nan.join(", ")}.`};
}

const cellsAre = (n) => (n === 1 ? "1 cell is" : `${n} cells are`);
