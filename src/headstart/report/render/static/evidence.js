// Evidence that the figures can be trusted: calibration, the data, and what features foretold.

function drawCalibration(host, data) {
  const runs = data.runs.filter((run) => run.reliability.length);
  if (!runs.length) return;
  const ranked = data.ranking.map((row) => runs.find((run) => run.run === row.run)).filter(Boolean);
  const figure = h("div");
  const numbers = h("div");
  host.append(h("div", { class: "two" }, figure, numbers));
  const made = plot(figure, {
    label: "Reliability", height: 340,
    x: { label: "Confidence", domain: [0, 1], format: accuracyAxis, bounds: [0, 1] }, y: { label: "Accuracy", domain: [0, 1], format: accuracyAxis, bounds: [0, 1] },
    legend: runLegend(ranked),
    csv: () => ({ header: ["run", "confidence", "accuracy", "low", "high", "n"], rows: ranked.flatMap((run) => run.reliability.map((bin) => [run.run, bin.confidence, bin.accuracy, bin.accuracy_low, bin.accuracy_high, bin.n])) }),
    draw: (layer, sx, sy, hits, { state }) => {
      layer.append(s("line", { class: "ideal", x1: sx(0), y1: sy(0), x2: sx(1), y2: sy(1) }));
      for (const run of ranked.filter((each) => !state.hidden.has(each.run))) {
        const faint = state.strong && state.strong !== run.run ? "faint" : "";
        const bins = run.reliability.filter((bin) => bin.n >= 5);
        layer.append(s("path", { class: `line thin ${faint}`, stroke: colourOf(run), d: pathOf(bins.map((bin) => [sx(bin.confidence), sy(bin.accuracy)])) }));
        for (const bin of bins) {
          const [x, y] = [sx(bin.confidence), sy(bin.accuracy)];
          if (state.strong === run.run) layer.append(s("line", { class: "error", stroke: colourOf(run), x1: x, x2: x, y1: sy(bin.accuracy_low), y2: sy(bin.accuracy_high) }));
          layer.append(marker(shapeOf(run), x, y, 2.6 + Math.min(3, Math.log10(bin.n)), { fill: colourOf(run), class: `mark ${faint}` }));
          hits.push({ x, y, tip: () => tip(run.run, [["says", format.percent(bin.confidence)], ["is right", format.percent(bin.accuracy)], ["95 % interval", format.interval(bin.accuracy_low, bin.accuracy_high)], ["predictions", bin.n]]) });
        }
      }
    },
  });
  const value = (run, key) => (run.metrics[key] ? run.metrics[key].mean : null);
  const temperature = (run) => { const all = Object.values(run.temperature); return all.length ? all.reduce((a, b) => a + b, 0) / all.length : null; };
  table(numbers, [
    { key: "run", label: "Run", head: true, value: (r) => r.run, cell: (r) => h("span", { class: "run" }, swatch(r), h("span", {}, r.run)) },
    { key: "ece", label: "Calibration error", title: "Expected calibration error: average distance of confidence from accuracy", numeric: true, value: (r) => value(r, "ece"), cell: (r) => format.percent(value(r, "ece")) },
    { key: "brier", label: "Brier score", numeric: true, value: (r) => value(r, "brier"), cell: (r) => format.score(value(r, "brier"), "brier") },
    { key: "log_loss", label: "Log loss", numeric: true, value: (r) => value(r, "log_loss"), cell: (r) => format.score(value(r, "log_loss"), "log_loss"), hide: "phone" },
    { key: "temperature", label: "Temperature", title: "Temperature fitted on validation; applied here", numeric: true, value: temperature, cell: (r) => (temperature(r) === null ? "–" : temperature(r).toFixed(2)) },
  ], ranked, { label: "Calibration", class: "compact", limit: 14 });
  if (ranked.length > 5) { ranked.slice(4).forEach((run) => made.state.hidden.add(run.run)); figure.querySelectorAll(".legend button").forEach((button, k) => { if (k >= 4) button.setAttribute("aria-pressed", "false"); }); }
}

function drawMeasures(host, data) {
  const names = [...new Set(data.runs.flatMap((run) => Object.keys(run.metrics)))];
  const preferred = ["accuracy", "top5_accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "mcc", "roc_auc", "map", "log_loss", "brier", "ece"];
  const shownNames = [...preferred.filter((name) => names.includes(name)), ...names.filter((name) => !preferred.includes(name))];
  const place = new Map(data.ranking.map((row, k) => [row.run, k]));
  const runs = [...data.runs].sort((a, b) => (place.get(a.run) ?? 1e9) - (place.get(b.run) ?? 1e9));
  table(host, [
    { key: "run", label: "Run", head: true, value: (r) => r.run, cell: (r) => h("span", { class: "run" }, swatch(r), h("span", {}, r.run)) },
    ...shownNames.map((name) => ({ key: name, label: measureTitle(name), title: (data.measures[name] || [])[1], csv: name, numeric: true, value: (r) => (r.metrics[name] ? r.metrics[name].mean : null), cell: (r) => { const m = r.metrics[name]; return m ? h("span", { title: m.low === null || m.low === undefined ? "" : `95 % interval ${format.interval(m.low, m.high, name)} over ${m.seeds} ${foldsOf(r) ? "folds" : "seeds"}` }, format.score(m.mean, name)) : "–"; } })),
  ], runs, { label: "All measures", class: "compact measures", fold: false, filter: runs.length > 7 ? "Filter runs" : null });
}

function drawData(host, data) {
  for (const [key, set] of Object.entries(data.datasets)) {
    const part = h("div", { class: "dataset" });
    const counts = set.counts || {};
    const sides = ["train", "validation", "test"].filter((side) => counts[side] && counts[side].some((n) => n));
    const sum = (side) => counts[side].reduce((a, b) => a + b, 0);
    const fold = sides.length && data.boards.some((board) => board.data === key && board.folds) ? " in the first fold" : "";
    part.append(h("h3", {}, set.name || key), h("p", { class: "facts" }, [`${(set.n || 0).toLocaleString("en")} images`, `${set.classes.length} classes`, sides.map((side) => `${sum(side).toLocaleString("en")}${NBSP}${side}`).join(" · ") + fold, set.skipped && set.skipped.length ? `${set.skipped.length} skipped` : null, set.about && set.about.licence ? `licence ${set.about.licence}` : null, set.bands].filter(Boolean).join(" · ")));
    if (sides.length) {
      const chart = h("div");
      part.append(chart);
      drawCounts(chart, set, counts, sides);
    }
    if (set.skipped && set.skipped.length) {
      const skipped = h("div");
      part.append(h("details", {}, h("summary", {}, `Files skipped (${set.skipped.length})`), skipped));
      table(skipped, [{ key: "name", label: "File", value: (r) => r.name }, { key: "reason", label: "Why", value: (r) => r.reason }], set.skipped, { label: "Files skipped", limit: 10 });
    }
    if ((set.corrected || []).length) {
      const corrected = h("div");
      part.append(h("details", {}, h("summary", {}, `Labels changed and images left out by corrections (${set.corrected.length.toLocaleString("en")})`), corrected));
      table(corrected, [{ key: "name", label: "Image", value: (r) => r.name }, { key: "problem", label: "Problem", value: (r) => r.problem }, { key: "before", label: "Label before", value: (r) => r.before }, { key: "after", label: "After", value: (r) => r.after || "left out" }], set.corrected, { label: "Corrections", limit: 10 });
    }
    part.append(set.audit ? auditOf(set) : h("p", { class: "empty" }, "This study has no audit of these images; run headstart audit on them to find duplicates and label errors."));
    host.append(part);
  }
}

const SCORES = { logme: "LogME", h_score: "H-score", h_score_shrunk: "H-score, shrunk", knn: "Nearest neighbours", leep: "LEEP", network: "Network", measured: "Measured" };

function drawTransfer(host, data) {
  const given = data.transferability;
  const rows = Array.isArray(given) ? given : given.rows || [];
  if (!rows.length) return;
  const metric = given.metric || "accuracy";
  const tau = (Array.isArray(given) ? null : given.weighted_tau || given.tau) || {};
  const named = (key) => SCORES[key] || format.words(key);
  const numbers = [...new Set(rows.flatMap((row) => Object.keys(row).filter((key) => typeof row[key] === "number")))];
  const known = ["logme", "h_score_shrunk", "h_score", "knn", "leep"];
  const predictors = [...known.filter((key) => numbers.includes(key)), ...numbers.filter((key) => key !== "measured" && !known.includes(key))];
  const text = [...new Set(rows.flatMap((row) => Object.keys(row).filter((key) => typeof row[key] === "string")))];
  if (numbers.includes("measured") && predictors.length) {
    let score = predictors[0];
    const figure = h("div");
    host.append(h("div", { class: "figure-bar" }, segmented("Predicted by", predictors.map((key) => [key, named(key)]), score, (key) => { score = key; draw(); })), figure);
    const draw = () => {
      const found = rows.filter((row) => typeof row[score] === "number" && typeof row.measured === "number");
      plot(figure, {
        label: "Predicted against measured", height: 320,
        x: { label: `${named(score)}, before any training`, domain: [Math.min(...found.map((r) => r[score])), Math.max(...found.map((r) => r[score]))] },
        y: { label: `Measured ${measureName(metric)}`, domain: [Math.min(...found.map((r) => r.measured)), Math.max(...found.map((r) => r.measured))], format: NO_SHARE.has(metric) ? undefined : accuracyAxis, bounds: boundsOf(metric) },
        draw: (layer, sx, sy, hits, { inner, over }) => {
          found.forEach((row, k) => {
            const [x, y] = [sx(row[score]), sy(row.measured)];
            layer.append(marker("circle", x, y, 5, { fill: `var(--c${(k % COLOURS) + 1})`, class: "mark" }));
            hits.push({ x, y, tip: () => tip(String(row[text[0]]), [[named(score), row[score].toPrecision(4)], ["measured", format.score(row.measured, metric)]]) });
          });
          writeMarkNames(over, found.map((row) => ({ name: String(row[text[0]]), x: sx(row[score]), y: sy(row.measured) })), [], inner);
        },
      });
    };
    draw();
  }
  const place = h("div");
  host.append(place);
  table(place, [...text.map((key, k) => ({ key, label: named(key), head: k === 0, value: (r) => r[key] })), ...numbers.map((key) => ({ key, label: named(key), numeric: true, value: (r) => r[key], cell: (r) => (typeof r[key] !== "number" ? "–" : key === "measured" ? format.score(r[key], metric) : key.startsWith("knn") ? format.percent(r[key]) : r[key].toPrecision(4)) }))], rows, { label: "Transferability", sort: numbers.includes("measured") ? { key: "measured", down: true } : null });
  const agreed = Object.entries(tau).filter(([, value]) => typeof value === "number");
  const missing = Object.entries((Array.isArray(given) ? null : given.left_out) || {});
  if (missing.length) host.append(h("p", { class: "hint" }, missing.map(([key, why]) => `No ${named(key)}: ${why}.`).join(" ")));
  if (agreed.length) host.append(h("p", { class: "facts" }, `Agreement of the predicted order with the measured one (weighted Kendall τ, 1 is perfect): ${agreed.map(([key, value]) => `${named(key)} ${value.toFixed(2)}`).join(" · ")}.`));
}
