// How sure an answer is: what is left for review, prediction sets, unfamiliar images, costs.

const SETS = { lac: "LAC", aps: "APS", raps: "RAPS" };

function shareOf(estimate) {
  if (!estimate || estimate.value === null) return "–";
  return `${format.percent(estimate.value)} [${format.interval(estimate.low, estimate.high)}]`;
}

function drawUncertainty(host, data) {
  const found = data.uncertainty;
  if (!found) return;
  const set = data.datasets[found.data];
  const kinds = Object.fromEntries(found.answers.map((row) => [row.kind, row]));
  const part = (kind) => format.percent(found.test ? kinds[kind].n / found.test : null);
  host.append(h("p", {}, `${found.run}, calibrated on ${found.held_out.toLocaleString("en")} validation images. Of ${found.test.toLocaleString("en")} test images it is sure of ${part("sure")} (right: ${shareOf(kinds.sure.right)}), names a few classes for ${part("one of")} (the right one among them: ${shareOf(kinds["one of"].right)}), and does not know ${part("don't know")}.`));
  host.append(...ofOneFold(found, data));
  for (const note of found.notes) host.append(h("p", { class: "note" }, note));
  const [curve, guarantees, sizes, classes, strange] = [h("div"), h("div"), h("div"), h("div"), h("div")];
  host.append(h("h3", {}, "Answers left for review"), curve, guarantees, h("h3", {}, "Prediction sets"), sizes, h("details", {}, h("summary", {}, "Coverage class by class"), classes));
  drawRisk(curve, found);
  drawGuarantees(guarantees, found);
  drawSets(sizes, found);
  if (set) drawCovered(classes, found, set);
  if (found.familiarity) { host.append(h("h3", {}, "Unfamiliar images"), strange); drawStrange(strange, found, set); }
  if (found.costs) host.append(h("h3", {}, "Costs"), h("p", {}, `With the answers of least expected cost, an image costs ${found.costs.least_cost.value.toPrecision(3)} on average [${found.costs.least_cost.low.toPrecision(3)}–${found.costs.least_cost.high.toPrecision(3)}], with the most probable classes ${found.costs.most_probable.value.toPrecision(3)}; a person is asked for ${shareOf(found.costs.asked)} of the images.`));
}

/** Of cross-validation, these figures are those of one fold: say which, where the leaderboard counts all of them. */
function ofOneFold(found, data) {
  const run = data.runs.find((each) => each.run === found.run);
  if (!run || !foldsOf(run)) return [];
  return [h("p", { class: "hint" }, `These are the validation and test images of one model of the cross-validation, the one that was saved (${seedName(run, found.seed)}).`)];
}

/** Mistakes among the answers against the share of images that are answered, the most certain first. */
function drawRisk(host, found) {
  const rows = found.curve.coverage.map((coverage, k) => ({ coverage, risk: found.curve.risk[k], threshold: found.curve.threshold[k] }));
  plot(host, {
    label: "Risk and coverage", height: 300,
    x: { label: "Share of images answered, the most certain first", domain: [0, 1], format: accuracyAxis, bounds: [0, 1] },
    y: { label: "Mistakes among them", domain: [0, Math.max(0.01, ...found.curve.risk)], format: accuracyAxis, bounds: [0, 1] },
    csv: () => ({ header: ["coverage", "risk", "threshold"], rows: rows.map((row) => [row.coverage, row.risk, row.threshold]) }),
    draw: (layer, sx, sy, hits) => {
      const line = s("path", { class: "line", stroke: "var(--c1)", d: pathOf(rows.map((row) => [sx(row.coverage), sy(row.risk)])) });
      layer.append(line);
      for (const row of rows) hits.push({ line, x: sx(row.coverage), y: sy(row.risk), tip: () => tip("Answered", [["images", format.percent(row.coverage)], ["mistakes", format.percent(row.risk)], ["confidence", row.threshold.toFixed(3)]]) });
    },
  });
}

function drawGuarantees(host, found) {
  table(host, [
    { key: "at_least", label: "Right at least", head: true, numeric: true, value: (r) => r.at_least, cell: (r) => format.percent(r.at_least, 0) },
    { key: "left", label: "Left for review", numeric: true, value: (r) => (r.left ? r.left.value : null), cell: (r) => (r.left ? format.percent(r.left.value) : h("span", { title: r.why }, `not guaranteed`)) },
    { key: "test_left", label: "On test", title: "Share of the test images left for review", numeric: true, value: (r) => (r.on_test ? r.on_test.left.value : null), cell: (r) => (r.on_test ? shareOf(r.on_test.left) : "–") },
    { key: "test_right", label: "Right on test", title: "Share of right answers among the test images that are kept, with its exact 95 % interval", numeric: true, value: (r) => (r.on_test ? r.on_test.right.value : null), cell: (r) => (r.on_test ? shareOf(r.on_test.right) : "–") },
  ], found.promises, { label: "Guaranteed accuracy", class: "compact" });
  const refused = found.promises.find((row) => row.why);
  if (refused) host.append(h("p", { class: "note" }, `${refused.why[0].toUpperCase()}${refused.why.slice(1)}.`));
}

function drawSets(host, found) {
  const share = (row, from, to) => row.sizes.slice(from, to).reduce((a, b) => a + b, 0) / found.test;
  table(host, [
    { key: "kind", label: "Kind", head: true, value: (r) => `${r.kind} ${r.by_class}`, cell: (r) => `${SETS[r.kind]}${r.by_class ? ", by class" : ""}` },
    { key: "coverage", label: `Contain the right class (${format.percent(found.level, 0)} requested)`, csv: "coverage", numeric: true, value: (r) => r.coverage.value, cell: (r) => shareOf(r.coverage) },
    { key: "promised", label: "Guaranteed", title: "With n validation images, the coverage can be n / (n + 1) at most; by class: the lowest of all classes", numeric: true, value: (r) => Math.min(...r.promised), cell: (r) => format.percent(Math.min(...r.promised)) },
    { key: "size", label: "Mean size", numeric: true, value: (r) => r.size, cell: (r) => r.size.toFixed(2) },
    { key: "one", label: "One class", numeric: true, value: (r) => share(r, 1, 2), cell: (r) => format.percent(share(r, 1, 2)) },
    { key: "few", label: "2 to 5", numeric: true, value: (r) => share(r, 2, 6), cell: (r) => format.percent(share(r, 2, 6)) },
    { key: "more", label: "More", numeric: true, value: (r) => share(r, 6), cell: (r) => format.percent(share(r, 6)) },
  ], found.sets, { label: "Prediction sets", class: "compact" });
}

function drawCovered(host, found, set) {
  const [plain, own] = [false, true].map((by) => found.sets.find((row) => row.kind === "lac" && row.by_class === by));
  const rows = set.classes.map((name, k) => ({ name, n: plain.classes[k].n, calibrated: own.calibrated[k], plain: plain.classes[k], own: own.classes[k], promised: own.promised[k] }));
  table(host, [
    { key: "name", label: "Class", head: true, value: (r) => r.name, cell: (r) => format.words(r.name) },
    { key: "n", label: "Test images", numeric: true, value: (r) => r.n },
    { key: "plain", label: "All together", numeric: true, value: (r) => r.plain.value, cell: (r) => shareOf(r.plain) },
    { key: "own", label: "By class", numeric: true, value: (r) => r.own.value, cell: (r) => shareOf(r.own) },
    { key: "calibrated", label: "Validation images", numeric: true, value: (r) => r.calibrated },
    { key: "promised", label: "Guaranteed by class", title: "With n validation images, the coverage can be n / (n + 1) at most", numeric: true, value: (r) => r.promised, cell: (r) => format.percent(r.promised) },
  ], rows, { label: "Coverage by class", class: "compact", limit: 14, filter: rows.length > 14 ? "Filter classes" : null });
}

function drawStrange(host, found, set) {
  const own = found.familiarity;
  const chosen = own.selection[own.score];
  host.append(h("p", {}, `An image is unfamiliar if 5 % of the validation images or fewer are as unlike the training images. The threshold rejects ${shareOf(own.rejects)} of familiar images; of the test images it rejected ${shareOf(own.rejected)}.${chosen ? ` The score (${own.score}) was chosen without foreign images: on classes that were left out in turn it has an AUROC of ${chosen.toFixed(3)}, the largest softmax ${own.selection.softmax.toFixed(3)}.` : ""}`));
  if (!set || !own.least.length) return;
  host.append(h("div", { class: "gallery" }, ...own.least.map(([row, share]) => picture(set, row, [h("span", {}, set.images[row] ? format.words(set.classes[set.images[row].label] ?? "") : ""), h("span", { class: "sure" }, `familiarity ${share.toFixed(3)}`)]))));
}
