"use strict";
/* global $, who, ask, attempt, source, element, labelMap */
// Keys: 1-9, 0 and then letters give the class of that place; Enter accepts the guess, space skips, Z undoes,
// G changes between one image and similar ones together, S between a random order and suggestions, M shows the map,
// F searches by a picture, N goes to the field in which a class is typed.
const LETTERS = "abcdehijklopqrtuvwxy"; // without f, g, m, n, s and z
const AHEAD = 12, TOGETHER = 24, MOST = 5000;
const page = { state: null, queue: [], current: null, chosen: new Set(), grid: false, map: false, suggest: false, shown: [], busy: false };

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const keyOf = (place) => place < 9 ? String(place + 1) : place === 9 ? "0" : LETTERS[place - 10] || "";
const mine = () => `who=${encodeURIComponent(who())}`; // what others look at is left out

async function fill() {
  if (page.queue.length < AHEAD / 2) {
    const known = new Set([...page.queue.map((item) => item.row), page.current && page.current.row]);
    const more = await ask(`api/next?${mine()}&count=${AHEAD}&suggest=${page.suggest}`);
    page.queue.push(...more.filter((item) => !known.has(item.row)));
    for (const item of page.queue.slice(0, 3)) new Image().src = source(item.row, 1024);
  }
}

async function advance() {
  page.current = null;
  await fill();
  page.current = page.queue.shift() || null;
  if (page.grid && page.current) {
    page.shown = page.current.how === "random" ? [page.current] : await ask(`api/similar?row=${page.current.row}&${mine()}&count=${TOGETHER}`);
    page.chosen = new Set(page.shown.map((item) => item.row));
  }
  draw();
}

const REASONS = { random: "from the random sample, which measures the accuracy", typical: "typical of many images", uncertain: "the classifier is unsure here", similar: "similar images", chosen: "chosen by you", rest: "in random order; the random sample is complete" };
const ALONE = "from the random sample, which is labelled one by one: similar ones come between (key S) or after it";

function draw() {
  const item = page.current, guess = item && item.guess;
  $("map-view").hidden = !page.map;
  $("empty").hidden = page.map || Boolean(item);
  $("empty").textContent = "Every image is labelled, skipped, or shown to somebody else.";
  const several = page.grid && page.shown.length > 1; // an image of the random sample comes alone, and large
  $("one").hidden = several || page.map || !item;
  $("grid").hidden = !several || page.map || !item;
  $("why").textContent = !item || page.map ? "" : item.searched ? "most like your picture; click on those that do not belong" : page.grid && item.how === "random" ? ALONE : REASONS[item.how] || "";
  if (item && !several) { $("image").src = source(item.row, 1024); $("image").alt = item.name; $("caption").textContent = item.name; }
  if (several && item) {
    $("grid").replaceChildren(...page.shown.map((each) => {
      const button = element("button"), picture = element("img");
      picture.src = source(each.row, 240); picture.alt = each.name; picture.loading = "lazy";
      button.title = each.name; button.setAttribute("aria-pressed", page.chosen.has(each.row)); button.append(picture);
      button.addEventListener("click", () => { page.chosen.has(each.row) ? page.chosen.delete(each.row) : page.chosen.add(each.row); button.setAttribute("aria-pressed", page.chosen.has(each.row)); });
      return button;
    }));
  }
  drawClasses(page.map ? null : guess);
  $("accept").hidden = page.map || !guess;
  $("skip").hidden = page.map;
}

function drawClasses(guess) {
  if (!page.state) return;
  if ($("class-names").childElementCount !== page.state.classes.length) $("class-names").replaceChildren(...page.state.classes.map((each) => { const option = element("option"); option.value = each.name; return option; }));
  $("classes").replaceChildren(...page.state.classes.map((each, place) => {
    const button = element("button"), key = keyOf(place);
    if (key) button.append(element("kbd", key));
    button.append(element("span", each.name, "label"), element("span", guess && guess.label === each.name ? `${percent(guess.probability)} · ${each.count}` : String(each.count), "count"));
    if (guess && guess.label === each.name) button.className = "guess";
    button.addEventListener("click", () => attempt(() => give(each.name)));
    return button;
  }));
}

function drawState() {
  const state = page.state;
  $("name").textContent = state.name;
  $("progress").textContent = `${state.labelled.toLocaleString("en")} of ${state.images.toLocaleString("en")} images labelled`;
  $("file").textContent = state.file;
  showCommand(state.next);
  $("fair").textContent = state.tested ? `It is tested on ${state.tested.toLocaleString("en")} of the labelled images of the random sample and learns from all others.` : "";
  const accuracy = state.accuracy;
  if (accuracy && accuracy.n) {
    $("accuracy").replaceChildren(element("b", percent(accuracy.value)), document.createTextNode(` (95 % interval ${percent(accuracy.low)} to ${percent(accuracy.high)}), measured on the ${accuracy.n} images of the random sample, each judged without its own label${state.skipped_sample ? `; ${state.skipped_sample} skipped ones are not counted` : ""}`));
  } else $("accuracy").textContent = state.classes.length < 2 ? "Give at least two classes some labels." : "A few more labels are needed.";
  const gain = state.gain, points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
  $("gain").textContent = gain ? `The last ${gain.labels} labels brought ${points(gain.points)} points (${points(gain.low)} to ${points(gain.high)}). ${gain.pays ? "More labels may still help." : "More labels of this kind will hardly help."}` : "";
  drawCurve(state.curve);
  drawComparison(state.comparison);
}

function drawComparison(comparison) {
  const running = Boolean(comparison) && comparison.state === "running";
  $("compare").disabled = running || page.state.classes.filter((each) => each.count).length < 2;
  $("compare").textContent = running ? "comparing …" : "compare models now";
  $("compared").hidden = !comparison;
  $("report").hidden = !comparison || comparison.state !== "done";
  if (!comparison) return;
  const labels = `${comparison.labels.toLocaleString("en")} labels`;
  $("compared").textContent = running ? `On ${labels}: ${comparison.said || "starting"}` : comparison.state === "done" ? `On ${labels}: ${comparison.said}` : `The comparison failed: ${comparison.said || "it was ended"}`;
}

function drawCurve(points) {
  const drawn = points.filter(([, estimate]) => estimate.n);
  $("curve").toggleAttribute("hidden", drawn.length < 2);
  if (drawn.length < 2) return;
  const most = drawn[drawn.length - 1][0], x = (count) => 30 + 215 * count / most, y = (value) => 100 - 90 * value;
  const make = (tag, attributes, text) => { const made = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value); if (text !== undefined) made.textContent = text; return made; };
  const parts = [0, 0.5, 1].flatMap((value) => [make("line", { x1: 30, x2: 250, y1: y(value), y2: y(value), stroke: "var(--line)" }), make("text", { x: 26, y: y(value) + 3, "text-anchor": "end" }, `${100 * value}`)]);
  for (const [count, estimate] of drawn) {
    parts.push(make("line", { x1: x(count), x2: x(count), y1: y(estimate.low), y2: y(estimate.high), stroke: "var(--accent)", "stroke-width": 2 }));
    parts.push(make("circle", { cx: x(count), cy: y(estimate.value), r: 3.5, fill: "var(--accent)" }), make("text", { x: x(count), y: 114, "text-anchor": "middle" }, String(count)));
  }
  parts.push(make("polyline", { points: drawn.map(([count, estimate]) => `${x(count)},${y(estimate.value)}`).join(" "), fill: "none", stroke: "var(--accent)" }));
  $("curve").replaceChildren(...parts);
}

async function drawRecent() { // not waited for: the next key counts as soon as the next image is shown
  let rows;
  try { rows = await ask("api/labelled?count=8"); } catch { return; }
  $("recent").replaceChildren(...rows.map((each) => {
    const button = element("button"), picture = element("img");
    picture.src = source(each.row, 120); picture.alt = each.name; button.title = `${each.label}: click to take the label away and look again`;
    button.append(picture, element("span", each.label));
    button.addEventListener("click", () => attempt(async () => {
      page.state = await ask("api/unlabel", { rows: [each.row], who: who() });
      if (page.current) page.queue.unshift(page.current);
      page.queue.unshift({ ...each, guess: null });
      drawState(); await advance(); drawRecent();
    }));
    return button;
  }));
}

function savedWords(what, name) { // an image that somebody labelled a moment ago keeps that label
  const { given, kept } = page.state;
  const left = kept ? `${kept === 1 ? "one image has" : `${kept} images have`} a label from somebody else already` : "";
  return [given ? `saved: ${what} as ${name}` : "not saved", left].filter(Boolean).join("; ");
}

async function search(file) {
  $("saved").textContent = "searching …";
  let found;
  try { found = await ask(`api/search?${mine()}&count=${TOGETHER}`, file); } finally { $("saved").textContent = ""; }
  if (!found.length) throw new Error("every image outside the random sample is labelled, or shown to somebody else");
  [page.grid, page.map] = [true, false];
  pressed("grid");
  if (page.current) page.queue.unshift(page.current);
  page.current = { ...found[0], searched: true };
  page.shown = found;
  page.chosen = new Set(found.map((item) => item.row));
  draw();
}

async function giveAll(name) { // to what the lasso chose on the map
  const rows = labelMap.free;
  if (!rows.length) throw new Error("no image is chosen: draw around some on the map");
  if (rows.length > MOST) throw new Error(`${rows.length} images are chosen; at most ${MOST} get a label at once`);
  page.state = await ask("api/label", { rows, label: name, who: who() });
  $("saved").textContent = savedWords(`${(rows.length - page.state.kept).toLocaleString("en")} images`, name);
  const done = new Set(rows);
  page.queue = page.queue.filter((each) => !done.has(each.row));
  if (page.current && done.has(page.current.row)) page.current = null;
  await labelMap.recolour();
  labelMap.view.choose([]);
  drawState(); drawClasses(null); drawRecent();
}

async function give(name) {
  if (page.map) { await giveAll(name); return; }
  if (!page.current) return;
  const items = page.grid ? page.shown.filter((each) => page.chosen.has(each.row)) : [page.current];
  if (!items.length) throw new Error("no image is chosen: click on some, or skip");
  page.state = await ask("api/label", { rows: items.map((each) => each.row), label: name, who: who(), how: Object.fromEntries(items.map((each) => [each.row, each.how])) });
  $("saved").textContent = savedWords(items.length > 1 ? `${items.length - page.state.kept} images` : items[0].name, name);
  const done = new Set(items.map((each) => each.row));
  page.queue = page.queue.filter((each) => !done.has(each.row));
  drawState(); await advance(); drawRecent();
}

async function skip() {
  if (!page.current) return;
  page.state = await ask("api/skip", { rows: [page.current.row], who: who() });
  drawState(); await advance();
}

async function undo() {
  const found = await ask("api/undo", { who: who() });
  page.state = found;
  $("saved").textContent = found.undone.length ? `undone: ${found.undone_images > 1 ? `${found.undone_images} images` : found.undone[0].name}` : "nothing to undo";
  if (page.map) await labelMap.recolour();
  else if (found.undone_images > TOGETHER) { await advance(); drawRecent(); } // too many to be shown one by one
  else if (found.undone.length) { if (page.current) page.queue.unshift(page.current); page.queue.unshift(...found.undone); await advance(); drawRecent(); }
  drawState(); draw();
}

function pressed(mode) {
  for (const each of ["one", "grid", "map"]) $(`mode-${each}`).setAttribute("aria-pressed", mode === each);
}

async function change(mode) {
  [page.grid, page.map] = [mode === "grid", mode === "map"];
  pressed(mode);
  if (page.map) { draw(); await labelMap.open(); return; }
  if (page.current) page.queue.unshift(page.current);
  await advance();
}

const orderName = () => `headstart-suggest ${page.state.suggests} ${page.state.file}`; // another start with --suggest, or without, counts anew

function before() { // the order that was chosen in this tab before it was loaded again
  try { return JSON.parse(sessionStorage.getItem(orderName())); } catch { return null; }
}

async function order(suggest) {
  page.suggest = suggest;
  try { sessionStorage.setItem(orderName(), suggest); } catch { /* private window */ }
  $("order-random").setAttribute("aria-pressed", !suggest); $("order-suggested").setAttribute("aria-pressed", suggest);
  page.queue = [];
  await advance();
}

$("skip").addEventListener("click", () => attempt(skip));
$("compare").addEventListener("click", () => attempt(async () => { page.state = await ask("api/compare", {}); drawState(); }));
$("undo").addEventListener("click", () => attempt(undo));
$("accept").addEventListener("click", () => attempt(() => give(page.current.guess.label)));
$("mode-one").addEventListener("click", () => attempt(() => change("one")));
$("mode-grid").addEventListener("click", () => attempt(() => change("grid")));
$("mode-map").addEventListener("click", () => attempt(() => change("map")));
$("search-open").addEventListener("click", () => $("search-file").click());
$("search-file").addEventListener("change", () => { const [file] = $("search-file").files; $("search-file").value = ""; if (file) attempt(() => search(file)); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => { event.preventDefault(); const [file] = event.dataTransfer.files; if (file) attempt(() => search(file)); });
$("order-random").addEventListener("click", () => attempt(() => order(false)));
$("order-suggested").addEventListener("click", () => attempt(() => order(true)));
$("new").addEventListener("submit", (event) => { event.preventDefault(); attempt(async () => {
  const name = $("new-name").value.normalize("NFC").trim();
  if (!name) return;
  const known = page.state.classes.find((each) => each.name === name) || page.state.classes.find((each) => each.name.toLowerCase() === name.toLowerCase());
  if (known) await give(known.name); else page.state = await ask("api/add_class", { name });
  $("new-name").value = ""; $("new-name").blur(); drawState(); if (!known) draw();
}); });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey || !page.state) return;
  const key = event.key.toLowerCase(), place = page.state.classes.findIndex((_, index) => keyOf(index) === key);
  if (place >= 0) { event.preventDefault(); attempt(() => give(page.state.classes[place].name)); }
  else if (key === " " && !page.map) { event.preventDefault(); attempt(skip); }
  else if (key === "z") attempt(undo);
  else if (key === "g") attempt(() => change(page.grid ? "one" : "grid"));
  else if (key === "f") { event.preventDefault(); $("search-open").click(); }
  else if (key === "m") attempt(() => change(page.map ? "one" : "map"));
  else if (key === "s") attempt(() => order(!page.suggest));
  else if (key === "n") { event.preventDefault(); $("new-name").focus(); }
  else if (key === "enter" && !page.map && page.current && page.current.guess && !event.target.matches("button")) attempt(() => give(page.current.guess.label));
});

async function refresh() {
  try { if (!page.busy) { page.state = await ask("api/state"); drawState(); drawClasses(page.map ? null : page.current && page.current.guess); } } catch { /* said at the next action */ }
}
attempt(async () => { page.state = await ask("api/state"); drawState(); await order(before() ?? page.state.suggests); drawRecent(); });
setInterval(refresh, 3000);
