// Two networks explained side by side, and how similar source and target are.

function drawExplained(host, data) {
  data.explained.forEach((pair) => {
    const [first, second] = pair.runs;
    host.append(h("h3", {}, `${first} and ${second}`));
    if (pair.src) {
      const alt = `${pair.images.length} test images, explained by ${pair.methods.map(methodName).join(", ")} for ${first} and for ${second}`;
      host.append(h("figure", { class: "paired" }, h("img", { src: pair.src, alt, loading: "lazy" })));
    }
    pair.notes.forEach((note) => host.append(h("p", { class: "note" }, note)));
  });
}

function drawSimilarity(host, data) {
  const { frechet = [], stages = [] } = data.similarity;
  if (frechet.length) {
    const place = h("div");
    host.append(place);
    const number = (key, label, title) => ({ key, label, title, numeric: true, value: (r) => r[key], cell: (r) => r[key].toPrecision(4) });
    table(place, [
      { key: "network", label: "Features of", head: true, value: (r) => r.network },
      { key: "source", label: "Source", value: (r) => r.source },
      { key: "target", label: "Target", value: (r) => r.target },
      number("distance", "Fréchet distance", "between source and target"),
      number("within_target", "Within the target", "between two samples of the target of the same size"),
      { key: "times", label: "Ratio", numeric: true, value: (r) => (r.within_target > 0 ? r.distance / r.within_target : null), cell: (r) => (r.within_target > 0 ? `${(r.distance / r.within_target).toPrecision(3)} ×` : "–") },
      { key: "n", label: "Images of each", numeric: true, value: (r) => r.n },
    ], frechet, { label: "Distance of source and target" });
    host.append(h("p", { class: "hint" }, "Compare distances within a row, not between networks: the embeddings of each network have their own scale."));
  }
  stages.forEach((pair) => {
    host.append(h("h3", {}, `CKA by stage: ${pair.runs[0]} (down) and ${pair.runs[1]} (across), ${pair.n} images`));
    const heat = (value) => ({ class: "heat", style: `background: color-mix(in srgb, var(--accent) ${Math.round(60 * Math.max(0, Math.min(1, value)))}%, transparent)` });
    host.append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "CKA by stage" }, h("table", { class: "alike" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), pair.second.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, pair.cka.map((row, k) => h("tr", {}, h("th", { scope: "row" }, pair.first[k]), row.map((value) => h("td", heat(value), value.toFixed(2)))))))));
  });
}
