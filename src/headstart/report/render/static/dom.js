// Elements, number formats, the tooltip and CSV: what every figure and table is made of.

const SVG_NS = "http://www.w3.org/2000/svg";

/** Make an HTML element; `on…` attributes are listeners, strings among the children become text. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an SVG element. */
function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG_NS, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat());
  return element;
}

const NO_SHARE = new Set(["log_loss", "brier", "mcc"]);
const LOWER_IS_BETTER = new Set(["log_loss", "brier", "ece"]);

/** Where a measure begins and ends; an axis shows no tick beyond. */
function boundsOf(metric) {
  const [low, high] = (data.measures[metric] || [])[2] || [0, 1];
  return [low, high ?? Infinity];
}

/** The name of a measure inside a sentence, and at the head of a column. */
function measureName(metric) {
  return (data.measures[metric] || [])[0] || format.words(metric);
}

function measureTitle(metric) {
  const name = measureName(metric);
  return name[0].toUpperCase() + name.slice(1);
}

const NBSP = "\u00a0";  // between a number and its unit, where no line ends

const format = {
  percent: (value, digits = 1) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)}${NBSP}%`),
  score: (value, metric) => {
    if (value === null || value === undefined) return "–";
    return NO_SHARE.has(metric) ? value.toFixed(3) : format.percent(value);
  },
  images: (count) => (Number.isInteger(count) ? count.toLocaleString("en") : count.toFixed(1)),
  points: (value, metric) => {
    const sign = value > 0 ? "+" : value < 0 ? "−" : "±";
    const size = Math.abs(value);
    return sign + (NO_SHARE.has(metric) ? size.toFixed(3) : (100 * size).toFixed(1));
  },
  interval: (low, high, metric) => {
    if (low === null || low === undefined) return "–";
    return NO_SHARE.has(metric)
      ? `${low.toFixed(3)}–${high.toFixed(3)}`
      : `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}${NBSP}%`;
  },
  seconds: (value) => {
    if (value === null || value === undefined) return "–";
    if (value < 1) return `${Math.round(1000 * value)}${NBSP}ms`;
    if (value < 60) return `${value.toFixed(1)}${NBSP}s`;
    const minutes = Math.floor(Math.round(value) / 60);
    const rest = Math.round(value) % 60;
    if (minutes < 60) return rest && minutes < 10 ? `${minutes} min ${rest} s` : `${minutes} min`;
    return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  },
  count: (value) => {
    if (value === null || value === undefined) return "–";
    for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (value >= size) return `${value / size >= 100 ? Math.round(value / size) : (value / size).toFixed(1)}${NBSP}${unit}`;
    }
    return String(Math.round(value));
  },
  bytes: (value) => (value === null || value === undefined ? "–" : value < 1e3 ? `${Math.round(value)}${NBSP}B` : `${format.count(value)}B`),
  prose: (text) => text.replaceAll(" %", `${NBSP}%`).replace(/(?<=[ (])-(?=\d)/g, "−"),
  p: (value) => (value < 0.001 ? "p < 0.001" : `p = ${value.toPrecision(2)}`),
  words: (name) => String(name).replaceAll("_", " "),
};

const COLOURS = 8;
const SHAPES = ["circle", "square", "triangle", "diamond"];

/** The folds of the cross-validation that a run is part of, or null. */
function foldsOf(run) {
  const board = data.boards[run.board];
  return board ? board.folds : null;
}

/** How often each test image was tested: once a seed, or once a repeat of cross-validation. */
function timesTested(run) {
  const folds = foldsOf(run);
  const count = folds ? Math.floor(run.seeds.length / folds) : run.seeds.length;
  return { count, words: `${count} ${folds ? "repeat" : "seed"}${count === 1 ? "" : "s"}` };
}

/** The trainings of a run: its seeds, or folds × repeats. */
function timesTrained(run) {
  return foldsOf(run) ? `${foldsOf(run)} folds × ${timesTested(run).words}` : `seed${run.seeds.length === 1 ? "" : "s"} ${run.seeds.join(", ")}`;
}

/** The colour that a run has in every figure. */
function colourOf(run) {
  return `var(--c${(run.number % COLOURS) + 1})`;
}

function shapeOf(run) {
  return SHAPES[Math.floor(run.number / COLOURS) % SHAPES.length];
}

/** A mark of a run: shape and colour together tell 32 runs apart, in grey too. */
function marker(shape, x, y, size, attributes = {}) {
  if (shape === "square") {
    return s("rect", { x: x - size * 0.88, y: y - size * 0.88, width: size * 1.76, height: size * 1.76, ...attributes });
  }
  if (shape === "triangle") {
    const points = `${x},${y - size * 1.15} ${x + size * 1.1},${y + size * 0.8} ${x - size * 1.1},${y + size * 0.8}`;
    return s("polygon", { points, ...attributes });
  }
  if (shape === "diamond") {
    const points = `${x},${y - size * 1.25} ${x + size * 1.25},${y} ${x},${y + size * 1.25} ${x - size * 1.25},${y}`;
    return s("polygon", { points, ...attributes });
  }
  return s("circle", { cx: x, cy: y, r: size, ...attributes });
}

/** The small mark that stands before a run's name. */
function swatch(run) {
  return s("svg", { class: "swatch", viewBox: "0 0 12 12", "aria-hidden": "true" },
    marker(shapeOf(run), 6, 6, 4.2, { fill: colourOf(run) }));
}

const tooltip = {
  element: null,
  show(event, content) {
    if (!this.element) {
      this.element = h("div", { class: "tooltip", role: "tooltip" });
      document.body.append(this.element);
    }
    this.element.replaceChildren(...[content].flat());
    this.element.classList.add("shown");
    const box = this.element.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 16;
    const top = below + box.height > window.innerHeight - 8 ? event.clientY - box.height - 12 : below;
    this.element.style.left = `${Math.max(8, left)}px`;
    this.element.style.top = `${Math.max(8, top)}px`;
  },
  hide() {
    if (this.element) this.element.classList.remove("shown");
  },
};

/** Lines of a tooltip: a title and rows of name and value. */
function tip(title, rows = []) {
  return [
    h("strong", {}, title),
    ...rows.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
      h("div", { class: "tip-row" }, h("span", {}, name), h("b", {}, String(value)))),
  ];
}

/** Offer rows as a CSV file. */
function saveCsv(name, header, rows) {
  const quote = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = [header, ...rows].map((row) => row.map(quote).join(",")).join("\r\n") + "\r\n";
  const link = h("a", { href: URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" })), download: `${name}.csv` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function csvButton(label, make) {
  return h("button", { type: "button", class: "quiet", title: "Save as CSV", "aria-label": `Save ${label} as CSV`,
    onclick: () => { const { header, rows } = make(); saveCsv(label, header, rows); } }, "CSV");
}

/** A row of buttons of which one is pressed. */
function segmented(label, options, chosen, onchange) {
  const group = h("div", { class: "segmented", role: "group", "aria-label": label });
  for (const [value, text] of options) {
    group.append(h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: (event) => {
      for (const button of group.children) button.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", "true");
      onchange(value);
    } }, text));
  }
  return group;
}

function select(label, options, chosen, onchange) {
  return h("label", { class: "field" }, h("span", {}, label),
    h("select", { onchange: (event) => onchange(event.target.value) },
      options.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen) }, text))));
}
