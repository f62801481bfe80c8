// Pictures: the dialog that shows what is behind a cell, and the worst mistakes.

function picture(dataset, row, lines) {
  const image = dataset.images[row];
  const name = image ? image.name : "";
  return h("figure", { class: "picture" },
    image ? h("img", { src: `data:image/jpeg;base64,${image.src}`, alt: name || `image ${row}`, title: name }) : h("div", { class: "no-picture" }, `image ${row}`),
    h("figcaption", {}, lines));
}

/** Show pictures in the page's dialog. */
function showPictures(title, note, pictures, large = false) {
  const dialog = document.getElementById("pictures");
  dialog.classList.toggle("large", large);
  dialog.querySelector("h3").textContent = title;
  dialog.querySelector("p").textContent = note;
  dialog.querySelector(".gallery").replaceChildren(...pictures);
  if (!dialog.open) dialog.showModal();
}

/** Show a mistake large, with its explanations and what their colours mean. */
function showMistake(run, set, [row, truth, guess, confidence, own, seeds], data) {
  const words = [h("span", { class: "truth" }, format.words(set.classes[truth])), h("span", { class: "guess" }, `classified as ${format.words(set.classes[guess])}, ${format.percent(confidence, 0)} confident`), h("span", { class: "sure" }, `true class ${format.percent(own)}${wrongIn(run, seeds, " on average")}`)];
  const maps = (run.explanations || []).filter((each) => each.row === row && each.src);
  const large = [picture(set, row, words), ...maps.map((each) => h("figure", { class: "picture" }, h("img", { src: each.src, alt: `${methodName(each.method)} explanation` }), h("figcaption", {}, methodName(each.method) + (each.class ? ` for ${format.words(each.class)}` : ""))))];
  const like = run.cells.find((cell) => cell[0] === guess && cell[1] === guess);
  const examples = (like ? like.slice(3) : []).filter((each) => set.images[each]).slice(0, 3);
  const compared = examples.length ? [h("h4", {}, `For comparison: ${format.words(set.classes[guess])}, classified correctly`), ...examples.map((each) => picture(set, each, [h("span", { class: "sure" }, set.images[each].name.split("/").pop())]))] : [];
  const legend = maps.length ? "From violet to yellow: how strongly a region supports the class. In maps with two colours, orange supports the class and blue opposes it." : "No explanation was computed for this image; explain: 12 in the study file explains twelve mistakes.";
  showPictures((set.images[row] || {}).name || `image ${row}`, `${run.run}. ${legend}`, [...large, ...compared], true);
}

function runChoice(data, runs, chosen, onchange, label = "Run") {
  const ranked = data.ranking.map((row) => row.run).filter((name) => runs.some((run) => run.run === name));
  const names = [...ranked, ...runs.map((run) => run.run).filter((name) => !ranked.includes(name))];
  return select(label, names.map((name) => [name, name]), chosen || names[0], onchange);
}

function bestOf(data, runs) {
  const there = (each) => runs.some((run) => run.run === each.run);
  const row = data.ranking.find((each) => each.chosen && there(each)) || data.ranking.find(there);
  return row ? runs.find((run) => run.run === row.run) : runs[0];
}

function drawMistakes(host, data) {
  const runs = data.runs.filter((run) => run.mistakes.length && data.datasets[run.data]);
  if (!runs.length) return;
  let run = runs.find((each) => (each.explanations || []).length) || bestOf(data, runs);  // the one that is explained
  let text = "";
  const gallery = h("div", { class: "gallery mistakes" });
  const count = h("span", { class: "count" });
  const filter = h("input", { type: "search", placeholder: "Filter by class or file", "aria-label": "Filter mistakes by class or file", oninput: (event) => { text = event.target.value.trim().toLowerCase(); draw(); } });
  host.append(h("div", { class: "figure-bar" }, runChoice(data, runs, run.run, (name) => { run = runs.find((each) => each.run === name); draw(); }), filter, count, h("span", { class: "push" }),
    csvButton("Mistakes", () => ({ header: ["run", "file", "true", "predicted", "confidence", "probability_of_true", "seeds_wrong"], rows: run.mistakes.map(([row, truth, guess, confidence, own, seeds]) => { const set = data.datasets[run.data]; return [run.run, (set.images[row] || {}).name, set.classes[truth], set.classes[guess], confidence, own, seeds]; }) }))), gallery);

  function draw() {
    const set = data.datasets[run.data];
    const found = run.mistakes.filter(([row, truth, guess]) => !text || [set.classes[truth], set.classes[guess], (set.images[row] || {}).name].some((word) => String(word).toLowerCase().includes(text)));
    count.textContent = `${found.length} shown`;
    gallery.replaceChildren(...found.map(([row, truth, guess, confidence, own, seeds]) => h("div", { class: hasExplanation(run, row) ? "mistake explained" : "mistake", role: "button", tabindex: "0", title: "Enlarge", onclick: () => showMistake(run, set, [row, truth, guess, confidence, own, seeds], data), onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); showMistake(run, set, [row, truth, guess, confidence, own, seeds], data); } } }, picture(set, row, [
      h("span", { class: "truth" }, format.words(set.classes[truth])),
      h("span", { class: "guess" }, `classified as ${format.words(set.classes[guess])}`),
      h("span", { class: "sure" }, `${format.percent(confidence, 0)} confident · true class ${format.percent(own)}${wrongIn(run, seeds)}`),
    ]), explanationsOf(run, row))));
  }
  draw();
}

/** In how many of its seeds a run gets an image wrong; the confidence is that of these, the true class that of all. */
function wrongIn(run, seeds, before = "") {
  const tested = timesTested(run);
  return tested.count > 1 ? `${before} · wrong in ${seeds}/${tested.words}` : "";
}

/** The name of an explainer. */
function methodName(method) {
  return { lime: "LIME", grad_cam: "Grad-CAM" }[method] || format.words(method);
}

function hasExplanation(run, row) {
  return run.explanations.some((each) => each.row === row);
}

function explanationsOf(run, row) {
  const found = (run.explanations || []).filter((each) => each.row === row && each.src);
  if (!found.length) return null;
  return h("div", { class: "explanations" }, found.map((each) => h("figure", {}, h("img", { src: each.src, alt: `${methodName(each.method)} explanation` }), h("figcaption", {}, methodName(each.method) + (each.class ? ` for ${format.words(each.class)}` : "")))));
}
