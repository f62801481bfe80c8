// Classes: how well each is classified, by one run or by two in comparison.

function drawClasses(host, data) {
  const runs = data.runs.filter((run) => run.per_class.length && data.datasets[run.data]);
  if (!runs.length) return;
  let run = bestOf(data, runs);
  let other = null;
  const place = h("div");
  const others = h("span");
  const againstChoice = () => {
    const same = runs.filter((each) => each.data === run.data && each.run !== run.run);
    others.replaceChildren(!same.length ? "" : select("against", [["", "nothing"], ...same.map((each) => [each.run, each.run])], other ? other.run : "", (name) => { other = same.find((each) => each.run === name) || null; draw(); }));
  };
  host.append(h("div", { class: "figure-bar" }, runChoice(data, runs, run.run, (name) => { run = runs.find((each) => each.run === name); other = null; againstChoice(); draw(); }), others), place);
  againstChoice();

  function draw() {
    const set = data.datasets[run.data];
    const second = other ? new Map(other.per_class.map((row) => [row[0], row])) : null;
    const worst = confusedWith(run, set);
    const rows = run.per_class.filter((row) => row[1] > 0).map(([number, n, recall, precision, f1]) => ({ number, name: set.classes[number], n, recall, precision, f1, with: worst.get(number), change: second && second.get(number) && recall !== null ? recall - second.get(number)[2] : null }));
    const columns = [
      { key: "class", label: "Class", head: true, value: (r) => r.name, cell: (r) => format.words(r.name) },
      { key: "n", label: "Images", numeric: true, value: (r) => r.n, cell: (r) => format.images(r.n) },
      { key: "recall", label: "Recall", title: "Share of the images of this class that are classified correctly", numeric: true, value: (r) => r.recall, cell: (r) => bar(r.recall) },
      { key: "precision", label: "Precision", title: "Share of the images classified as this class that belong to it", numeric: true, value: (r) => r.precision, cell: (r) => format.percent(r.precision), hide: "phone" },
      { key: "f1", label: "F1", numeric: true, value: (r) => r.f1, cell: (r) => format.percent(r.f1), hide: "phone" },
      ...(other ? [{ key: "change", label: `Recall against ${other.run}`, numeric: true, value: (r) => r.change, cell: (r) => (r.change === null ? "–" : h("span", { class: r.change > 0 ? "up" : r.change < 0 ? "down" : "" }, format.points(r.change))) }] : []),
      { key: "with", label: "Most often confused with", value: (r) => r.with && set.classes[r.with[1]], cell: (r) => (r.with ? h("button", { type: "button", class: "link", onclick: () => showCell(data, run, r.with) }, `${format.words(set.classes[r.with[1]])} (${format.images(r.with[2])} of ${format.images(r.n)})`) : "–") },
    ];
    table(place, columns, rows, { label: "Classes", class: "classes", sort: { key: other ? "change" : "recall", down: false }, filter: "Filter classes", limit: 12 });
  }
  draw();
}

function bar(value) {
  if (value === null || value === undefined) return "–";
  return h("span", { class: "meter" }, h("i", { style: `--share:${value.toFixed(4)}` }), h("span", {}, format.percent(value, 0)));
}

/** The fullest wrong cell of each class. */
function confusedWith(run) {
  const worst = new Map();
  for (const cell of run.cells) {
    if (cell[0] !== cell[1] && !worst.has(cell[0])) worst.set(cell[0], cell);
  }
  return worst;
}

function showCell(data, run, cell) {
  const set = data.datasets[run.data];
  const [truth, guess, count, ...rows] = cell;
  const there = rows.filter((row) => set.images[row]);
  const right = truth === guess;
  const title = right ? `${format.words(set.classes[truth])}, classified correctly` : `${format.words(set.classes[truth])} classified as ${format.words(set.classes[guess])}`;
  const share = timesTested(run).count > 1 ? ` on average over ${timesTested(run).words}` : "";
  const all = run.cells.filter((each) => each[0] === truth).reduce((sum, each) => sum + each[2], 0);
  const note = `${run.run}: ${format.images(count)} of the ${format.images(all)} test images of ${format.words(set.classes[truth])}${share}.${there.length ? "" : " Its pictures are not embedded in this page."}`;
  const pictures = there.map((row) => picture(set, row, [h("span", { class: "sure" }, set.images[row].name.split("/").pop())]));
  if (!right) {
    const like = run.cells.find((each) => each[0] === guess && each[1] === guess);
    const examples = (like ? like.slice(3) : []).filter((row) => set.images[row]).slice(0, 3);
    if (examples.length) pictures.push(h("h4", {}, `For comparison: ${format.words(set.classes[guess])}, classified correctly`), ...examples.map((row) => picture(set, row, [h("span", { class: "sure" }, set.images[row].name.split("/").pop())])));
  }
  showPictures(title, note, pictures);
}
