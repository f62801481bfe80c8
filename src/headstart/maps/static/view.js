// A map of images: points on a stage that zooms and pans, a legend, a lasso, and what is under the pointer.

const MAP_MOST_SHOWN = 60; // pictures of a choice that are shown
const MAP_PAPER_HEIGHT = 460; // px of the stage in print

class ImageMap {
  /**
   * Args:
   *   host: an empty element.
   *   data: positions, colours, and perhaps names and sheets of small pictures.
   *   options: picture(row) → element or null; chosen(rows): the lasso's images, else a list of them is drawn;
   *     passes(key): whether the page itself takes a key; always: scrolling zooms even before the map has been clicked; drawing: "canvas" or "webgl"; else what is fast.
   */
  constructor(host, data, options = {}) {
    [this.host, this.data, this.options] = [host, data, options];
    this.points = new MapPoints(data.positions);
    this.chosen = new Set();
    this.pointers = new Map();
    this.lasso = null;
    this.lassoing = false;
    this.near = -1;
    this.frames = 0;
    this.sheets = data.sheets ? new MapSheets(data.sheets) : null;
    this.colours = new MapColours(data.colours, () => this.recolour());
    this.build();
    this.drawOn(options.drawing);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.resize();
  }

  build() {
    const button = (text, label, act, attributes = {}) => mapElement("button", { type: "button", title: label, "aria-label": label, onclick: act, ...attributes }, text);
    this.by = mapElement("select", { "aria-label": "Colour by", onchange: (event) => { this.colours.show(event.target.value); this.recolour(); } });
    this.lassoButton = button("Lasso", "Draw around images to choose them (L, or Shift and drag)", () => this.setLasso(!this.lassoing), { "aria-pressed": "false" });
    this.bar = mapElement("div", { class: "map-bar" }, mapElement("label", { class: "map-field" }, mapElement("span", {}, "Colour by "), this.by), mapElement("span", { class: "map-push" }), this.lassoButton, button("+", "Zoom in (+)", () => this.zoom(1.5)), button("−", "Zoom out (−)", () => this.zoom(1 / 1.5)), button("Whole", "Show the whole map (0)", () => this.whole()));
    this.outline = mapElement("path", {});
    this.overlay = mapElement("svg", { class: "map-overlay", "aria-hidden": "true" }, this.outline);
    this.ring = mapElement("div", { class: "map-ring", hidden: true });
    this.middle = mapElement("div", { class: "map-middle", "aria-hidden": "true" });
    this.tip = mapElement("div", { class: "map-tip", hidden: true });
    this.stage = mapElement("div", { class: "map-stage", tabindex: "0", role: "application", "aria-label": `Map of ${this.points.count.toLocaleString("en")} images. Arrow keys move, plus and minus zoom, Enter names the image nearest to the middle. The table below says in words how the classes are mixed.` }, this.overlay, this.ring, this.middle, this.tip);
    this.said = mapElement("p", { class: "map-said", role: "status" });
    this.list = mapElement("div", { class: "map-chosen", hidden: true });
    this.host.classList.add("map");
    this.host.replaceChildren(this.bar, mapElement("div", { class: "map-body" }, this.stage, this.colours.legend), this.said, this.list);
    this.fillChoice();
  }

  fillChoice() {
    const names = this.colours.all.map((each) => each.name), now = this.colours.now ? this.colours.now.name : "";
    this.by.replaceChildren(...names.map((name) => mapElement("option", { value: name, selected: name === now }, name)));
    this.by.parentElement.hidden = names.length < 2;
  }

  drawOn(kind) {
    if (this.drawing) this.drawing.canvas.remove();
    this.drawing = mapDrawing(kind);
    this.drawing.canvas.setAttribute("aria-hidden", "true");
    this.drawing.canvas.addEventListener("webglcontextlost", () => { this.drawOn("canvas"); this.width = 0; this.resize(); });
    this.stage.prepend(this.drawing.canvas);
    this.host.dataset.drawing = this.drawing.kind;
    this.recolour();
  }

  /** Take other colourings, such as after a label was given. */
  update(colours) {
    this.colours.update(colours);
    this.fillChoice();
    this.recolour();
  }

  /** Put the points in the order of drawing: grey ones first, chosen ones last. */
  recolour() {
    const { points, colours, chosen } = this, style = getComputedStyle(this.host);
    const [other, paper] = [mapRgb(style.getPropertyValue("--map-other").trim()), mapRgb(style.getPropertyValue("--paper").trim())];
    this.colours.on(paper[1] < 128);
    const [place, looks] = colours.looks(other), n = points.count, layer = new Uint8Array(n), next = [0, 0, 0];
    for (let row = 0; row < n; row++) layer[row] = chosen.size && chosen.has(row) ? 2 : place[row] ? 1 : 0;
    for (let row = 0; row < n; row++) for (let above = layer[row] + 1; above < 3; above++) next[above]++;
    const tints = looks.flatMap(([colour], look) => [colour, mapMixed(colour, paper, 0.72)].map((rgb) => [...rgb, look ? 255 : 180]));
    const places = new Uint16Array(2 * n), colour = new Uint8Array(4 * n), shapes = new Uint8Array(n);
    for (const row of points.order) {
      const k = next[layer[row]]++, tint = tints[2 * place[row] + (chosen.size && layer[row] < 2 ? 1 : 0)];
      places[2 * k] = points.positions[2 * row];
      places[2 * k + 1] = points.positions[2 * row + 1];
      for (let part = 0; part < 4; part++) colour[4 * k + part] = tint[part];
      shapes[k] = looks[place[row]][1];
    }
    this.paper = paper;
    this.drawing.load(places, colour, shapes);
    this.later();
  }

  resize() {
    const { canvas } = this.drawing, ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    if (!width || !height) return;
    const fresh = this.width !== width || this.height !== height;
    if (!fresh && canvas.width === Math.round(width * ratio) && canvas.height === Math.round(height * ratio)) return;
    const before = this.view && this.width && { x: (this.width / 2 - this.view.x) / this.view.scale, y: (this.height / 2 - this.view.y) / this.view.scale, zoomed: this.view.scale / this.fit() };
    [this.width, this.height, this.ratio] = [width, height, ratio];
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (!before || before.zoomed < 1.01) this.whole();
    else {
      const scale = before.zoomed * this.fit();
      this.view = { scale, x: width / 2 - before.x * scale, y: height / 2 - before.y * scale };
    }
    this.paint();
  }

  fit() {
    const [left, top, right, bottom] = this.points.box, room = Math.min(24, 0.05 * this.width);
    return Math.min((this.width - 2 * room) / Math.max(1, right - left), (this.height - 2 * room) / Math.max(1, bottom - top));
  }

  whole() {
    const scale = this.fit(), [left, top, right, bottom] = this.points.box;
    this.view = { scale, x: this.width / 2 - (scale * (left + right)) / 2, y: this.height / 2 - (scale * (top + bottom)) / 2 };
    this.later();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const { view } = this, scale = Math.min(Math.max(view.scale * factor, 0.5 * this.fit()), 400 * this.fit()), part = scale / view.scale;
    this.view = { scale, x: x - (x - view.x) * part, y: y - (y - view.y) * part };
    this.later();
  }

  pan(x, y) {
    this.view = { ...this.view, x: this.view.x + x, y: this.view.y + y };
    this.later();
  }

  /** The diameter of a point in pixels of the page: larger with fewer points, and as one zooms in. */
  size() {
    const crowd = Math.sqrt((this.width * this.height) / Math.max(1, this.points.count));
    return Math.min(16, Math.max(2, Math.min(0.34 * crowd, 8)) * Math.max(1, Math.pow(this.view.scale / this.fit(), 0.55)));
  }

  later() {
    if (this.asked || !this.width) return;
    this.asked = requestAnimationFrame(() => this.paint());
  }

  paint() {
    if (this.asked) cancelAnimationFrame(this.asked);
    this.asked = null;
    const { view, ratio } = this;
    this.drawing.draw({ scale: view.scale * ratio, x: view.x * ratio, y: view.y * ratio }, this.size() * ratio, this.paper);
    this.frames++;
    this.stage.classList.toggle("map-held", Boolean(this.options.always) || this.lassoing || view.scale > 1.01 * this.fit());
    if (this.near >= 0) this.mark();
    this.outline.setAttribute("d", this.lasso ? `M${this.lasso.map((at) => this.screen(at).map((value) => value.toFixed(1)).join(" ")).join("L")}Z` : "");
  }

  screen([x, y]) { return [this.view.x + x * this.view.scale, this.view.y + y * this.view.scale]; }

  place([x, y]) { return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale]; }

  at(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left - this.stage.clientLeft, event.clientY - box.top - this.stage.clientTop];
  }

  /** Show what is near a place of the screen, or nothing. */
  look(at, reach) {
    const [x, y] = this.place(at), room = (reach + this.size() / 2) / this.view.scale;
    this.near = this.points.nearest(x, y, room);
    [this.ring.hidden, this.tip.hidden] = [this.near < 0, this.near < 0];
    if (this.near < 0) return;
    this.tip.replaceChildren(...[this.picture(this.near), ...this.lines(this.near)].filter(Boolean));
    this.mark();
  }

  picture(row) {
    return this.options.picture ? this.options.picture(row) : this.sheets ? this.sheets.picture(row) : null;
  }

  lines(row) {
    const name = this.data.names ? this.data.names[row] : null, parts = [name ? mapElement("b", {}, name) : null];
    for (const each of this.colours.all) {
      const label = this.colours.label(row, each.name);
      if (label) parts.push(mapElement("span", {}, `${each.name}: ${label}`));
    }
    return parts.filter(Boolean);
  }

  mark() {
    const [x, y] = this.screen([this.points.positions[2 * this.near], this.points.positions[2 * this.near + 1]]), wide = this.size() + 8;
    Object.assign(this.ring.style, { left: `${x - wide / 2}px`, top: `${y - wide / 2}px`, width: `${wide}px`, height: `${wide}px` });
    const [width, height] = [this.tip.offsetWidth, this.tip.offsetHeight], left = x + 16 + width < this.width ? x + 16 : x - 16 - width;
    Object.assign(this.tip.style, { left: `${Math.max(4, Math.min(left, this.width - width - 4))}px`, top: `${Math.max(4, Math.min(y - height / 2, this.height - height - 4))}px` });
  }

  forget() {
    this.near = -1;
    [this.ring.hidden, this.tip.hidden] = [true, true];
  }

  setLasso(on) {
    this.lassoing = on;
    this.lassoButton.setAttribute("aria-pressed", String(on));
    this.stage.classList.toggle("map-lassoing", on);
    this.later();
  }

  /** Choose images; [] takes the choice away. */
  choose(rows) {
    this.chosen = new Set(rows);
    if (!rows.length) this.lasso = null;
    this.recolour();
    if (this.options.chosen) { this.options.chosen(rows); return; }
    this.said.textContent = rows.length ? `${rows.length.toLocaleString("en")} images chosen` : "";
    mapChoice(this, rows);
  }

  listen() {
    const { stage } = this;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button || event.target.closest(".map-tip")) return;
      try { stage.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
      this.pointers.set(event.pointerId, this.at(event));
      this.moved = 0;
      if (this.pointers.size === 1 && (this.lassoing || event.shiftKey)) { this.lasso = [this.place(this.at(event))]; this.drawingLasso = true; this.forget(); }
      if (this.pointers.size > 1) this.drawingLasso = false;
    });
    stage.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => this.release(event));
    stage.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !this.pointers.size) this.forget(); });
    stage.addEventListener("wheel", (event) => {
      if (!this.options.always && !event.ctrlKey && !stage.contains(document.activeElement)) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...this.at(event));
      this.look(this.at(event), 4);
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => this.zoom(2, ...this.at(event)));
    stage.addEventListener("keydown", (event) => this.key(event));
    const again = () => this.recolour();
    document.addEventListener("themechange", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    document.addEventListener("paperwidth", (event) => {
      stage.style.width = event.detail ? `${event.detail}px` : "";
      stage.style.height = event.detail ? `${MAP_PAPER_HEIGHT}px` : "";  // as it will be printed: what is drawn now is not drawn again
      this.drawOn(event.detail ? "canvas" : this.options.drawing);  // on paper, only pixels are sure to remain
      this.width = 0;
      this.resize();
      this.paint();
    });
  }

  move(event) {
    const now = this.at(event), before = this.pointers.get(event.pointerId);
    if (!before) { if (event.pointerType === "mouse") this.look(now, 6); return; }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.pointers.set(event.pointerId, now);
    this.moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (this.drawingLasso) { this.lasso.push(this.place(now)); this.later(); return; }
    if (this.moved > 4) this.forget();
    if (others.length) {
      const far = (at) => Math.hypot(at[0] - others[0][0], at[1] - others[0][1]), middle = (at) => [(at[0] + others[0][0]) / 2, (at[1] + others[0][1]) / 2];
      this.zoom(far(now) / Math.max(1, far(before)), ...middle(before));
      this.pan(middle(now)[0] - middle(before)[0], middle(now)[1] - middle(before)[1]);
    } else if (this.moved > 4) this.pan(now[0] - before[0], now[1] - before[1]);
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.drawingLasso) {
      this.drawingLasso = false;
      const rows = event.type === "pointerup" ? this.points.inside(this.lasso) : [];
      if (this.moved < 8) this.lasso = null;
      this.choose(this.moved < 8 ? [] : rows);
    } else if (this.moved <= 4 && event.type === "pointerup") {
      this.look(this.at(event), event.pointerType === "mouse" ? 6 : 16);
      if (this.near < 0 && this.chosen.size) this.choose([]);
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || (this.options.passes && this.options.passes(event.key))) return;
    const step = 60, moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const acts = { "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.whole(), l: () => this.setLasso(!this.lassoing), L: () => this.setLasso(!this.lassoing), Escape: () => { this.forget(); this.setLasso(false); this.choose([]); }, Enter: () => this.describe() };
    if (moves[event.key]) { this.forget(); this.pan(...moves[event.key]); } else if (acts[event.key]) acts[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Name the image nearest to the middle. */
  describe() {
    this.look([this.width / 2, this.height / 2], Math.max(this.width, this.height));
    this.said.textContent = this.near < 0 ? "" : this.lines(this.near).map((line) => line.textContent).join(", ");
  }
}
