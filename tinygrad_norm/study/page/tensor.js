// The tensor as a cube of N, C and all its other axes, as in Wu & He, "Group Normalization" (2018),
// arXiv:1803.08494, Figure 2. What is normalized together is solid, all else is glass.

const MOST = 9;  // cells along an edge; of more the middle is one gap
const SVG = document.querySelector("svg.graph").namespaceURI;

function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The three edges: C to the right, N into the depth, and down what is left.
function edgesOf({view, axes}) {
  const kind = (name) => (/^[CGK]/.test(name) ? 0 : name.startsWith("N") ? 1 : 2);
  return [0, 1, 2].map((which) => {
    const own = axes.map((_, a) => a).filter((a) => kind(axes[a]) === which);
    const sizes = own.map((a) => view[a]), size = sizeOf(sizes);
    const names = own.map((a) => axes[a]), grouped = names[0] === "G";
    return {own, sizes, size, shown: Math.min(size, MOST), group: grouped ? sizes[1] : 0,
      label: !own.length ? "" : grouped ? `C = ${size}`
        : `${names.join(", ")} = ${sizes.join(" × ")}`};
  });
}

// Where the cell `i` of an edge is drawn.
function placeOf(edge, i) {
  if (edge.size <= MOST) return i;
  return i === edge.size - 1 ? MOST - 1 : Math.min(i, MOST - 2);
}

// From where to where along an edge the values lie that are normalized with the one at `index`.
function spanOf(edge, reduced, index) {
  const ends = [0, 1].map((end) => ravel(edge.own.map((a, k) => (
    reduced.includes(a) ? end * (edge.sizes[k] - 1) : index[a])), edge.sizes));
  return [placeOf(edge, ends[0]), placeOf(edge, ends[1]) + 1];
}

// An SVG and a function that makes what belongs to `index` solid.
function cube(arrangement, {unit, labels}) {
  const edges = edgesOf(arrangement), [across, deep, down] = edges.map((edge) => edge.shown);
  const room = (edge) => (labels ? 7 * edge.label.length + 8 : 2);
  const left = Math.max(room(edges[2]), room(edges[0]) - across * 0.433 * unit);
  const point = (c, n, h) => [left + (c + n) * 0.866 * unit,
    4 + (deep + c - n) * 0.5 * unit + h * unit];
  const path = (...points) => `M${points.map((p) => point(...p).map((v) => v.toFixed(1)).join(" "))
    .join("L")}`;
  const right = Math.max(point(across, deep, 0)[0] + 2,
    point(across, deep / 2, 0)[0] + room(edges[1]));
  const bottom = point(across, 0, down)[1] + (labels ? 8 : 2);
  const picture = drawn("svg", {class: "cube", role: "img", width: right.toFixed(0),
    height: bottom.toFixed(0), viewBox: `0 0 ${right.toFixed(0)} ${bottom.toFixed(0)}`});
  const solid = ["top", "left", "right"].map((side) => drawn("path", {class: `solid ${side}`}));
  const seams = drawn("path", {class: "seams"});
  const whole = [[0, across], [0, deep], [0, down]];
  picture.append(
    drawn("path", {class: "hidden", d: path([0, deep, down], [0, 0, down])
      + path([0, deep, down], [across, deep, down]) + path([0, deep, down], [0, deep, 0])}),
    ...solid, seams,
    ...faces(whole, path).map((d) => drawn("path", {class: "glass", d})),
    drawn("path", {class: "grid", d: grid(whole, path, edges)}),
    drawn("path", {class: "groups", d: groups(whole, path, edges[0])}),
    ...gaps(whole, point, edges, 0.08 * unit));
  if (labels) picture.append(...edgeLabels(edges, point));
  const shade = (index) => {
    const spans = edges.map((edge) => spanOf(edge, arrangement.reduced, index));
    faces(spans, path).forEach((d, i) => solid[i].setAttribute("d", d));
    seams.setAttribute("d", grid(spans, path, edges));
  };
  shade(arrangement.view.map(() => 0));
  return [picture, shade];
}

// The three sides of a box that are seen.
function faces([[c, d], [n, m], [h, k]], path) {
  return [
    `${path([c, n, h], [d, n, h], [d, m, h], [c, m, h])}Z`,
    `${path([c, n, h], [d, n, h], [d, n, k], [c, n, k])}Z`,
    `${path([d, n, h], [d, m, h], [d, m, k], [d, n, k])}Z`];
}

const between = ([from, to]) => Array.from({length: Math.max(to - from - 1, 0)},
  (_, i) => from + i + 1);

// The lines between the cells on these sides.
function grid([across, deep, down], path) {
  const [[c, d], [n, m], [h, k]] = [across, deep, down];
  return [...between(across).map((i) => path([i, m, h], [i, n, h], [i, n, k])),
    ...between(deep).map((i) => path([c, i, h], [d, i, h], [d, i, k])),
    ...between(down).map((i) => path([c, n, i], [d, n, i], [d, m, i]))].join("");
}

function groups([, [n, m], [h, k]], path, {group, size, shown}) {
  if (!group || size !== shown) return "";
  return between([0, size]).filter((i) => i % group === 0)
    .map((i) => path([i, m, h], [i, n, h], [i, n, k])).join("");
}

// Three dots on each side where cells are left out.
function gaps([[, d], [, m], [, k]], point, edges, radius) {
  const at = [(t) => [[t, m / 2, 0], [t, 0, k / 2]], (t) => [[d / 2, t, 0], [d, t, k / 2]],
    (t) => [[d / 2, 0, t], [d, m / 2, t]]];
  return edges.flatMap((edge, which) => (edge.size <= MOST ? []
    : [0.25, 0.5, 0.75].flatMap((t) => at[which](MOST - 2 + t).map((place) => {
      const [x, y] = point(...place);
      return drawn("circle", {class: "gap", cx: x.toFixed(1), cy: y.toFixed(1),
        r: radius.toFixed(1)});
    }))));
}

function edgeLabels([across, deep, down], point) {
  const text = (edge, [x, y], anchor) => (!edge.label ? "" : drawn("text",
    {x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor}, edge.label));
  const low = down.shown;
  const [cx, cy] = point(across.shown / 2, 0, low), [nx, ny] = point(across.shown,
    deep.shown / 2, low), [hx, hy] = point(0, 0, low / 2);
  return [text(across, [cx - 6, cy + 14], "end"), text(deep, [nx + 6, ny + 14], "start"),
    text(down, [hx - 6, hy + 4], "end")];
}

// The families of the paper's figure for the same x, but for the one that is shown already.
function relatives(study) {
  const {view, axes} = study.arrangement, grouped = axes[1] === "G";
  if (axes[0] !== "N" || !(grouped || axes[1] === "C")) return [];
  const rest = view.slice(grouped ? 3 : 2), c = grouped ? view[1] * view[2] : view[1];
  const names = axes.slice(grouped ? 3 : 2), plain = [view[0], c, ...rest];
  const later = plain.map((_, a) => a).slice(2), flat_ = {view: plain, axes: ["N", "C", ...names]};
  const families = [
    ["BatchNorm", ["batch_norm", "batch_renorm"], {...flat_, reduced: [0, ...later]}],
    ["LayerNorm", ["layer_norm", "rms_norm"], {...flat_, reduced: [1, ...later]}]];
  if (sizeOf(rest) > 1) {
    families.push(["InstanceNorm", ["instance_norm"], {...flat_, reduced: later}]);
  }
  if (c > 2 && c % 2 === 0) {
    families.push(["GroupNorm", ["group_norm"], {view: [view[0], 2, c / 2, ...rest],
      axes: ["N", "G", "K", ...names], reduced: [2, ...later.map((a) => a + 1)]}]);
  }
  return families.filter(([, kinds]) => !kinds.includes(study.kind));
}

// Fits the cube into so many pixels.
function unitFor(arrangement, wide, high, most) {
  const [across, deep, down] = edgesOf(arrangement).map((edge) => edge.shown);
  return Math.min(most, wide / (0.866 * (across + deep)), high / ((across + deep) / 2 + down));
}

// Which values are normalized together with the chosen one: the same figure for every norm.
function tensorPicture(study, home) {
  const found = study.arrangement;
  home.hidden = !found;
  if (!found) return () => {};
  const [picture, shade] = cube(found, {unit: unitFor(found, 210, 150, 22), labels: true});
  const names = found.reduced.map((a) => found.axes[a]).join(", ");
  const shape = found.view.map((n, a) => `${found.axes[a]} ${n}`).join(" × ");
  const says = `${found.n} values along ${names} ${study.constant_statistics
    ? "are normalized together" : "share their running statistics"}`;
  picture.setAttribute("aria-label", `A tensor of ${shape}: ${says}`);
  const others = relatives(study).map(([name, , one]) => make("figure", {},
    cube(one, {unit: unitFor(one, 84, 66, 11), labels: false})[0], make("figcaption", {}, name)));
  for (const one of others) one.querySelector("svg").setAttribute("aria-hidden", "true");
  home.replaceChildren(make("div", {class: "own"}, picture,
    make("figcaption", {}, make("b", {}, shape), make("br"), says)),
  others.length ? make("div", {class: "others"}, ...others) : "");
  return (at) => shade(found.view.map((n, a) => Math.min(
    at[a + at.length - found.view.length] ?? 0, n - 1)));
}
