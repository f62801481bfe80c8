// The confusion matrix on a canvas: any number of classes, the images behind a cell at a click.

const LARGEST_CELL = 64;  // px: a few classes need no whole screen
const ORDERS = { name: "by name", recall: "worst first", together: "confused ones together" };

function drawMatrix(host, data) {
  const runs = data.runs.filter((run) => run.cells.length && data.datasets[run.data]);
  if (!runs.length) return;
  const state = { run: bestOf(data, runs), order: "together", wrongOnly: true, zoom: null, at: null };
  const canvas = h("canvas", { tabindex: "0", role: "img" });
  const side = h("div", { class: "matrix-side" });
  const reset = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => { state.zoom = null; draw(); } }, "Reset zoom");
  const stage = h("div", { class: "matrix-stage" }, canvas);
  host.append(h("div", { class: "figure-bar" },
    runChoice(data, runs, state.run.run, (name) => { state.run = runs.find((run) => run.run === name); state.zoom = null; draw(); }),
    select("Order", Object.entries(ORDERS), state.order, (value) => { state.order = value; state.zoom = null; draw(); }),
    segmented("Cells", [["wrong", "Mistakes"], ["all", "All"]], "wrong", (value) => { state.wrongOnly = value === "wrong"; draw(); }),
    reset, h("span", { class: "push" }), csvButton("Confusions", () => ({ header: ["run", "true", "predicted", "images"], rows: state.run.cells.map((cell) => [state.run.run, name(cell[0]), name(cell[1]), cell[2]]) }))),
  h("div", { class: "matrix" }, stage, side));
  const name = (number) => data.datasets[state.run.data].classes[number];
  let view = null;

  function draw() {
    reset.hidden = !state.zoom;
    view = layout(state, data, stage.clientWidth);
    canvas.setAttribute("aria-label", `Confusion matrix of ${state.run.run}: ${view.order.length} classes`);
    paint(canvas, view, state, name);
    drawPairsList(side, data, state);
  }

  const cellAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * view.size;
    const y = ((event.clientY - box.top) / box.height) * view.size;
    const [column, row] = [Math.floor((x - view.left) / view.cell), Math.floor((y - view.top) / view.cell)];
    return row >= 0 && column >= 0 && row < view.shown.length && column < view.shown.length ? [view.shown[row], view.shown[column], row, column] : null;
  };
  let start = null;
  canvas.addEventListener("pointermove", (event) => {
    const found = cellAt(event);
    state.at = found;
    paint(canvas, view, state, name, start && found ? [start, found] : null);
    if (!found) { tooltip.hide(); canvas.style.cursor = "default"; return; }
    const cell = view.cells.get(found[0] * view.total + found[1]);
    canvas.style.cursor = cell ? "pointer" : "crosshair";
    const all = view.support.get(found[0]) || 0;
    tooltip.show(event, tip(found[0] === found[1] ? format.words(name(found[0])) : `${format.words(name(found[0]))} → ${format.words(name(found[1]))}`, [["images", cell ? format.images(cell[2]) : 0], ["of the class", cell ? format.percent(cell[2] / all) : format.percent(0)], cell ? ["click", "show the images"] : ["", null]]));
  });
  canvas.addEventListener("pointerleave", () => { state.at = null; start = null; tooltip.hide(); paint(canvas, view, state, name); });
  canvas.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse") start = cellAt(event); });
  canvas.addEventListener("pointerup", (event) => {
    const end = cellAt(event);
    const from = start || end;
    start = null;
    if (!end) return;
    if (Math.abs(from[2] - end[2]) > 1 || Math.abs(from[3] - end[3]) > 1) zoomTo(from, end);
    else { const cell = view.cells.get(end[0] * view.total + end[1]); if (cell) { tooltip.hide(); showCell(data, state.run, cell); } }
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = cellAt(event);
    if (!at) return;
    const count = Math.max(4, Math.min(view.order.length, Math.round(view.shown.length * (event.deltaY > 0 ? 1.3 : 0.75))));
    const middle = view.first + at[2];
    state.zoom = count >= view.order.length ? null : clampZoom([middle - Math.floor(count / 2), count], view.order.length);
    draw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { state.zoom = null; draw(); });

  function zoomTo(a, b) {
    const places = [a[2], a[3], b[2], b[3]].map((place) => place + view.first);
    const [low, high] = [Math.min(...places), Math.max(...places)];
    state.zoom = clampZoom([low, Math.max(4, high - low + 1)], view.order.length);
    state.at = null;
    tooltip.hide();
    draw();
  }

  let width = 0;
  new ResizeObserver(() => { if (stage.clientWidth !== width && stage.clientWidth) { width = stage.clientWidth; draw(); } }).observe(stage);
  document.addEventListener("themechange", draw);
  document.addEventListener("paperwidth", (event) => { view = layout(state, data, event.detail ? Math.min(event.detail, 560) : stage.clientWidth); paint(canvas, view, state, name); });
}

function clampZoom([first, count], total) {
  return [Math.max(0, Math.min(first, total - count)), count];
}

function layout(state, data, width) {
  const run = state.run;
  const set = data.datasets[run.data];
  const support = new Map();
  const cells = new Map();
  const total = set.classes.length;
  for (const cell of run.cells) {
    support.set(cell[0], (support.get(cell[0]) || 0) + cell[2]);
    cells.set(cell[0] * total + cell[1], cell);
  }
  const order = orderOf(state.order, run, set, support, cells);
  const [first, count] = state.zoom || [0, order.length];
  const shown = order.slice(first, first + count);
  const most = Math.min(width, 720);
  const named = most / shown.length > 11;
  const edge = named ? Math.min(150, most * 0.26, 16 + Math.max(...shown.map((n) => set.classes[n].length)) * 6) : 6;
  const size = Math.min(most, edge + 2 + LARGEST_CELL * shown.length);
  const place = new Map(shown.map((number, k) => [number, k]));
  return { order, shown, place, first, cells, support, total, size, left: edge, top: edge, named, cell: (size - edge - 2) / shown.length };
}

function orderOf(kind, run, set, support, cells) {
  const present = set.classes.map((_, number) => number).filter((number) => support.has(number) || run.cells.some((cell) => cell[1] === number));
  const recall = (number) => { const cell = cells.get(number * set.classes.length + number); return cell ? cell[2] / support.get(number) : support.has(number) ? 0 : 2; };
  if (kind === "recall") return present.sort((a, b) => recall(a) - recall(b) || a - b);
  if (kind === "together" && set.order) { const known = new Set(present); return set.order.filter((number) => known.has(number)); }
  return present;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["--ink", "--muted", "--line", "--raised", "--right", "--wrong", "--accent"].map((key) => [key.slice(2), style.getPropertyValue(key).trim()]));
}

function paint(canvas, view, state, name, brush = null) {
  const ratio = Math.max(window.devicePixelRatio || 1, 2);
  if (canvas.width !== Math.round(view.size * ratio)) { canvas.width = canvas.height = Math.round(view.size * ratio); canvas.style.width = canvas.style.height = `${view.size}px`; }
  const ink = colours();
  const draw = canvas.getContext("2d");
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, view.size, view.size);
  const side = view.cell * view.shown.length;
  draw.fillStyle = ink.raised;
  draw.fillRect(view.left, view.top, side, side);
  const gap = view.cell > 6 ? 1 : view.cell > 3 ? 0.5 : 0;
  const square = (row, column, strength, colour) => {
    draw.globalAlpha = strength;
    draw.fillStyle = colour;
    draw.fillRect(view.left + column * view.cell, view.top + row * view.cell, view.cell - gap, view.cell - gap);
    draw.globalAlpha = 1;
  };
  if (state.wrongOnly) view.shown.forEach((_, place) => square(place, place, 0.14, ink.right));
  for (const [truth, guess, count] of state.run.cells) {
    const [row, column] = [view.place.get(truth), view.place.get(guess)];
    if (row === undefined || column === undefined) continue;
    const share = count / (view.support.get(truth) || 1);
    if (truth !== guess) square(row, column, 0.25 + 0.75 * Math.sqrt(share), ink.wrong);
    else if (!state.wrongOnly) square(row, column, 0.12 + 0.88 * share, ink.right);
    if (view.cell > 24) writeCount(draw, ink, count, view.left + (column + 0.5) * view.cell, view.top + (row + 0.5) * view.cell);
  }
  draw.strokeStyle = ink.line;
  draw.strokeRect(view.left, view.top, side, side);
  if (view.named) writeNames(draw, ink, view, state, name);
  if (state.at) cross(draw, ink, view, state.at);
  if (brush) frameOf(draw, ink, view, brush);
}

function writeCount(draw, ink, count, x, y) {
  draw.fillStyle = ink.ink;
  draw.font = "11px system-ui, sans-serif";
  draw.textAlign = "center";
  draw.textBaseline = "middle";
  draw.fillText(format.images(count), x - 0.5, y + 0.5);
}

function writeNames(draw, ink, view, state, name) {
  draw.font = "11px system-ui, sans-serif";
  draw.textBaseline = "middle";
  const short = (number) => { const text = format.words(name(number)); const room = Math.floor((view.left - 10) / 5.8); return text.length > room ? `${text.slice(0, room - 1)}…` : text; };
  view.shown.forEach((number, place) => {
    const middle = view.top + (place + 0.5) * view.cell;
    draw.fillStyle = state.at && state.at[2] === place ? ink.accent : ink.muted;
    draw.textAlign = "right";
    draw.fillText(short(number), view.left - 5, middle);
    draw.save();
    draw.translate(middle, view.top - 5);
    draw.rotate(-Math.PI / 2);
    draw.textAlign = "left";
    draw.fillStyle = state.at && state.at[3] === place ? ink.accent : ink.muted;
    draw.fillText(short(number), 0, 0);
    draw.restore();
  });
}

function cross(draw, ink, view, [, , row, column]) {
  const side = view.cell * view.shown.length;
  draw.strokeStyle = ink.accent;
  draw.globalAlpha = 0.7;
  draw.strokeRect(view.left, view.top + row * view.cell - 0.5, side, view.cell);
  draw.strokeRect(view.left + column * view.cell - 0.5, view.top, view.cell, side);
  draw.globalAlpha = 1;
}

function frameOf(draw, ink, view, [a, b]) {
  draw.fillStyle = ink.accent;
  draw.globalAlpha = 0.18;
  const [x0, x1] = [Math.min(a[3], b[3]), Math.max(a[3], b[3]) + 1];
  const [y0, y1] = [Math.min(a[2], b[2]), Math.max(a[2], b[2]) + 1];
  draw.fillRect(view.left + x0 * view.cell, view.top + y0 * view.cell, (x1 - x0) * view.cell, (y1 - y0) * view.cell);
  draw.globalAlpha = 1;
}

function facesOf(set, pair) {
  const rows = pair.cells.flatMap((cell) => cell.slice(3)).filter((row) => set.images[row]).slice(0, 5);
  return rows.length ? h("div", { class: "faces" }, rows.map((row) => h("img", { src: `data:image/jpeg;base64,${set.images[row].src}`, alt: "" }))) : null;
}

/** The pairs of classes that are confused most, both ways counted together. */
function drawPairsList(host, data, state) {
  const set = data.datasets[state.run.data];
  const pairs = new Map();
  for (const cell of state.run.cells) {
    if (cell[0] === cell[1]) continue;
    const key = [Math.min(cell[0], cell[1]), Math.max(cell[0], cell[1])].join();
    const pair = pairs.get(key) || { count: 0, cells: [] };
    pair.count += cell[2];
    pair.cells.push(cell);
    pairs.set(key, pair);
  }
  const top = [...pairs.values()].sort((a, b) => b.count - a.count).slice(0, 8);
  const list = h("ol", { class: "confused" });
  for (const pair of top) {
    list.append(h("li", {}, ...pair.cells.map((cell) => h("button", { type: "button", class: "link", onclick: () => showCell(data, state.run, cell) },
      h("span", {}, `${format.words(set.classes[cell[0]])} → ${format.words(set.classes[cell[1]])}`), h("b", {}, format.images(cell[2])))), facesOf(set, pair)));
  }
  host.replaceChildren(h("h3", {}, "Most confused"), top.length ? list : h("p", { class: "empty" }, "No mistakes."),
    h("p", { class: "hint" }, `Rows are true classes, columns are predicted classes. Counts are test images${timesTested(state.run).count > 1 ? `, on average over ${timesTested(state.run).words}` : ""}.`, h("span", { class: "screen" }, " Click a cell to see its images; drag to zoom.")),
    state.run.cells_left_out ? h("p", { class: "hint" }, `${state.run.cells_left_out} cells with the fewest images are left out.`) : "");
}
