// Training, epoch by epoch: a line for each seed, and where there are many, the range of all with their mean.

const CURVES = [["validation_accuracy", "Validation accuracy"], ["train_accuracy", "Training accuracy"], ["validation_loss", "Validation loss"], ["train_loss", "Training loss"], ["lr", "Learning rate"]];
const DASHES = ["none", "7 3", "2 3", "10 3 2 3", "4 2", "1 2"];  // of the seeds, in their order

function seedName(run, seed) {
  const folds = foldsOf(run);
  return folds ? `fold ${(seed % folds) + 1}, repeat ${Math.floor(seed / folds) + 1}` : `seed ${seed}`;
}

function dashSample(dash) {
  return s("svg", { class: "dash", viewBox: "0 0 26 8", "aria-hidden": "true" }, s("line", { x1: 0, x2: 26, y1: 4, y2: 4, "stroke-dasharray": dash }));
}

function drawTraining(host, data) {
  const runs = data.runs.filter((run) => Object.keys(run.history).length);
  const histories = runs.flatMap((run) => Object.entries(run.history).map(([seed, rows]) => ({ run, seed, rows })));
  const open = CURVES.filter(([key]) => histories.some(({ rows }) => rows.some((row) => typeof row[key] === "number")));
  if (!open.length) return;
  const seeds = [...new Set(histories.map(({ seed }) => seed))].sort((a, b) => a - b);
  const apart = seeds.length <= DASHES.length && !runs.some(foldsOf);  // more dashes than that cannot be read
  const dashOf = (seed) => (apart && seeds.length > 1 ? DASHES[seeds.indexOf(seed)] : "none");
  const seedLegend = apart && seeds.length > 1 ? seeds.map((seed) => ({ key: `seed ${seed}`, label: `seed ${seed}`, swatch: dashSample(dashOf(seed)) })) : [];
  let measure = open[0][0];
  const figure = h("div");
  host.append(h("div", { class: "figure-bar" }, segmented("Measure", open, measure, (key) => { measure = key; draw(); })), figure);
  if (seeds.length > 1) host.append(h("p", { class: "hint" }, apart ? "Colours are runs, dashes are seeds; a click in the legend hides a run or a seed." : `A band covers all ${runs.some(foldsOf) ? "folds and repeats" : "seeds"} of a run; the thick line is their mean. Point at a thin line to see which one it is.`));

  function draw() {
    const values = histories.flatMap(({ rows }) => rows.map((row) => row[measure])).filter((value) => typeof value === "number");
    const epochs = histories.flatMap(({ rows }) => rows.map((row) => row.epoch));
    const share = measure.endsWith("accuracy");
    plot(figure, {
      label: "Training curves",
      x: { label: "Epoch", domain: [Math.min(...epochs), Math.max(...epochs)], whole: true },
      y: { label: open.find(([key]) => key === measure)[1], domain: [Math.min(...values), Math.max(...values)], format: share ? accuracyAxis : undefined, bounds: share ? [0, 1] : null },
      legend: [...runLegend(runs), ...seedLegend],
      csv: () => ({ header: ["run", "seed", "epoch", measure], rows: histories.flatMap(({ run, seed, rows }) => rows.map((row) => [run.run, seed, row.epoch, row[measure]])) }),
      draw: (layer, sx, sy, hits, { state }) => {
        const faint = (run, seed) => (state.strong && state.strong !== run.run && state.strong !== `seed ${seed}` ? "faint" : "");
        const seen = histories.filter(({ run, seed }) => !state.hidden.has(run.run) && !state.hidden.has(`seed ${seed}`));
        if (!apart) runs.forEach((run) => drawBand(layer, run, seen.filter((each) => each.run === run), measure, sx, sy, faint(run)));
        for (const { run, seed, rows } of seen) {
          const points = rows.filter((row) => typeof row[measure] === "number").map((row) => [sx(row.epoch), sy(row[measure]), row]);
          const line = s("path", { class: `line ${apart ? "thin" : "member"} ${faint(run, seed)}`, stroke: colourOf(run), "stroke-dasharray": dashOf(seed), d: pathOf(points) });
          layer.append(line);
          for (const [x, y, row] of points) hits.push({ x, y, line, tip: () => tip(`${run.run}, ${seedName(run, seed)}`, [["epoch", row.epoch], ...open.map(([key, name]) => [name.toLowerCase(), typeof row[key] !== "number" ? null : key.endsWith("accuracy") ? format.percent(row[key]) : row[key].toPrecision(3)])]) });
        }
      },
    });
  }
  draw();
}

/** The range of a run's seeds at each epoch, and their mean. */
function drawBand(layer, run, histories, measure, sx, sy, faint) {
  const at = new Map();
  for (const row of histories.flatMap(({ rows }) => rows)) if (typeof row[measure] === "number") at.set(row.epoch, [...(at.get(row.epoch) || []), row[measure]]);
  const epochs = [...at.keys()].sort((a, b) => a - b);
  if (!epochs.length) return;
  const along = (of) => epochs.map((epoch) => [sx(epoch), sy(of(at.get(epoch)))]);
  const band = [...along((values) => Math.max(...values)), ...along((values) => Math.min(...values)).reverse()];
  layer.append(s("path", { class: `band ${faint}`, fill: colourOf(run), d: `${pathOf(band)}Z` }),
    s("path", { class: `line ${faint}`, stroke: colourOf(run), d: pathOf(along((values) => values.reduce((a, b) => a + b, 0) / values.length)) }));
}
