// The leaderboard with its intervals, and the comparisons of runs.

function badge(kind, text, title) {
  return h("span", { class: `badge ${kind}`, title }, text);
}

function runLabel(run, row) {
  const what = [run.spec.backbone, format.words(run.spec.strategy || ""), weightsName(run), teacherName(run)].filter(Boolean).join(" · ");
  const marks = [];
  if (row && row.chosen) marks.push(badge("chosen", "model", "Chosen on validation and saved"));
  const others = row && data.boards[row.board].ranking.length > 1;
  if (others && row.best) marks.push(badge("best", "best on test", data.meanings.best));
  else if (others && row.state !== "behind") marks.push(badge(STATE_CLASS[row.state], row.state, data.meanings[row.state]));
  if (row && row.baseline) marks.push(badge("plain", "baseline", "The run that the others are compared with"));
  return h("span", { class: "run" }, swatch(run), h("span", {}, h("span", { class: "run-name" }, run.run), ...marks, h("span", { class: "run-what", title: what }, what)));
}

const STATE_CLASS = { best: "best", tied: "tied", "cannot tell": "open", behind: "rest" };

function weightsName(run) {
  if (run.spec.backbone === "pixels") return "";
  const weights = run.spec.weights;
  if (!weights) return "";
  if (typeof weights === "string") return weights;
  if (weights.run) return `from ${weights.run}`;
  return weights.name === "none" ? "random weights" : weights.name || weights.path || "";
}

function teacherName(run) {
  const teacher = run.spec.teacher;
  return teacher ? `taught by ${teacher.run || teacher.path}` : "";
}

/** Choose the range that the interval bars show: all of it, or what the leaders need. */
function trackDomain(rows, whole) {
  const lows = rows.map((row) => row.low);
  const highs = rows.map((row) => row.high);
  const share = !NO_SHARE.has(rows[0].metric);
  const clip = ([a, b]) => (share ? [Math.max(0, a), Math.min(1, b)] : [a, b]);
  if (whole) return clip([share ? 0 : Math.min(0, ...lows), share ? 1 : Math.max(...highs)]);
  const near = rows.slice(0, Math.max(2, rows.filter((row) => row.state !== "behind").length, Math.ceil(rows.length / 2)));
  return clip(padded([Math.min(...near.map((r) => r.low)), Math.max(...near.map((r) => r.high))], false, 0.08));
}

/** The range that holds every interval. */
function around(rows) {
  return domainOf({ domain: [Math.min(...rows.map((row) => row.low)), Math.max(...rows.map((row) => row.high))], bounds: boundsOf(rows[0].metric) });
}

/** An interval with its dot: places are shares of the width, so that the dot is round however wide the column is. */
function track(row, domain) {
  const share = (value) => (value - domain[0]) / (domain[1] - domain[0]);
  const at = (value) => `${(100 * Math.max(0, Math.min(1, share(value)))).toFixed(2)}%`;
  const image = s("svg", { class: "track", "aria-hidden": "true" });
  const beyond = (left) => image.append(s("svg", { x: left ? "0%" : "100%", y: 11, overflow: "visible" }, s("path", { class: "off", d: left ? "M7,-5L-2,0L7,5" : "M-7,-5L2,0L-7,5" })));
  for (const tick of linearTicks(domain[0], domain[1], 4)) image.append(s("line", { class: "grid", x1: at(tick), x2: at(tick), y1: 0, y2: 22 }));
  if (row.high < domain[0] || row.low > domain[1]) {
    beyond(row.high < domain[0]);
    return image;
  }
  const kind = STATE_CLASS[row.state];
  image.append(s("line", { class: `whisker ${kind}`, x1: at(row.low), x2: at(row.high), y1: 11, y2: 11 }));
  if (row.mean < domain[0]) beyond(true);
  else if (row.mean <= domain[1]) image.append(s("circle", { class: `dot ${kind}`, cx: at(row.mean), cy: 11, r: 4.6 }));
  return image;
}

function drawRanking(host, board, data) {
  const rows = data.ranking.filter((row) => row.board === board);
  if (!rows.length) return;
  const runs = new Map(data.runs.map((run) => [run.run, run]));
  const metric = rows[0].metric;
  const wide = Math.max(...rows.map((r) => r.high)) - Math.min(...rows.map((r) => r.low)) > 0.35 && rows.length > 3;
  let domain = wide ? trackDomain(rows, false) : around(rows);
  const ruler = h("span", { class: "ruler" });
  const drawRuler = () => ruler.replaceChildren(h("span", {}, format.score(domain[0], metric)), h("span", {}, `${measureName(metric)}, 95 % interval`), h("span", {}, format.score(domain[1], metric)));
  drawRuler();
  const columns = [
    { key: "rank", label: "#", value: (r) => r.rank, numeric: true, class: "rank" },
    { key: "run", label: "Run", head: true, value: (r) => r.run, cell: (r) => runLabel(runs.get(r.run), r), class: "name" },
    { key: "mean", label: measureTitle(metric), csv: metric, numeric: true, value: (r) => r.mean, class: "score", cell: (r) => h("span", {}, h("b", {}, format.score(r.mean, metric)), h("small", {}, format.interval(r.low, r.high, metric)), r.wider_low === null ? null : h("small", { title: "Also for other training images" }, `(${format.interval(r.wider_low, r.wider_high, metric)})`)) },
    { key: "track", label: "", class: "track-cell", cell: (r) => track(r, domain) },
    { key: "low", label: "low", value: (r) => r.low, numeric: true, class: "gone" },
    { key: "high", label: "high", value: (r) => r.high, numeric: true, class: "gone" },
    { key: "wider_low", label: "wider low", value: (r) => r.wider_low, numeric: true, class: "gone" },
    { key: "wider_high", label: "wider high", value: (r) => r.wider_high, numeric: true, class: "gone" },
    { key: "letters", label: "Group", title: "Runs that share a letter do not differ significantly when every pair is tested", value: (r) => r.letters, hide: "phone", class: data.boards[board].lettered ? "letters" : "gone" },
    { key: "sd", label: rows[0].folds ? "sd over repeats" : "sd over seeds", numeric: true, value: (r) => r.sd, class: "gone" },
    { key: "seeds", label: rows[0].folds ? "Folds × repeats" : "Seeds", csv: rows[0].folds ? "repeats" : "seeds", numeric: true, value: (r) => r.seeds, cell: (r) => (r.folds ? `${r.folds} × ${r.seeds}` : String(r.seeds)), hide: "phone" },
    { key: "use", label: "To use", csv: "seconds_per_image", title: "Time for an image, as in the pass of this study, and the size of the model as 32-bit floats; an ensemble takes all its networks", numeric: true, value: (r) => r.seconds_per_image, cell: (r) => h("span", {}, r.seconds_per_image === null ? "–" : format.seconds(r.seconds_per_image), r.megabytes ? h("small", {}, format.bytes(1e6 * r.megabytes)) : null), class: "cost" },
    { key: "megabytes", label: "megabytes", value: (r) => r.megabytes, numeric: true, class: "gone" },
    { key: "seconds", label: "To get", csv: "seconds", title: "Time of one seed with the work that it shares with other runs", numeric: true, value: (r) => r.total_seconds, cell: (r) => h("span", { title: `of which ${format.seconds(r.seconds)} are not shared` }, format.seconds(r.total_seconds)), class: "cost to-get" },
  ];
  const controls = wide ? [segmented("Range shown", [["near", "Leaders"], ["all", "All"]], "near", (value) => { domain = trackDomain(rows, value === "all"); drawRuler(); made.render(); })] : [];
  const made = table(host, columns, rows, {
    label: data.boards.length > 1 ? `Leaderboard on ${data.boards[board].title}` : "Leaderboard", class: "ranking", sort: null, controls,
    filter: rows.length > 7 ? "Filter runs" : null, rowKey: (r) => r.run,
    rowClass: (r) => (r.best && rows.length > 1 ? "is-best" : r.state === "tied" ? "is-tied" : ""),
    onrender: (body) => body.querySelectorAll("tr").forEach((line) => hoverRow(line, rows.find((r) => r.run === line.dataset.row))),
  });
  host.querySelector("thead th.track-cell").replaceChildren(ruler);
}

function hoverRow(line, row) {
  const cell = line.querySelector(".track-cell");
  const against = row.against_baseline;
  cell.addEventListener("pointermove", (event) => tooltip.show(event, tip(row.run, [
    [measureName(row.metric), format.score(row.mean, row.metric)], ["95 % interval", format.interval(row.low, row.high, row.metric)],
    ["other training images too", row.wider_low === null ? null : format.interval(row.wider_low, row.wider_high, row.metric)],
    [`sd over ${row.folds ? "repeats" : "seeds"}`, row.sd === null ? null : format.points(row.sd, row.metric).slice(1)], row.folds ? ["folds × repeats, images", `${row.folds} × ${row.seeds}, ${row.n}`] : ["seeds × images", `${row.seeds} × ${row.n}`],
    ["on test", data.boards[row.board].ranking.length > 1 ? row.state : null], ["against baseline", against ? `${format.points(against.difference, row.metric)} (${format.points(against.low, row.metric)} to ${format.points(against.high, row.metric)})` : null],
  ])));
  cell.addEventListener("pointerleave", () => tooltip.hide());
}

/** The three questions: the best against each, each against the baseline, and every pair. */
function drawComparisons(host, number, data) {
  const board = data.boards[number];
  if (board.ranking.length < 2) return;
  const listed = (title, pairs) => {
    if (!pairs.length) return;
    const place = h("div");
    host.append(h("h3", {}, title), place);
    table(place, [
      { key: "verdict", label: "Verdict", head: true, value: (p) => p.verdict, cell: (p) => format.prose(p.verdict), class: "verdict" },
      { key: "wider", label: "Other training images too", title: "The 95 % interval of the difference that also holds for other training images", value: (p) => p.wider_low, cell: (p) => (p.wider_low === null ? "–" : `${format.points(p.wider_low, board.metric)} to ${format.points(p.wider_high, board.metric)}`), class: board.wider ? "wider" : "gone" },
      { key: "probability", label: "Probability", title: "The probability that the first is better than the second when both are trained with a new seed and judged on new images", numeric: true, value: (p) => p.probability, cell: (p) => (p.probability > 0.99 ? "> 99 %" : p.probability < 0.01 ? "< 1 %" : format.percent(p.probability, 0)) },
    ], pairs, { label: title, class: "verdicts", limit: 8 });
  };
  listed(`${board.runs[0]}, the best on test, against each`, board.against_best);
  listed(`Each against the baseline ${board.baseline}`, board.ranking.length > 2 ? board.against_baseline : []);
  const pairs = h("div");
  host.append(h("details", { open: board.ranking.length <= 14 }, h("summary", {}, "Every pair"), pairs));
  drawPairs(pairs, number, data);
}

/** Every pair: how much the run of the row is above the run of the column, filled only where the test says so. */
function drawPairs(host, number, data) {
  const board = data.boards[number];
  const names = board.ranking.map((row) => row.run);
  if (names.length < 2) return;
  const found = new Map(board.pairwise.flatMap((p) => [[`${p.a}\n${p.b}`, p], [`${p.b}\n${p.a}`, { ...p, turned: true }]]));
  const most = Math.max(...board.pairwise.map((p) => Math.abs(p.difference)), 1e-9);
  const runs = new Map(data.runs.map((run) => [run.run, run]));
  const better = LOWER_IS_BETTER.has(board.metric) ? -1 : 1;
  const grid = h("table", { class: names.length > 14 ? "pairs dense" : "pairs" }, h("caption", {}, "Every pair"),
    h("thead", {}, h("tr", {}, h("td"), names.map((name, k) => h("th", { scope: "col", title: name }, String(k + 1))))));
  const body = h("tbody");
  names.forEach((a, i) => {
    const line = h("tr", {}, h("th", { scope: "row" }, h("span", { class: "pair-rank" }, String(i + 1)), swatch(runs.get(a)), a));
    names.forEach((b, j) => {
      const pair = found.get(`${a}\n${b}`);
      if (!pair) { line.append(h("td", { class: "same" })); return; }
      const sign = pair.turned ? -1 : 1;
      const value = sign * pair.difference;
      const strength = Math.round(18 + 72 * Math.sqrt(Math.abs(value) / most));
      const good = value * better > 0;
      const style = pair.significant ? `--fill: color-mix(in oklab, var(${good ? "--above" : "--below"}) ${strength}%, transparent)` : null;
      line.append(h("td", { class: pair.significant ? "told" : "untold", style, tabindex: i < j ? "0" : null,
        onpointermove: (event) => tooltip.show(event, pairTip(a, b, pair, sign, board.metric)), onpointerleave: () => tooltip.hide() },
      pair.significant ? format.points(value, board.metric) : pair.category === "tied" ? "=" : "?"));
    });
    body.append(line);
  });
  grid.append(body);
  host.append(h("div", { class: "table-bar" }, h("span", { class: "key" }, ...[["above", "", "row is better"], ["below", "", "row is worse"], ["same", "=", "tied"], ["same", "?", "cannot tell yet"]].map(([kind, sign, meaning]) => h("span", {}, h("i", { class: `key-${kind}` }, sign), meaning))), h("span", { class: "push" }),
    csvButton("Comparisons", () => ({ header: ["a", "b", "difference", "low", "high", "p", "p_adjusted", "verdict"], rows: board.pairwise.map((p) => [p.a, p.b, p.difference, p.low, p.high, p.p, p.p_adjusted, p.verdict]) }))),
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Every pair of runs" }, grid));
}

function pairTip(a, b, pair, sign, metric) {
  const [low, high] = sign > 0 ? [pair.low, pair.high] : [-pair.high, -pair.low];
  return [...tip(`${a} − ${b}`, [
    ["difference", format.points(sign * pair.difference, metric)], ["95 % interval", `${format.points(low, metric)} to ${format.points(high, metric)}`],
    ["p, all pairs together", format.p(pair.p_adjusted)], ["test", pair.test],
  ]), h("div", { class: "tip-note" }, format.prose(pair.verdict))];
}
