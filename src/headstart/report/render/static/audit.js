// What an audit of the images found: findings in words, then the pairs and labels in question, with images.

function auditOf(set) {
  const audit = set.audit;
  const part = h("div", { class: "audit" });
  part.append(h("ul", { class: "findings" }, (audit.findings || []).map((each) => h("li", { class: each.level || "" }, each.text || String(each)))));
  const length = (name) => (audit.lengths || {})[name] || 0;
  const image = (place) => {
    const src = (audit.thumbnails || {})[place.thumbnail];
    return h("figure", { class: "picture" }, src ? h("img", { src: `data:image/jpeg;base64,${src}`, alt: place.name }) : h("div", { class: "no-picture" }, "no picture"),
      h("figcaption", {}, h("span", { class: "truth" }, format.words(place.label)), h("span", { class: "sure" }, [place.name.split("/").pop(), place.split].filter(Boolean).join(" · "))));
  };
  const pair = (a, b, note, conflict) => h("div", { class: "pair" }, h("div", { class: "pair-images" }, image(a), image(b)), h("p", { class: conflict ? "note" : "sure" }, note));
  const folded = (name, title, nodes, kind) => {
    if (!nodes.length) return;
    const more = length(name) > nodes.length ? `, the first ${nodes.length}` : "";
    part.append(h("details", { open: kind === "open" }, h("summary", {}, `${title} (${length(name).toLocaleString("en")}${more})`), h("div", { class: name === "label_errors" ? "gallery" : "pair-list" }, nodes)));
  };
  const sides = (row) => (row.parts && row.parts.length > 1 ? `across ${row.parts.join(" and ")}` : "");
  folded("label_errors", "Possible label errors", (audit.label_errors || []).slice(0, 24).map((row) => {
    const figure = image(row);
    figure.querySelector("figcaption").append(h("span", { class: "guess" }, `looks like ${format.words(row.suggested)}, ${format.percent(row.p_suggested, 0)}`));
    return figure;
  }), "open");
  folded("near", "Near duplicates", (audit.near || []).slice(0, 24).map((row) => pair(row.a, row.b, [`${format.percent(row.similarity, 0)} similar`, format.words(row.kind || ""), sides(row), row.conflict ? "labels differ" : ""].filter(Boolean).join(" · "), row.conflict)));
  folded("exact", "Exact duplicates", (audit.exact || []).filter((row) => row.places.length > 1).slice(0, 24).map((row) => pair(row.places[0], row.places[1], [`${row.places.length} identical files`, sides(row), row.conflict ? "labels differ" : ""].filter(Boolean).join(" · "), row.conflict)));
  if ((audit.unreadable || []).length) {
    const box = h("div");
    part.append(h("details", {}, h("summary", {}, `Files that cannot be read (${length("unreadable")})`), box));
    table(box, [{ key: "name", label: "File", value: (r) => r.name }, { key: "reason", label: "Why", value: (r) => r.reason }], audit.unreadable, { label: "Files that cannot be read" });
  }
  part.append(...(audit.notes || []).map((note) => h("p", { class: "note" }, note)));
  return part;
}
