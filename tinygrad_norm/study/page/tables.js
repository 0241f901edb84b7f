// Elements, and tables of numbers coloured around zero.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("aria")) element.setAttribute(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function largest(cells) {
  return Math.max(...cells.filter(Number.isFinite).map(Math.abs), 1e-300);
}

// The share of the full colour: a root, so that small values are told from zero.
function tint(cell, value, scale) {
  cell.classList.remove("plus", "minus", "bad");
  if (value === null) return;
  if (!Number.isFinite(value)) { cell.classList.add("bad"); return; }
  if (value !== 0) cell.classList.add(value > 0 ? "plus" : "minus");
  cell.style.setProperty("--share", `${Math.round(100 * Math.sqrt(Math.min(
    Math.abs(value) / scale, 1)))}%`);
}

// A figure with the array's values. cells: null for what is not known yet. Options: axes, their
// names; hide, shows "?"; pick(index), called when a cell is pointed at; digits; scale.
function table(caption, array, options = {}) {
  const shape = array.shape.length ? array.shape : [1];
  const scale = options.scale ?? (array.cells ? largest(array.cells) : 1);
  const axes = options.axes?.length === array.shape.length ? options.axes : null;
  const [rows, columns] = [shape.length > 1 ? shape[shape.length - 2] : 1, shape[shape.length - 1]];
  const outer = shape.slice(0, -2), holder = make("div", {class: "blocks"});
  for (let block = 0; block < sizeOf(outer); block++) {
    const grid = make("table", {class: "numbers"});
    if (outer.length) {
      const words = unravel(block, outer).map((i, a) => (axes ? `${axes[a]} = ${i}` : String(i)))
        .filter((_, a) => outer[a] > 1);
      if (words.length) grid.append(make("caption", {}, words.join(", ")));
    }
    const names = axes?.at(-1) === "C" ? DATA.study.features.slice(0, columns) : [];
    if (names.length === columns) {
      grid.createTHead().append(make("tr", {}, ...names.map((name) => make("th", {scope: "col",
        title: name}, name))));
    }
    const body = grid.createTBody();
    for (let r = 0; r < rows; r++) {
      const row = body.insertRow();
      for (let c = 0; c < columns; c++) {
        row.append(numberCell(array, (block * rows + r) * columns + c, scale, options));
      }
    }
    holder.append(grid);
  }
  const figureElement = make("figure", {class: `array ${options.class ?? ""}`},
    make("figcaption", {}, ...[caption].flat()),
    make("div", {class: "scroll"}, holder));
  if (options.name) figureElement.dataset.array = options.name;
  return figureElement;
}

function numberCell(array, i, scale, options) {
  const value = array.cells ? array.cells[i] : null;
  const cell = make("td", {"data-cell": i});
  const whole = !array.shape.length && Number.isInteger(value);  // as n
  cell.textContent = options.hide ? "?" : short(value, whole ? 0 : options.digits);
  if (value !== null && !options.hide) {
    cell.title = String(value);
    tint(cell, value, scale);
  }
  if (options.pick) {
    const index = unravel(i, array.shape);
    cell.tabIndex = -1;
    cell.addEventListener("mouseenter", () => options.pick(index));
    cell.addEventListener("focus", () => options.pick(index));
    cell.addEventListener("keydown", moveCell);
  }
  return cell;
}

// The arrows go from cell to cell while one has the focus.
function moveCell(event) {
  const cell = event.currentTarget, row = cell.parentElement;
  const [dr, dc] = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0],
    ArrowDown: [1, 0]}[event.key] ?? [0, 0];
  if (!dr && !dc) return;
  event.preventDefault();
  event.stopPropagation();
  const rows = row.parentElement.rows;
  rows[row.sectionRowIndex + dr]?.cells[cell.cellIndex + dc]?.focus();
}

function light(figureElement, kind, cells) {
  const wanted = new Set(cells);
  for (const cell of figureElement.querySelectorAll("td")) {
    cell.classList.toggle(kind, wanted.has(Number(cell.dataset.cell)));
  }
}
