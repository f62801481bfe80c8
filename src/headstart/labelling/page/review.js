"use strict";
// Keys: K keeps, R gives the proposed label, E excludes what is marked, space is "not sure", Z undoes, 1-9 mark images,
// C goes to the field for another class.
/* global $, who, ask, attempt, source, element */
const page = { state: null, queue: [], current: null, marked: new Set(), kind: null, busy: false };

async function advance() {
  if (page.queue.length < 2) {
    const known = new Set(page.queue.map((item) => item.place));
    const kind = page.kind ? `&kind=${encodeURIComponent(page.kind)}` : "";
    const more = await ask(`api/next?who=${encodeURIComponent(who())}${kind}`);
    page.queue.push(...more.filter((item) => !known.has(item.place)));
    for (const item of page.queue.slice(1, 3)) for (const each of item.rows.slice(0, 4)) new Image().src = source(each.row, sideOf(item));
  }
  show(page.queue.shift() || null);
}

function show(item) {
  page.current = item;
  page.marked = new Set(item ? item.marked : []);
  draw();
}

const sideOf = (item) => item.rows.length > 3 ? 320 : 900;

function draw() {
  const item = page.current;
  $("empty").hidden = Boolean(item);
  $("empty").textContent = page.kind ? "Nothing of this kind is left, or somebody else is deciding it." : "Everything is decided, or somebody else is deciding it.";
  $("title").textContent = item ? item.title : "";
  $("why").textContent = item ? item.words : "";
  $("pictures").className = !item || item.rows.length === 1 ? "" : item.rows.length > 3 ? "many" : "few";
  $("pictures").replaceChildren(...(item ? item.rows.map((each, place) => picture(item, each, place)) : []));
  $("beside").replaceChildren(...(item ? item.beside.map((each) => {
    const part = element("section"), row = element("div", undefined, "row");
    for (const one of each.rows) { const image = element("img"); image.src = source(one.row, 200); image.alt = image.title = `${one.name}, ${one.label}`; row.append(image); }
    part.append(element("h2", each.rows.length ? `nearest of ${each.label}` : `no other image of ${each.label}`), row);
    return part;
  }) : []));
  drawAnswers();
}

function picture(item, each, place) {
  const single = item.rows.length === 1, button = element(single ? "div" : "button", undefined, single ? "single" : ""), image = element("img"), words = element("div", undefined, "named");
  image.src = source(each.row, sideOf(item)); image.alt = each.name;
  words.append(element("b", each.label), document.createTextNode(` ${each.part ? `· ${each.part} ` : ""}· ${each.name}`));
  if (!single) {
    if (place < 9) words.prepend(element("kbd", String(place + 1)), document.createTextNode(" "));
    button.setAttribute("aria-pressed", page.marked.has(each.row));
    if (page.marked.has(each.row)) words.prepend(element("span", "marked", "mark"));
    button.addEventListener("click", () => mark(each.row));
  }
  button.append(image, words);
  return button;
}

function mark(row) {
  if (page.marked.has(row)) page.marked.delete(row); else page.marked.add(row);
  draw();
}

function drawAnswers() {
  const item = page.current, several = item && item.rows.length > 1, count = page.marked.size;
  for (const name of ["keep", "exclude", "unsure"]) $(name).disabled = !item;
  $("relabel").hidden = !item || !item.proposed;
  $("relabel-words").textContent = item ? `relabel as ${item.proposed}` : "";
  $("relabel").className = item && item.proposed ? "likely" : "";
  $("exclude-words").textContent = several ? `exclude the ${count === 1 ? "marked one" : `${count} marked`}` : "exclude";
  $("exclude").className = item && !item.proposed && several ? "likely" : "";
  $("other").hidden = !item || !(page.state && page.state.classes.length);
  $("hint").textContent = several ? "Click on images, or press their numbers, to mark them. Exclude and relabel apply to the marked ones; the others are kept." : "";
}

function drawState() {
  const state = page.state, left = state.kinds.reduce((sum, each) => sum + each.open, 0), all = state.kinds.reduce((sum, each) => sum + each.all, 0);
  $("name").textContent = state.name;
  $("progress").textContent = `${(all - left).toLocaleString("en")} of ${all.toLocaleString("en")} findings decided`;
  showCommand(state.next);
  $("changed").textContent = `So far ${state.relabelled} ${state.relabelled === 1 ? "label is" : "labels are"} changed and ${state.excluded} ${state.excluded === 1 ? "image is" : "images are"} left out. No file is moved or changed. To use it:`;
  if ($("known").children.length !== state.classes.length) $("known").replaceChildren(...state.classes.map((name) => { const option = element("option"); option.value = name; return option; }));
  $("kinds").replaceChildren(...[{ kind: null, words: "all", open: left, all }, ...state.kinds].map((each) => {
    const button = element("button");
    button.append(element("span", each.words, "label"), element("span", `${each.open} of ${each.all} left`, "count"));
    button.setAttribute("aria-pressed", page.kind === each.kind);
    button.addEventListener("click", () => attempt(async () => { page.kind = each.kind; page.queue = []; await advance(); drawState(); }));
    return button;
  }));
}

async function drawRecent() { // not waited for: the next key counts as soon as the next finding is shown
  let found;
  try { found = await ask("api/decided"); } catch { return; }
  $("recent").replaceChildren(...found.map((each) => {
    const button = element("button"), image = element("img"), words = each.decision === "relabel" ? each.after : each.decision;
    image.src = source(each.rows[0].row, 120); image.alt = each.rows[0].name;
    button.title = `${each.words}: ${words}, by ${each.who}; click to decide again`;
    button.append(image, element("span", words));
    button.addEventListener("click", () => attempt(async () => { if (page.current) page.queue.unshift(page.current); show(each); }));
    return button;
  }));
}

async function decide(decision, label) {
  const item = page.current;
  if (!item) return;
  if (decision === "relabel" && !label && !item.proposed) throw new Error("which class? press C and name it");
  const rows = item.rows.length > 1 ? [...page.marked] : null;
  page.state = await ask("api/decide", { place: item.place, decision, who: who(), rows, label: label || null });
  const words = { keep: "kept", relabel: `labelled ${label || item.proposed}`, exclude: "excluded", "not sure": "not sure" }[decision];
  $("saved").textContent = `saved: ${item.rows.length > 1 && rows.length ? item.rows.filter((each) => rows.includes(each.row)).map((each) => each.name)[0] : item.rows[0].name} ${words}`;
  const gone = new Set(decision === "exclude" ? rows || [item.rows[0].row] : []); // other findings about these are settled
  const left = (each) => each.rows.filter((one) => !gone.has(one.row)).length;
  page.queue = page.queue.filter((each) => each.place !== item.place && (left(each) === each.rows.length || left(each) > 1));
  drawState(); await advance(); drawRecent();
}

async function undo() {
  const found = await ask("api/undo", { who: who() });
  page.state = found;
  $("saved").textContent = found.undone ? `undone: ${found.undone.rows[0].name}` : "nothing to undo";
  if (found.undone) {
    page.queue = []; // what the decision had settled waits again
    show(found.undone); drawRecent();
  }
  drawState();
}

$("keep").addEventListener("click", () => attempt(() => decide("keep")));
$("relabel").addEventListener("click", () => attempt(() => decide("relabel")));
$("exclude").addEventListener("click", () => attempt(() => decide("exclude")));
$("unsure").addEventListener("click", () => attempt(() => decide("not sure")));
$("undo").addEventListener("click", () => attempt(undo));
$("other").addEventListener("submit", (event) => { event.preventDefault(); attempt(async () => {
  const name = $("other-name").value.trim();
  if (!name) return;
  await decide("relabel", name); $("other-name").value = ""; $("other-name").blur();
}); });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey || !page.state) return;
  const key = event.key.toLowerCase(), item = page.current, place = Number(key) - 1;
  const decisions = { k: "keep", r: "relabel", e: "exclude", " ": "not sure" };
  if (decisions[key]) { event.preventDefault(); attempt(() => decide(decisions[key])); }
  else if (key === "z") attempt(undo);
  else if (key === "c") { event.preventDefault(); $("other-name").focus(); }
  else if (item && item.rows.length > 1 && place >= 0 && place < item.rows.length) mark(item.rows[place].row);
});

async function refresh() {
  try { if (!page.busy) { page.state = await ask("api/state"); drawState(); } } catch { /* said at the next action */ }
}
attempt(async () => { page.state = await ask("api/state"); drawState(); await advance(); drawRecent(); });
setInterval(refresh, 3000);
