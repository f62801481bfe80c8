// Curves and clouds over runs: cost, learning curves.

const accuracyAxis = (value, range) => `${(100 * value).toFixed(range < 0.02 ? 2 : range < 0.12 ? 1 : 0)} %`;

function runLegend(runs) {
  return runs.map((run) => ({ key: run.run, label: run.run, swatch: swatch(run) }));
}

const COSTS = {
  use: { name: "To use: time", label: "Time for an image", of: (run) => run.use.seconds_per_image, show: format.seconds, durations: true },
  size: { name: "To use: size", label: "Size of the model", of: (run) => run.use.megabytes && 1e6 * run.use.megabytes, show: format.bytes },
  total: { name: "To get: time", label: "Time of one run alone, with the work that it shares", of: (run) => run.total_seconds, show: format.seconds, durations: true },
  own: { name: "Added to the study", label: "Time that one run adds to the study", of: (run) => run.cost.seconds, show: format.seconds, durations: true },
  learned: { name: "Learned", label: "Parameters learned", of: (run) => run.parameters.learned, show: format.count },
  memory: { name: "Memory", label: "Peak memory", of: (run) => run.cost.peak_memory_bytes, show: format.bytes },
};

/** Accuracy against cost, with the runs that nothing beats on both joined by a line. */
function drawCost(host, number, data) {
  const rows = new Map(data.ranking.filter((row) => row.board === number).map((row) => [row.run, row]));
  const runs = data.runs.filter((run) => rows.has(run.run));
  const metric = data.boards[number].metric;
  const at = (run) => rows.get(run.run);
  const open = Object.entries(COSTS).filter(([, cost]) => runs.filter((run) => cost.of(run) > 0).length > 1);
  if (!open.length) { host.append(h("p", { class: "empty" }, "No cost was recorded.")); return; }
  let cost = open[0][1];
  const figure = h("div");
  const wide = rows.size > 7;  // floors would squeeze all others under the upper edge
  let whole = !wide;
  host.append(h("div", { class: "figure-bar" }, segmented("Cost", open.map(([key, each]) => [key, each.name]), open[0][0], (key) => { cost = COSTS[key]; draw(); }),
    ...(wide ? [h("span", { class: "push" }), segmented("Runs shown", [["near", "Leaders"], ["all", "All"]], "near", (value) => { whole = value === "all"; draw(); })] : [])), figure);

  function draw() {
    const shown = runs.filter((run) => cost.of(run) > 0);
    const values = shown.map((run) => cost.of(run));
    const better = LOWER_IS_BETTER.has(metric) ? -1 : 1;
    plot(figure, {
      label: "Score against cost", height: Math.min(420, Math.max(300, figure.clientWidth * 0.46)),
      x: { label: cost.label, domain: [Math.min(...values), Math.max(...values)], log: Math.max(...values) / Math.min(...values) > 5, format: cost.show, durations: cost.durations },
      y: { label: measureTitle(metric), domain: whole ? [Math.min(...shown.map((r) => at(r).low)), Math.max(...shown.map((r) => at(r).high))] : trackDomain([...rows.values()], false), format: NO_SHARE.has(metric) ? undefined : accuracyAxis, bounds: boundsOf(metric) },
      legend: runLegend(shown),
      csv: () => ({ header: ["run", metric, "low", "high", cost.label], rows: shown.map((run) => [run.run, at(run).mean, at(run).low, at(run).high, cost.of(run)]) }),
      draw: (layer, sx, sy, hits, { state, inner, over }) => {
        const seen = shown.filter((run) => !state.hidden.has(run.run));
        const steps = frontier(seen, cost, at, better, sx, sy);
        layer.append(s("path", { class: "frontier", d: steps.length > 1 ? pathOf(steps) : "" }));
        const named = [];
        for (const run of seen) {
          const [x, y] = [sx(cost.of(run)), sy(at(run).mean)];
          const faint = state.strong && state.strong !== run.run ? "faint" : "";
          layer.append(s("line", { class: `error ${faint}`, stroke: colourOf(run), x1: x, x2: x, y1: sy(at(run).low), y2: sy(at(run).high) }),
            marker(shapeOf(run), x, y, 5.2, { fill: colourOf(run), class: `mark ${faint}` }));
          if (x >= 0 && x <= inner[0] && y >= 0 && y <= inner[1]) named.push({ name: run.run, rank: at(run).rank, x, y });
          hits.push({ x, y, tip: () => tip(run.run, [[measureName(metric), format.score(at(run).mean, metric)], ["95 % interval", format.interval(at(run).low, at(run).high, metric)], ["an image", run.use.seconds_per_image ? format.seconds(run.use.seconds_per_image) : null], ["size", run.use.megabytes ? format.bytes(1e6 * run.use.megabytes) : null], ["to get", format.seconds(run.total_seconds)], ["added to the study", format.seconds(run.cost.seconds)], ["learned", format.count(run.parameters.learned)], ["peak memory", format.bytes(run.cost.peak_memory_bytes)]]) });
        }
        const bars = seen.map((run) => [sx(cost.of(run)) - 1, sy(at(run).high), sx(cost.of(run)) + 1, sy(at(run).low)]);
        const stairs = steps.slice(1).map(([x, y], k) => [Math.min(x, steps[k][0]) - 1, Math.min(y, steps[k][1]) - 1, Math.max(x, steps[k][0]) + 1, Math.max(y, steps[k][1]) + 1]);
        writeMarkNames(over, named.sort((a, b) => a.rank - b.rank).slice(0, NAMED), [...bars, ...stairs], inner);
      },
    });
  }
  draw();
}

function frontier(runs, cost, at, better, sx, sy) {
  let best = -Infinity;
  const points = [];
  for (const run of [...runs].sort((a, b) => cost.of(a) - cost.of(b) || better * (at(b).mean - at(a).mean))) {
    if (better * at(run).mean <= best) continue;
    const [x, y] = [sx(cost.of(run)), sy(at(run).mean)];
    if (points.length) points.push([x, points[points.length - 1][1]]);
    points.push([x, y]);
    best = better * at(run).mean;
  }
  return points;
}

const NAMED = 24;  // runs with a name in the chart; the others are in the legend

/** Write a name beside each mark, none over another or over a line; one that moves away has a thin line to its mark. */
function writeMarkNames(layer, named, taken, room) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const placed = [...taken, ...named.map(({ x, y }) => [x - 6, y - 6, x + 6, y + 6])];
  const free = (box) => box[0] >= 0 && box[2] <= room[0] + 18 && box[1] >= -10 && box[3] <= room[1] && !placed.some((o) => box[0] < o[2] && box[2] > o[0] && box[1] < o[3] && box[3] > o[1]);
  for (const { name, x, y } of named) {
    const width = pen.measureText(name).width;
    const boxAt = ([dx, dy]) => { const left = dx > 0 ? x + dx : dx < 0 ? x + dx - width : x - width / 2; return [left, y + dy - 8, left + width, y + dy + 7]; };
    const place = NAME_PLACES.find((each) => free(boxAt(each)));
    if (!place) continue;
    const [dx, dy] = place;
    placed.push(boxAt(place));
    if (Math.abs(dx) > 9) layer.append(s("line", { class: "leader", x1: x + Math.sign(dx) * 5, y1: y, x2: x + dx - Math.sign(dx) * 2, y2: y + dy }));
    layer.append(s("text", { class: "mark-label", x: x + dx, y: y + dy + 4, "text-anchor": dx > 0 ? "start" : dx < 0 ? "end" : "middle" }, name));
  }
}

/** Where a name may be, from its mark, the nearest first: beside it, above or below, then further away. */
const NAME_PLACES = [[9, 0], [-9, 0], [0, -15], [0, 16], ...[1, 2, 3, 4, 5, 6, 7, 8].flatMap((k) => [[24, 16 * k], [-24, 16 * k], [24, -16 * k], [-24, -16 * k]])];

/** Score against the number of labels, one line for runs that differ in nothing else. */
function drawLearning(host, number, data) {
  for (const axis of ["shots", "fraction"]) {
    const rows = new Map(data.ranking.filter((row) => row.board === number).map((row) => [row.run, row]));
    const runs = data.runs.filter((run) => rows.has(run.run) && typeof run.axes[axis] === "number");
    if (runs.length < 2) continue;
    const lines = new Map();
    for (const run of runs) {
      const key = lineName(run, axis);
      lines.set(key, [...(lines.get(key) || []), run].sort((a, b) => a.axes[axis] - b.axes[axis]));
    }
    const metric = data.boards[number].metric;
    const values = runs.map((run) => run.axes[axis]);
    const figure = h("div");
    host.append(figure);
    const keyed = [...lines].map(([name, members], k) => ({ name, members, run: { run: name, number: k } }));
    plot(figure, {
      label: "Learning curves",
      x: { label: axis === "shots" ? "Labelled images per class" : "Share of the training images", domain: [Math.min(...values), Math.max(...values)], log: true, ticks: [...new Set(values)].sort((a, b) => a - b), format: (v) => (axis === "shots" ? String(+v.toPrecision(3)) : `${+(100 * v).toPrecision(3)} %`) },
      y: { label: measureTitle(metric), domain: [Math.min(...runs.map((r) => rows.get(r.run).low)), Math.max(...runs.map((r) => rows.get(r.run).high))], format: NO_SHARE.has(metric) ? undefined : accuracyAxis, bounds: boundsOf(metric) },
      legend: keyed.map(({ name, run }) => ({ key: name, label: name, swatch: swatch(run) })),
      csv: () => ({ header: ["line", axis, metric, "low", "high"], rows: runs.map((r) => [lineName(r, axis), r.axes[axis], rows.get(r.run).mean, rows.get(r.run).low, rows.get(r.run).high]) }),
      draw: (layer, sx, sy, hits, { state }) => {
        for (const { name, members, run } of keyed) {
          if (state.hidden.has(name)) continue;
          const faint = state.strong && state.strong !== name ? "faint" : "";
          const points = members.map((member) => ({ x: sx(member.axes[axis]), row: rows.get(member.run), member }));
          const band = [...points.map((p) => [p.x, sy(p.row.high)]), ...[...points].reverse().map((p) => [p.x, sy(p.row.low)])];
          layer.append(s("path", { class: `band ${faint}`, fill: colourOf(run), d: `${pathOf(band)}Z` }), s("path", { class: `line ${faint}`, stroke: colourOf(run), d: pathOf(points.map((p) => [p.x, sy(p.row.mean)])) }));
          for (const point of points) {
            const y = sy(point.row.mean);
            layer.append(marker(shapeOf(run), point.x, y, 4.4, { fill: colourOf(run), class: `mark ${faint}` }));
            hits.push({ x: point.x, y, tip: () => tip(name, [[axis, point.member.axes[axis]], [measureName(metric), format.score(point.row.mean, metric)], ["95 % interval", format.interval(point.row.low, point.row.high, metric)], [point.row.folds ? "repeats" : "seeds", point.row.seeds]]) });
          }
        }
      },
    });
  }
}

function lineName(run, axis) {
  return run.run.split(" · ").filter((part) => part !== `${axis} ${run.axes[axis]}`).join(" · ");
}
