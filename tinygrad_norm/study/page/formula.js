// A formula with the numbers of one cell in the place of its names.

const MATHML = "http://www.w3.org/1998/Math/MathML";

function math(tag, ...children) {
  const element = document.createElementNS(MATHML, tag);
  element.append(...children);
  return element;
}

function parsedMath(text) {
  const holder = document.createElement("template");
  holder.innerHTML = text;
  return holder.content.firstElementChild;
}

function figure(value, bare = false) {
  const number = math("mn", short(value, Number.isInteger(value) ? 0 : 3));
  return value < 0 && !bare ? math("mrow", math("mo", "("), number, math("mo", ")")) : number;
}

function subscripted(name, index) {
  const label = name.cloneNode(true);
  return index.length ? math("msub", label, math("mn", index.join(","))) : label;
}

// `item` is a value or gradient with a formula, `cell` the number of its cell, `look(name)` gives
// {shape, cells} of what it reads.
function substituted(item, cell, look) {
  const whole = parsedMath(item.formula.mathml);
  const [name, , ...body] = [...whole.firstElementChild.children];
  const reads = new Map(item.reads.map((read) => [read.name, read]));
  const index = unravel(cell, item.shape);
  const listed = whole.querySelector(LISTED) !== null;
  const filled = body.map((one) => filledIn(one, {item, cell, index, reads, look, listed,
    inSum: false}));
  const result = figure(look(item.name).cells[cell], true);
  const row = math("mrow", subscripted(name, index), math("mo", "="), ...filled, math("mo", "="),
    result);
  result.setAttribute("class", "result");
  whole.replaceChildren(row);
  return whole;
}

// A sum over cells that its operand names, not along axes of it: they are written as a list.
const LISTED = '[data-sum="cells"]';

function filledIn(element, at) {
  if (element.dataset?.name !== undefined) return numbersFor(element, at);
  if (element.matches(LISTED)) at = {...at, listed: false};
  else if (element.dataset?.sum !== undefined) return terms(element, at);
  const copy = element.cloneNode(false);
  copy.removeAttribute("data-name");
  for (const child of element.childNodes) {
    copy.append(child.nodeType === Node.ELEMENT_NODE ? filledIn(child, at) : child.cloneNode());
  }
  return copy;
}

function numbersFor(element, at) {
  const name = element.dataset.name, array = at.look(name), bare = isArgument(element);
  if (!array) return element.cloneNode(true);
  const cells = at.inSum || !at.reads.has(name) ? [ravel(at.index, array.shape)]
    : cellsOf(at.reads.get(name), at.item.shape, at.cell, array.shape);
  const same = String(array.shape) === String(at.item.shape) && cells.includes(at.cell);
  if (at.listed && same) return figure(array.cells[at.cell], bare);  // beside a sum: its own cell
  if (cells.length === 1) return figure(array.cells[cells[0]], bare);
  const shown = cells.length > 8 ? [...cells.slice(0, 7), null] : cells;
  const list = shown.flatMap((c, i) => [
    ...(i ? [math("mo", ",")] : []), c === null ? math("mo", "…") : math("mn",
      short(array.cells[c]))]);
  return math("mrow", math("mo", "["), ...list, math("mo", "]"));
}

// Between the brackets and commas of a function a negative number needs no brackets of its own.
function isArgument({previousElementSibling: before, nextElementSibling: after}) {
  const is = (one, signs) => one?.localName === "mo" && signs.includes(one.textContent);
  return is(before, "(,") && is(after, "),");
}

function namesIn(element) {
  return element.dataset?.name !== undefined ? [element.dataset.name]
    : [...element.querySelectorAll("[data-name]")].map((one) => one.dataset.name);
}

function terms(element, at) {
  const body = [...element.children].slice(1);
  const axes = (element.dataset.sum.match(/\d+/g) ?? []).map(Number);
  const arrays = body.flatMap(namesIn).map(at.look).filter(Boolean);
  const shape = spread(() => 0, ...arrays, {shape: at.item.shape, cells: [0]}).shape;
  const all = every(axes, shape, at.index);
  const shown = all.length > 9 ? [...all.slice(0, 4), null, all[all.length - 1]] : all;
  const parts = shown.flatMap((index, i) => [
    ...(i ? [math("mo", "+")] : []),
    ...(index ? body.map((one) => filledIn(one, {...at, index, inSum: true}))
      : [math("mo", "…")])]);
  return element.parentElement.localName === "mfrac" ? math("mrow", ...parts)
    : math("mrow", math("mo", "("), ...parts, math("mo", ")"));
}
