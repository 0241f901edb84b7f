// Where everything goes when modules are closed: the room that they leave is given back.

function maps() {
  const boxes = drawn.clusters.filter((one) => one.shut).map((one) => one.box);
  const axis = (low, high, least, margin) => {
    const solid = [], holes = [], wants = [];
    for (const one of drawn.nodes) if (!one.gone) solid.push([one.box[low] - 5, one.box[high] + 5]);
    for (const one of drawn.clusters) {
      const a = one.box[low], b = one.box[high];
      if (!one.gone) solid.push([a - 8, a], [b, b + 8]);
      if (one.shut) {
        holes.push([a, b]);
        wants.push([a, b, one.least[least]]);
      } else if (!one.gone) {
        const title = one.texts.length ? one.texts.map((t) => t.box) : [];
        solid.push([a, a + 14], [b - 14, b]);
        if (low === "top") for (const t of title) solid.push([t.top, t.bottom + margin]);
        else if (title.length) {
          const right = Math.max(...title.map((t) => t.right));
          wants.push([a, b, right - a + 34]);
        }
      }
    }
    const ends = new Map(drawn.nodes.map((one) => [one.index, one]));
    for (const one of drawn.edges.filter((each) => !each.gone)) {
      one.loose = one.texts.some((t) => clashes(t.box, boxes));
      if (one.texts.length && !one.loose) {
        const all = outline(one.texts);
        solid.push([all[low], all[high]]);
      }
      const [p, q] = [ends.get(one.from), ends.get(one.to)];
      if (one.tail !== undefined || one.head !== undefined || !p || !q) continue;
      const a = Math.min(p.box[high], q.box[high]), b = Math.max(p.box[low], q.box[low]);
      if (b > a) wants.push([a, b, Math.min(b - a, 26)]);
    }
    const k = low === "left" ? 0 : 1;
    for (const p of drawn.corners) holes.push([p[k], p[k]]);
    for (const { box: b } of low === "top" ? drawn.captions : []) solid.push([b.top, b.bottom]);
    return squeezed(solid, holes, wants);
  };
  return [axis("left", "right", "w", 0), axis("top", "bottom", "h", 8)];
}

function outline(texts) {
  const side = (name, pick) => pick(...texts.map((t) => t.box[name]));
  return { left: side("left", Math.min), right: side("right", Math.max),
           top: side("top", Math.min), bottom: side("bottom", Math.max) };
}

// Whether what is written beside a line lies in a box that is closed now.
function clashes(b, boxes) {
  return boxes.some((r) => b.left < r.right && b.right > r.left
                           && b.top < r.bottom && b.bottom > r.top);
}

function move(mx, my) {
  const map = ([px, py]) => [mx(px), my(py)];
  const same = (list) => list.every((p) => mx(p[0]) === p[0] && my(p[1]) === p[1]);
  const shift = (element, b) => {
    const dx = mx(b.left) - b.left, dy = my(b.top) - b.top;
    if (dx || dy) element.setAttribute("transform", `translate(${dx} ${dy})`);
  };
  for (const one of drawn.nodes.filter((each) => !each.gone)) shift(one.part, one.box);
  for (const one of drawn.clusters.filter((each) => !each.gone)) {
    if (!one.shut && same(one.points)) continue;
    one.moved = true;
    const [left, top] = map([one.box.left, one.box.top]);
    const [right, bottom] = map([one.box.right, one.box.bottom]);
    if (one.shut) fill(one, left, top, right, bottom);
    else one.frame.setAttribute("d", curve(one.points.map(map)));
    for (const { text } of one.texts) shift(text, one.texts[0].box);
    pin(one.part, right, top);
    if (one.shut) label(one.part);
  }
  const lines = drawn.edges.filter((each) => !each.gone && each.path);
  for (const one of lines) {
    one.now = one.list.map(map);
    one.moved = one.list !== one.points || !same(one.points);
    if (one.moved) bend(one, map);
    if (one.loose || !one.texts.length) continue;
    const all = outline(one.texts);  // lines that belong together stay together
    for (const { text } of one.texts) shift(text, all);
  }
  settle(lines, map);
  for (const { text, box: b } of drawn.captions) shift(text, b);
  const old = drawn.corners, board = old.map(map);
  if (!board.length) return;
  const least = Math.max(0, ...drawn.captions.map(({ box: b }) => b.right + 8));
  const right = Math.max(...board.map((p) => p[0]), least);
  const edge = Math.max(...old.map((p) => p[0]));
  old.forEach((p, i) => { if (p[0] === edge) board[i][0] = right; });
  drawn.board.setAttribute("points", board.join(" "));
  const size = (list, k) => Math.max(...list.map((p) => p[k])) - Math.min(...list.map((p) => p[k]));
  whole = { ...drawn.whole, w: drawn.whole.w + size(board, 0) - size(old, 0),
            h: drawn.whole.h + size(board, 1) - size(old, 1) };
}

function fill(one, left, top, right, bottom) {
  const r = 8, cx = (left + right) / 2;
  one.box2.setAttribute("d", `M${left + r},${top}H${right - r}Q${right},${top} ${right},${top + r}`
    + `V${bottom - r}Q${right},${bottom} ${right - r},${bottom}H${left + r}`
    + `Q${left},${bottom} ${left},${bottom - r}V${top + r}Q${left},${top} ${left + r},${top}Z`);
  let y = (top + bottom) / 2 - 6 * one.words.length + 9;
  for (const text of one.words) {
    text.setAttribute("x", cx);
    text.setAttribute("y", y);
    y += 12;
  }
}

// A line: its ends at borders get their arrowhead there, turned as the line comes in.
function bend(one, map) {
  const list = one.now, old = one.points;
  one.path.setAttribute("d", curve(list));
  for (const { head, line } of one.heads) {
    const corners = points(line), far = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]);
    const near = (p) => Math.min(...corners.map((c) => far(c, p)));
    const last = near(old[old.length - 1]) <= near(old[0]);
    const base = last ? old[old.length - 1] : old[0];
    const cutOff = (last ? one.head : one.tail) !== undefined;
    const tip = last ? list[list.length - 1] : list[0];
    if (!cutOff) {
      const [nx, ny] = map(base);
      head.setAttribute("points", corners.map(([a, b]) => [a + nx - base[0], b + ny - base[1]])
        .join(" "));
      continue;
    }
    const long = Math.max(...corners.map((c) => far(c, base)));
    const back = (last ? [...list].reverse() : list).find((p) => far(p, tip) > 1) ?? tip;
    const d = far(back, tip) || 1, ux = (back[0] - tip[0]) / d, uy = (back[1] - tip[1]) / d;
    const wing = (k) => [tip[0] + ux * long - uy * k, tip[1] + uy * long + ux * k];
    head.setAttribute("points", [tip, wing(long * 0.35), wing(-long * 0.35), tip].join(" "));
  }
}

// What stood beside a line where there is a box now is written beside what is left of the line, if
// there is room; if not, it is left out: the numbers of both ends tell it.
function settle(lines, map) {
  const moved = (b) => {
    const [left, top] = map([b.left, b.top]);
    return { left, top, right: left + b.right - b.left, bottom: top + b.bottom - b.top };
  };
  const spread = (b) => {
    const [[left, top], [right, bottom]] = [map([b.left, b.top]), map([b.right, b.bottom])];
    return { left, top, right, bottom };
  };
  const taken = [
    ...drawn.nodes.filter((one) => !one.gone).map((one) => moved(one.box)),
    ...drawn.clusters.filter((one) => one.shut).map((one) => spread(one.box)),
    ...[...drawn.clusters.filter((one) => !one.gone && !one.shut), ...lines]
      .flatMap((one) => (one.loose ? [] : one.texts.map((t) => moved(t.box)))),
  ];
  for (const one of lines) {
    if (!one.loose) continue;
    const block = outline(one.texts);
    const spot = spots(one.now, block.right - block.left, block.bottom - block.top)
      .find((r) => !taken.some((t) => r.left < t.right && r.right > t.left && r.top < t.bottom
                                      && r.bottom > t.top));
    for (const { text } of one.texts) {
      text.classList.toggle("gone", !spot);
      if (spot) {
        text.setAttribute("transform",
                          `translate(${spot.left - block.left} ${spot.top - block.top})`);
      }
    }
    if (spot) taken.push(spot);
  }
}

// Places for something of this size beside a line, the best first.
function spots(list, width, height) {
  const stretches = (list.length - 1) / 3, found = [];
  for (const t of [0.5, 0.35, 0.65, 0.2, 0.8]) {
    const i = Math.min(Math.floor(t * stretches), stretches - 1);
    if (i < 0) break;
    const [, , [cx, cy], [px, py]] = halves(list.slice(3 * i, 3 * i + 4), t * stretches - i)[0];
    const flat = Math.abs(px - cx) > Math.abs(py - cy);
    const corners = flat ? [[px - width / 2, py - height - 2], [px - width / 2, py + 3]]
      : [[px + 5, py - height / 2], [px - 5 - width, py - height / 2]];
    for (const [left, top] of corners) {
      found.push({ left, right: left + width, top, bottom: top + height });
    }
  }
  return found;
}
