// By what points are coloured, and the legend that turns classes on and off.

// Twelve colours whose smallest distance in OKLab is 0.11 for full and for three kinds of colour-blind sight; shapes differ too.
const MAP_PALETTE = ["#101ff8", "#eab509", "#960209", "#964f9a", "#05d7a5", "#949724", "#c91251", "#5879fd", "#c0a9f7", "#4b19af", "#d26db2", "#72166f"];
const MAP_LIGHTER = 0.2; // of white, on a dark page
const MAP_RAMP = ["#443983", "#31688e", "#21918c", "#35b779", "#b5de2b"];
const MAP_SHAPES = ["M6 1a5 5 0 1 0 .01 0z", "M2 2h8v8h-8z", "M6 1l5 9h-10z", "M6 0.5l5.5 5.5-5.5 5.5-5.5-5.5z"];

function mapRgb(text) {
  return [1, 3, 5].map((place) => parseInt(text.slice(place, place + 2), 16));
}

function mapMixed(one, two, share) {
  return one.map((value, part) => Math.round(value + (two[part] - value) * share));
}

/** Make an element; `on…` attributes are listeners, strings among the children become text. */
function mapElement(tag, attributes = {}, ...children) {
  const made = document.createElementNS(["svg", "path"].includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** The colouring that is shown: which of its classes are in colour, and in which of the twelve. */
class MapColours {
  /** Args: colours: as the page's data has them; changed: called when a class is turned on or off. */
  constructor(colours, changed) {
    this.changed = changed;
    this.all = [];
    this.legend = mapElement("div", { class: "map-legend", role: "group", "aria-label": "Legend" });
    this.update(colours);
    this.show(this.all[0] ? this.all[0].name : "");
  }

  /** Take colourings, new or with other codes; the one shown stays. */
  update(colours) {
    this.all = colours.map((each) => ({ ...each, codes: new Uint16Array(mapBytes(each.codes)) }));
    if (this.now) this.show(this.now.name, true);
  }

  /** Take the colours for a dark or a light page: the same, lighter on a dark one. */
  on(dark) {
    if (this.dark === dark) return;
    this.dark = dark;
    if (this.now) this.draw();
  }

  rgb(slot) { return this.dark ? mapMixed(MAP_RGB[slot], [255, 255, 255], MAP_LIGHTER) : MAP_RGB[slot]; }

  show(name, keep = false) {
    this.now = this.all.find((each) => each.name === name) || this.all[0] || null;
    if (!this.now) { this.legend.replaceChildren(); return; }
    const { codes, labels } = this.now;
    this.counts = new Array(labels.length).fill(0);
    this.without = 0;
    if (!this.now.scale) for (const code of codes) { if (code === MAP_NONE) this.without++; else this.counts[code]++; }
    this.sorted = labels.map((_, code) => code);
    if (name === "class" || name === "predicted" || name === "label") this.sorted.sort((a, b) => this.counts[b] - this.counts[a] || a - b);
    if (!keep || !this.slots) {
      this.slots = new Map();
      const first = name === "mistakes" ? [1] : this.sorted.filter((code) => this.counts[code]);
      for (const code of first.slice(0, MAP_PALETTE.length)) this.slots.set(code, name === "mistakes" ? 6 : this.free());
    } else for (const code of this.sorted) { if (!this.slots.has(code) && this.counts[code] && this.slots.size < MAP_PALETTE.length && labels.length <= MAP_PALETTE.length && !this.off.has(code)) this.slots.set(code, this.free()); }
    if (!keep || !this.off) this.off = new Set();
    this.draw();
  }

  free() {
    const used = new Set(this.slots.values());
    return MAP_PALETTE.findIndex((_, slot) => !used.has(slot));
  }

  /** Turn a class on or off; a thirteenth takes the colour of the one that was turned on first. */
  toggle(code) {
    if (this.slots.delete(code)) this.off.add(code);
    else {
      if (this.slots.size === MAP_PALETTE.length) this.slots.delete(this.slots.keys().next().value);
      this.slots.set(code, this.free());
      this.off.delete(code);
    }
    this.draw();
    this.changed();
  }

  only(codes) {
    this.slots = new Map();
    this.off = new Set(this.sorted);
    for (const code of codes.slice(0, MAP_PALETTE.length)) { this.slots.set(code, this.free()); this.off.delete(code); }
    this.draw();
    this.changed();
  }

  /** Return how rows look: the place of each row's look, and the looks [[red, green, blue], shape]; the first is grey. */
  looks(grey) {
    const { codes, scale, labels } = this.now || { codes: new Uint16Array(0), labels: [] };
    const found = [[grey, 0]], place = new Uint8Array(Math.max(codes.length, 1));
    if (scale) {
      for (let step = 0; step < 254; step++) {
        const at = (step / 253) * (MAP_RAMP.length - 1), low = Math.min(Math.floor(at), MAP_RAMP.length - 2);
        found.push([mapMixed(mapRgb(MAP_RAMP[low]), mapRgb(MAP_RAMP[low + 1]), at - low), 0]);
      }
      for (let row = 0; row < codes.length; row++) place[row] = codes[row] === MAP_NONE ? 0 : 1 + Math.floor((codes[row] / MAP_NONE) * 254);
      return [place, found];
    }
    const of = new Uint8Array(MAP_NONE + 1);
    for (const [code, slot] of labels.length ? this.slots : []) of[code] = found.push([this.rgb(slot), slot % MAP_SHAPES.length]) - 1;
    for (let row = 0; row < codes.length; row++) place[row] = of[codes[row]];
    return [place, found];
  }

  /** Say what a row is by a colouring, or "". */
  label(row, name) {
    const found = this.all.find((each) => each.name === name);
    if (!found || found.codes[row] === MAP_NONE || found.scale) return "";
    return found.labels[found.codes[row]];
  }

  draw() {
    const { labels, scale } = this.now, held = this.legend.contains(document.activeElement) ? document.activeElement.dataset.code : null;
    if (scale) {
      this.legend.replaceChildren(mapElement("div", { class: "map-ramp" }, mapElement("i"), mapElement("span", {}, labels[0]), mapElement("span", {}, labels[1])));
      return;
    }
    const shown = this.sorted.filter((code) => this.counts[code] && (!this.text || labels[code].toLowerCase().includes(this.text)));
    const buttons = shown.map((code) => {
      const slot = this.slots.get(code), on = slot !== undefined;
      const mark = mapElement("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, mapElement("path", { d: MAP_SHAPES[on ? slot % MAP_SHAPES.length : 0], fill: on ? `rgb(${this.rgb(slot)})` : "var(--map-other)" }));
      return mapElement("button", { type: "button", "data-code": code, "aria-pressed": String(on), title: labels[code], onclick: () => this.toggle(code) }, mark, mapElement("span", { class: "map-name" }, labels[code]), mapElement("span", { class: "map-count" }, this.counts[code].toLocaleString("en")));
    });
    if (!this.list) this.list = mapElement("div", { class: "map-list" });
    this.list.replaceChildren(...buttons, ...(this.without ? [mapElement("p", { class: "map-hint" }, `${this.without.toLocaleString("en")} without: grey`)] : []));
    if (!this.bar) {
      this.field = mapElement("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class in the legend", oninput: (event) => { this.text = event.target.value.trim().toLowerCase(); this.draw(); } });
      this.bar = mapElement("div", { class: "map-legend-bar" }, mapElement("button", { type: "button", onclick: () => this.only([]) }, "all grey"), mapElement("button", { type: "button", onclick: () => this.only(this.sorted.filter((code) => this.counts[code])) }, "colours"));
    }
    this.field.hidden = labels.length <= 2 * MAP_PALETTE.length;
    if (!this.list.isConnected || !this.legend.contains(this.list)) this.legend.replaceChildren(this.field, this.bar, this.list);
    if (held !== null && held !== undefined) { const again = this.list.querySelector(`[data-code="${held}"]`); if (again) again.focus(); }
  }
}
const MAP_RGB = MAP_PALETTE.map(mapRgb);
