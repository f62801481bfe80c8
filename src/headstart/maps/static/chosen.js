// Small pictures out of sheets, and the list of the images that a lasso chose.

class MapSheets {
  constructor(sheets) {
    this.sheets = sheets;
    const rows = new Uint32Array(mapBytes(sheets.rows));
    this.sizes = new Uint8Array(mapBytes(sheets.sizes));
    this.place = new Map(Array.from(rows, (row, place) => [row, place]));
    this.loaded = new Map();
  }

  load(number) {
    if (!this.loaded.has(number)) {
      const image = new Image();
      image.src = this.sheets.images[number];
      this.loaded.set(number, image);
    }
    return this.loaded.get(number);
  }

  /** Return an element with the picture of a row, or null where the page has none. */
  picture(row) {
    const place = this.place.get(row);
    if (place === undefined) return null;
    const { side, across } = this.sheets, full = across * across, at = place % full;
    const [width, height] = [this.sizes[2 * place], this.sizes[2 * place + 1]];
    const canvas = mapElement("canvas", { width, height, class: "map-picture", "aria-hidden": "true" });
    const image = this.load(Math.floor(place / full));
    image.decode().then(() => canvas.getContext("2d").drawImage(image, side * (at % across), side * Math.floor(at / across), width, height, 0, 0, width, height)).catch(() => undefined);
    return canvas;
  }
}

/** Draw the list of chosen images below a map: how many of each class, pictures, and their names to save. */
function mapChoice(map, rows) {
  map.list.hidden = !rows.length;
  if (!rows.length) { map.list.replaceChildren(); return; }
  const by = map.colours.all[0] ? map.colours.all[0].name : "", counts = new Map();
  for (const row of rows) { const label = map.colours.label(row, by) || "–"; counts.set(label, (counts.get(label) || 0) + 1); }
  const most = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const words = most.slice(0, 8).map(([label, count]) => `${label} ${count.toLocaleString("en")}`).join(", ") + (most.length > 8 ? `, and ${most.length - 8} more` : "");
  const save = mapElement("button", { type: "button", onclick: () => mapSave(map, rows) }, "Save names (CSV)");
  const clear = mapElement("button", { type: "button", onclick: () => { map.choose([]); map.stage.focus(); } }, "Clear");
  const shown = rows.slice(0, MAP_MOST_SHOWN).map((row) => mapElement("figure", { title: map.lines(row).map((line) => line.textContent).join(", ") }, map.picture(row) || mapElement("div", { class: "map-no-picture" }, "no picture"), mapElement("figcaption", {}, map.data.names ? map.data.names[row] : `image ${row}`)));
  map.list.replaceChildren(mapElement("div", { class: "map-bar" }, mapElement("span", {}, mapElement("b", {}, `${rows.length.toLocaleString("en")} chosen`), `: ${words}`), mapElement("span", { class: "map-push" }), map.data.names ? save : null, clear),
    mapElement("div", { class: "map-pictures" }, shown), rows.length > shown.length ? mapElement("p", { class: "map-hint" }, `The first ${shown.length} are shown.`) : "");
}

/** Offer the names and values of rows as a CSV file; a text that a spreadsheet would compute is quoted as text. */
function mapSave(map, rows) {
  const names = map.colours.all.filter((each) => !each.scale).map((each) => each.name);
  const quote = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const lines = [["image", ...names], ...rows.map((row) => [map.data.names[row], ...names.map((name) => map.colours.label(row, name))])];
  const link = mapElement("a", { href: URL.createObjectURL(new Blob(["\ufeff", lines.map((line) => line.map(quote).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" })), download: "chosen.csv" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Return the table that says in words how the classes are mixed: rows [class, images, own share, other class, its share]. */
function mapTable(rows) {
  const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
  const body = rows.map(([name, images, own, other, share]) => mapElement("tr", {}, mapElement("th", { scope: "row" }, name), mapElement("td", {}, images.toLocaleString("en")), mapElement("td", {}, percent(own)), mapElement("td", {}, other ? `${other} (${percent(share)})` : "–")));
  return mapElement("details", { class: "map-table" }, mapElement("summary", {}, "The map in words: how the classes are mixed"),
    mapElement("div", { class: "map-scroll" }, mapElement("table", {}, mapElement("caption", {}, "For each class, what the most similar images of its images are"),
      mapElement("thead", {}, mapElement("tr", {}, ["Class", "Images", "Most similar ones of the same class", "Most often of another"].map((head) => mapElement("th", { scope: "col" }, head)))), mapElement("tbody", {}, body))));
}
