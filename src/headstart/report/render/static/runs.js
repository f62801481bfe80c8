// Every run's resolved settings, and which of them differ.

function flat(value, path = "") {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.length ? [[path, value.every((v) => typeof v !== "object") ? value.join(", ") : JSON.stringify(value)]] : [];
  if (typeof value === "object") return Object.entries(value).flatMap(([key, inner]) => flat(inner, path ? `${path}.${key}` : key));
  return [[path, typeof value === "number" ? String(+value.toPrecision(6)) : String(value)]];
}

/** What was chosen on validation, setting by setting: each value with how often, or the range of many numbers. */
function chosenIn(choices) {
  const found = new Map();
  for (const [key, value] of choices.flatMap((each) => flat(each))) found.set(key, (found.get(key) || new Map()).set(value, ((found.get(key) || new Map()).get(value) || 0) + 1));
  return [...found].map(([key, counts]) => {
    if (counts.size === 1) return `${key} ${[...counts.keys()][0]}`;
    const numbers = [...counts.keys()].map(Number);
    if (counts.size > 3 && numbers.every(Number.isFinite)) return `${key} ${Math.min(...numbers)} to ${Math.max(...numbers)}`;
    return `${key} ${[...counts].sort((a, b) => b[1] - a[1]).map(([value, n]) => `${value} (${n}×)`).join(" or ")}`;
  }).join(", ");
}

function drawRuns(host, data) {
  const settings = new Map(data.runs.map((run) => [run.run, new Map(flat(run.spec))]));
  const keys = [...new Set([...settings.values()].flatMap((each) => [...each.keys()]))];
  const differing = keys.filter((key) => !key.startsWith("data.fingerprint") && new Set([...settings.values()].map((each) => each.get(key) ?? "")).size > 1);
  const choice = (run) => chosenIn(Object.values(run.chosen));
  const place = h("div");
  host.append(place);
  table(place, [
    { key: "run", label: "Run", head: true, value: (r) => r.run, cell: (r) => h("span", { class: "run" }, swatch(r), h("span", {}, r.run)) },
    ...differing.map((key) => ({ key, label: key, value: (r) => settings.get(r.run).get(key) ?? null, cell: (r) => settings.get(r.run).get(key) ?? "" })),
    ...(data.runs.some((run) => choice(run)) ? [{ key: "chosen", label: "chosen on validation", value: choice, class: "choice" }] : []),
  ], data.runs, { label: "Settings that differ", class: "compact", filter: data.runs.length > 7 ? "Filter runs" : null });
  for (const failure of data.failed) host.append(h("p", { class: "failed" }, h("b", {}, `${failure.run}, seed ${failure.seed}, failed: `), failure.why));
  host.append(h("h3", { class: "specs" }, "All settings, run by run"));
  for (const run of data.runs) {
    const tried = Object.entries(run.tried).flatMap(([seed, rows]) => rows.map((row) => [seed, row]));
    const detail = h("details", { class: "spec" }, h("summary", {}, swatch(run), run.run, h("span", { class: "count" }, ` ${timesTrained(run)}`)));
    const list = h("dl", {}, ...[...settings.get(run.run)].flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]),
      ...flat(run.weights, "weights").flatMap(([key, value]) => [h("dt", {}, key), h("dd", { class: "break" }, value)]),
      ...flat(run.images).flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]));
    detail.append(...run.notes.map((note) => h("p", { class: "note" }, note)), list);
    if (tried.length) {
      const box = h("div");
      const names = [...new Set(tried.flatMap(([, row]) => Object.keys(row)))];
      detail.append(h("h4", {}, `Tried on validation (${tried.length})`), box);
      const text = (value) => (typeof value === "number" ? +value.toPrecision(5) : value !== null && typeof value === "object" ? flat(value).map(([key, inner]) => `${key} ${inner}`).join(", ") : value);
      table(box, [{ key: "seed", label: "seed", numeric: true, value: ([seed]) => Number(seed) }, ...names.map((name) => ({ key: name, label: format.words(name), numeric: tried.some(([, row]) => typeof row[name] === "number"), value: ([, row]) => text(row[name]) }))], tried, { label: `Tried by ${run.run}`, class: "compact", limit: 12 });
    }
    host.append(detail);
  }
}
