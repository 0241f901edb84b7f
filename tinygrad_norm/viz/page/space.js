// Where modules are closed the picture shrinks: of each axis the stretches where nothing but what
// is hidden stood. Both axes are mapped by a function that only rises, so that whatever was left of
// a thing stays left of it, and no line crosses what it did not cross before.

// solid: [from, to] that keep their length. holes: those that may shrink. wants: [from, to, least],
// what must stay at least so long. Gives the function.
function squeezed(solid, holes, wants) {
  const cuts = [...new Set([...solid, ...holes, ...wants].flatMap(([a, b]) => [a, b]))]
    .sort((a, b) => a - b);
  const place = new Map(cuts.map((cut, i) => [cut, i]));
  const covered = (list) => {
    const count = new Array(cuts.length).fill(0);
    for (const [a, b] of list) {
      count[place.get(a)]++;
      count[place.get(b)]--;
    }
    let sum = 0;
    return count.map((change) => (sum += change) > 0);
  };
  const kept = covered(solid), free = covered(holes);
  const wide = cuts.map((cut, i) => (i + 1 < cuts.length ? cuts[i + 1] - cut : 0));
  const soft = wide.map((_, i) => free[i] && !kept[i]);
  const long = wide.map((width, i) => (soft[i] ? 0 : width));
  wants.sort((p, q) => (p[1] - p[0]) - (q[1] - q[0]));
  for (const [a, b, least] of wants) {
    let sum = 0, room = 0;
    for (let i = place.get(a); i < place.get(b); i++) {
      sum += long[i];
      if (soft[i]) room += wide[i];
    }
    if (sum >= least || !room) continue;
    for (let i = place.get(a); i < place.get(b); i++) {
      if (soft[i]) long[i] += (least - sum) * wide[i] / room;
    }
  }
  const starts = [];
  let here = cuts[0];
  for (const length of long) {
    starts.push(here);
    here += length;
  }
  return (value) => {
    if (!cuts.length || value <= cuts[0]) return value;
    let low = 0, high = cuts.length - 1;
    if (value >= cuts[high]) return starts[high] + value - cuts[high];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (cuts[middle] <= value) low = middle;
      else high = middle;
    }
    return starts[low] + (value - cuts[low]) * (long[low] / wide[low]);
  };
}

// --- curves: lists of points, the first and then three for each stretch

const points = (text) => text.match(/-?[\d.]+(?:e-?\d+)?/g).map(Number)
  .reduce((list, v, i) => (i % 2 ? list[list.length - 1].push(v) : list.push([v]), list), []);
const curve = (list) => `M${list[0]}${list.length > 1 ? `C${list.slice(1).join(" ")}` : ""}`;
const mix = (p, q, t) => [p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t];

// A stretch cut in two at t.
function halves([a, b, c, d], t) {
  const ab = mix(a, b, t), bc = mix(b, c, t), cd = mix(c, d, t);
  const abc = mix(ab, bc, t), bcd = mix(bc, cd, t), middle = mix(abc, bcd, t);
  return [[a, ab, abc, middle], [middle, bcd, cd, d]];
}

const within = ([px, py], r) => px > r.left && px < r.right && py > r.top && py < r.bottom;

// The curve from where it leaves the rectangle that it starts in.
function leaving(list, r) {
  const steps = 16, count = (list.length - 1) / 3;
  for (let i = count - 1; i >= 0; i--) {
    const stretch = list.slice(3 * i, 3 * i + 4);
    for (let k = steps; k >= 0; k--) {
      if (!within(halves(stretch, k / steps)[0][3], r)) continue;
      if (k === steps) return i === count - 1 ? null : list.slice(3 * i + 3);
      let low = k / steps, high = (k + 1) / steps;
      for (let n = 0; n < 20; n++) {
        const middle = (low + high) / 2;
        if (within(halves(stretch, middle)[0][3], r)) low = middle;
        else high = middle;
      }
      return [...halves(stretch, high)[1], ...list.slice(3 * i + 4)];
    }
  }
  return list;
}

const entering = (list, r) => leaving([...list].reverse(), r)?.reverse() ?? null;
