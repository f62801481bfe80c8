// Pictures: the dialog that shows what is behind a cell, and the worst mistakes.

function picture(dataset, row, lines) {
  const image = dataset.images[row];
  const name = image ? image.name : "";
  return h("figure", { class: "picture" },
    image ? h("img", { src: `data:image/jpeg;base64,${image.src}`, alt: name || `image ${row}`, title: name }) : h("div", { class: "no-picture" }, `image ${row}`),
    h("figcaption", {}, lines));
}

/** Show pictures in the page's dialog. */
function showPictures(title, note, pictures) {
  const dialog = document.getElementById("pictures");
  dialog.querySelector("h3").textContent = title;
  dialog.querySelector("p").textContent = note;
  dialog.querySelector(".gallery").replaceChildren(...pictures);
  if (!dialog.open) dialog.showModal();
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
    gallery.replaceChildren(...found.map(([row, truth, guess, confidence, own, seeds]) => h("div", { class: hasExplanation(run, row) ? "mistake explained" : "mistake" }, picture(set, row, [
      h("span", { class: "truth" }, format.words(set.classes[truth])),
      h("span", { class: "guess" }, `classified as ${format.words(set.classes[guess])}`),
      h("span", { class: "sure" }, `${format.percent(confidence, 0)} confident · true class ${format.percent(own)}${timesTested(run).count > 1 ? ` · ${seeds}/${timesTested(run).words}` : ""}`),
    ]), explanationsOf(run, row))));
  }
  draw();
}

function hasExplanation(run, row) {
  return run.explanations.some((each) => each.row === row);
}

function explanationsOf(run, row) {
  const found = (run.explanations || []).filter((each) => each.row === row && each.src);
  if (!found.length) return null;
  return h("div", { class: "explanations" }, found.map((each) => h("figure", {}, h("img", { src: each.src, alt: `${each.method} explanation` }), h("figcaption", {}, format.words(each.method) + (each.class ? ` for ${format.words(each.class)}` : "")))));
}
