// Images of each class, the fullest first: one bar each, divided into the parts of the split.

const NAMED_BARS = 24;  // classes that have a line each; more stand side by side

function drawCounts(host, set, counts, sides) {
  const rows = set.classes.map((name, k) => ({ name, parts: sides.map((side) => counts[side][k] || 0) })).map((row) => ({ ...row, all: row.parts.reduce((a, b) => a + b, 0) })).sort((a, b) => b.all - a.all);
  const csv = () => ({ header: ["class", ...sides], rows: rows.map((row) => [row.name, ...row.parts]) });
  const legend = h("div", { class: "legend still" }, sides.map((side, k) => h("span", {}, h("i", { class: `side-${k}` }), side)));
  if (rows.length > NAMED_BARS) {
    drawColumns(host, rows, sides, csv);
    host.append(legend);
  } else host.append(h("div", { class: "table-bar" }, legend, h("span", { class: "push" }), csvButton("Images per class", csv)), barList(rows, sides));
}

function countsTip(row, sides) {
  return tip(format.words(row.name), [...sides.map((side, j) => [side, row.parts[j]]), ["in all", row.all]]);
}

function barList(rows, sides) {
  const most = Math.max(1, rows[0].all);
  return h("ol", { class: "bars" }, rows.map((row) => h("li", { onpointermove: (event) => tooltip.show(event, countsTip(row, sides)), onpointerleave: () => tooltip.hide() },
    h("span", { class: "bar-name", title: format.words(row.name) }, format.words(row.name)),
    h("span", { class: "bar" }, row.parts.map((n, side) => h("i", { class: `side-${side}`, style: `width: ${((100 * n) / most).toFixed(3)}%` }))),
    h("span", { class: "bar-count" }, row.all.toLocaleString("en")))));
}

function drawColumns(host, rows, sides, csv) {
  plot(host, {
    label: "Images per class", height: 220,
    x: { label: "Classes, the fullest first", domain: [0, rows.length], ticks: [], exact: true, names: rows.map((row) => format.words(row.name)) }, y: { label: "Images", domain: [0, rows[0].all * 1.08], exact: true },
    csv,
    draw: (layer, sx, sy, hits) => {
      rows.forEach((row, k) => {
        const column = s("g");
        let base = 0;
        row.parts.forEach((n, side) => {
          column.append(s("rect", { class: `side side-${side}`, x: sx(k) + 0.3, width: Math.max(1, sx(k + 1) - sx(k) - 0.8), y: sy(base + n), height: Math.max(0, sy(base) - sy(base + n)) }));
          base += n;
        });
        layer.append(column);
        for (const share of [0.25, 0.6, 1]) hits.push({ x: sx(k + 0.5), y: sy(row.all * share), line: column, tip: () => countsTip(row, sides) });
      });
    },
  });
}
