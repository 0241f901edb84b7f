// The current step: its formula, its numbers, what it reads, where gradients meet.

// What is only remembered.
const onTheSide = (one) => one.role === "statistic";

class Walk {
  constructor(study, home) {
    this.study = study;
    this.home = home;
    this.items = new Map();
    for (const one of [...study.forward, ...study.backward]) this.items.set(one.name, one);
    this.arrays = new Map([...this.items].map(([name, one]) => [
      name, {shape: one.shape, cells: flat(one.value)}]));
    this.at = [];
    this.revealed = new Set();
    this.guessing = false;
    this.look = (name) => this.arrays.get(name);
  }

  isGradient(name) { return this.items.get(name).of !== undefined; }

  axes() { return this.study.arrangement?.axes; }

  show(step) {
    this.step = step;
    if (!step) {
      this.start();
      return;
    }
    const item = this.item = this.items.get(this.study.steps[step - 1]);
    const back = this.isGradient(item.name);
    this.hidden = this.guessing && back && item.kind !== "given" && !this.revealed.has(item.name);
    const node = back ? this.items.get(item.of) : item;
    this.substitution = make("div", {class: "scroll math"});
    const parts = [
      make("div", {class: "heading"},
        make("h2", {}, make("span", {class: "name"}, item.name),
          make("span", {class: "says"}, back ? this.saysBack(item) : item.says)),
        make("p", {class: `phase ${back ? "back" : ""}`}, back ? "backward"
          : onTheSide(item) ? "on the side" : "forward")),
      item.formula ? make("div", {class: "formulas"},
        make("div", {class: "scroll math"}, parsedMath(item.formula.mathml)),
        this.hidden ? null : this.substitution) : null,
      this.hidden ? this.question(item) : null,
      make("div", {class: "side"}, make("div", {class: "arrays"}, ...this.pair(item, node, back)),
        this.operands(item, node), this.fork(item))];
    this.home.replaceChildren(...parts.filter(Boolean));
    this.point(this.at);
  }

  // What is there before the first step.
  start() {
    const {forward, output, backward} = this.study;
    const given = forward.filter((one) => !one.step);
    const [single, arrays] = [true, false].map((is) => given.filter((one) => (
      one.role === "constant") === is));
    this.item = arrays.find((one) => one.role === "input") ?? arrays[0];
    this.hidden = false;
    this.operandTables = [];
    const tables = arrays.map((one) => {
      const found = table([...this.title(one.name, one.shape), one.says
        ? make("small", {}, `: ${one.says}`) : ""], this.look(one.name), {axes: this.axes(),
        name: one.name, class: one === this.item ? "main" : "given",
        pick: one === this.item ? (index) => this.point(index) : null});
      if (one === this.item) this.main = found;
      return found;
    });
    const numbers = single.map((one) => `${one.name} = ${Number(this.look(one.name).cells[0])}`);
    this.home.replaceChildren(
      make("div", {class: "heading"}, make("h2", {}, make("span", {class: "name"}, "Start"),
        make("span", {class: "says"}, "what is given")), make("p", {class: "phase"}, "forward")),
      make("p", {}, `Each step computes one value of what is there already, as far as ${output}.`
        + (backward.length ? ` Then the gradient of ${output} comes in, and goes the same way `
          + "back, step by step, to what is given here." : " No gradient comes back.")),
      make("div", {class: "side"}, this.main, make("div", {class: "arrays"},
        ...tables.filter((one) => one !== this.main))),
      numbers.length ? make("p", {}, `Constants: ${numbers.join(", ")}.`) : "");
    this.point(this.at);
  }

  saysBack(item) {
    if (item.kind === "given") return `the gradient that comes in, of ${item.of}`;
    if (item.kind === "sum") return `the gradient of ${item.of}: its parts, added up`;
    const way = item.through ? `, back through ${item.through}` : "";
    return item.kind === "part" ? `a part of the gradient of ${item.of}${way}`
      : `the gradient of ${item.of}${way}`;
  }

  // What is new, and beside it the value that the gradient belongs to, or the gradient to come.
  pair(item, node, back) {
    const pick = (index) => this.point(index);
    const shared = {axes: this.axes(), pick};
    this.main = table(this.title(item.name, item.shape), this.look(item.name),
      {...shared, hide: this.hidden, class: "main", name: item.name});
    if (back) return [this.main, table(this.title(node.name, node.shape, "value"),
      this.look(node.name), {...shared, class: "beside", name: node.name})];
    if (!node.gradient_name) {
      return [this.main, make("p", {class: "none"}, "No gradient flows here.")];
    }
    const known = node.gradient_step <= this.step;
    return [this.main, table(this.title(node.gradient_name, node.shape, known ? "gradient"
      : "gradient, not computed yet"),
    {shape: node.shape, cells: known ? this.look(node.gradient_name).cells : null},
    {...shared, class: "beside", name: node.gradient_name})];
  }

  title(name, shape, note = "") {
    const size = shape.length ? shape.join(" × ") : "one number";
    return [make("b", {}, name), make("small", {}, ` ${note ? `${note}, ` : ""}${size}`)];
  }

  operands(item, node) {
    this.operandTables = [];
    if (!item.reads.length || item.kind === "sum") return null;  // the fork shows a sum's parts
    for (const read of item.reads) {
      if (read.name === node.name && read.name !== item.name && this.isGradient(item.name)) {
        continue;  // stands beside already
      }
      const one = this.items.get(read.name);
      this.operandTables.push([read, table(this.title(one.name, one.shape), this.look(one.name),
        {axes: this.axes(), class: "operand", name: one.name})]);
    }
    return make("div", {class: "reads"}, make("h3", {}, "It reads"),
      make("div", {class: "arrays"}, ...this.operandTables.map(([, one]) => one)));
  }

  fork(item) {
    const found = this.study.forks.find((one) => one.sum === item.name
      || one.parts.includes(item.name));
    if (!found) return null;
    const ready = (name) => this.items.get(name).step <= this.step;
    const all = [...found.parts, found.sum];
    const scale = largest(all.filter(ready).flatMap((name) => this.look(name).cells));
    const stack = all.flatMap((name, i) => {
      const array = ready(name) ? this.look(name)
        : {shape: this.items.get(name).shape, cells: null};
      const sign = i === 0 ? "" : i === all.length - 1 ? "=" : "+";
      const shown = table(this.title(name, array.shape, ready(name) ? "" : "not yet"), array, {
        axes: this.axes(), scale, hide: this.hidden && name === item.name,
        class: `operand ${name === item.name ? "now" : ""}`});
      const read = item.reads.find((one) => one.name === name);
      if (read && item.kind === "sum") this.operandTables.push([read, shown]);
      return [make("span", {class: "sign"}, sign), shown];
    });
    return make("div", {class: "fork"},
      make("h3", {}, `Gradients meet at ${found.of}`),
      make("div", {class: "stack"}, ...stack));
  }

  question(item) {
    const input = make("input", {id: "guess", type: "number", step: "any", inputmode: "decimal"});
    const label = make("label", {for: "guess"});
    this.guessLabel = label;
    const reveal = () => {
      const guess = input.value === "" ? null : Number(input.value), cell = this.cell;
      this.revealed.add(item.name);
      this.show(this.step);
      const right = this.look(item.name).cells[cell];
      this.home.querySelector(".heading").after(make("p", {class: "answer", role: "status"},
        guess === null ? `${item.name} there is ${short(right)}.`
          : `You guessed ${short(guess)}; it is ${short(right)}: ${tiny(Math.abs(guess - right))} `
            + "apart."));
      document.getElementById("next").focus();
    };
    return make("form", {class: "question", onsubmit: (event) => {
      event.preventDefault();
      reveal();
    }}, label, input, make("button", {type: "submit"}, "Reveal"));
  }

  // The cell at `index` is the one that is looked at.
  point(index) {
    this.at = index.length ? index : (this.item.shape.map(() => 0));
    this.cell = ravel(this.at, this.item.shape);
    light(this.main, "chosen", [this.cell]);
    const here = unravel(this.cell, this.item.shape);
    for (const cell of this.home.querySelectorAll("td[tabindex]")) cell.tabIndex = -1;
    this.main.querySelector(`td[data-cell="${this.cell}"]`).tabIndex = 0;
    const beside = this.home.querySelector(".beside");
    if (beside) light(beside, "lit", this.besideCells(beside.dataset.array));
    for (const [read, figureElement] of this.operandTables) {
      light(figureElement, "lit", cellsOf(read, this.item.shape, this.cell,
        this.look(read.name).shape));
    }
    if (this.step && this.item.formula && !this.hidden) {
      this.substitution.replaceChildren(substituted(this.item, this.cell, this.look));
    }
    if (this.guessLabel) this.guessLabel.textContent = `Your guess for ${this.item.name}${
      here.length ? ` at ${here.join(", ")}` : ""}: `;
    this.onpoint?.(this.at);
  }

  besideCells(name) {
    const read = this.item.reads.find((one) => one.name === name);
    const shape = this.items.get(name).shape;
    return read ? cellsOf(read, this.item.shape, this.cell, shape) : [];
  }
}
