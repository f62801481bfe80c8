// Tables that sort, filter and save as CSV.

/**
 * Make a table. columns: {key, label, title, value(row) → number | string | null, cell(row) → text or node,
 * numeric, hide ("phone": left out on narrow screens)}; options: label, sort ({key, down}), filter, limit, rowClass.
 */
function table(host, columns, rows, options = {}) {
  const state = { sort: options.sort || null, text: "", shown: options.limit || Infinity };
  const body = h("tbody");
  const heads = columns.map((column) => h("th", { scope: "col", class: classesOf(column), title: column.title, "aria-sort": "none" },
    h("button", { type: "button", onclick: () => sortBy(column) }, column.label, h("span", { class: "arrow", "aria-hidden": "true" }))));
  const filter = options.filter
    ? h("input", { type: "search", placeholder: options.filter, "aria-label": options.filter, oninput: (event) => { state.text = event.target.value.trim().toLowerCase(); render(); } })
    : null;
  const count = h("span", { class: "count" });
  const more = h("button", { type: "button", class: "more", onclick: () => { state.shown = Infinity; render(); } });
  const bar = h("div", { class: "table-bar" }, filter, count, h("span", { class: "push" }), ...(options.controls || []),
    csvButton(options.label, () => ({ header: columns.filter((c) => c.value).map((c) => c.csv || c.label), rows: current().map((row) => columns.filter((c) => c.value).map((c) => c.value(row))) })));
  host.replaceChildren(bar, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.label },
    h("table", { class: `${options.class || ""} ${options.fold === false ? "" : "folds"}`.trim() }, h("caption", {}, options.label), h("thead", {}, h("tr", {}, heads)), body)), more);

  function sortBy(column) {
    if (!column.value) return;
    const same = state.sort && state.sort.key === column.key;
    state.sort = { key: column.key, down: same ? !state.sort.down : Boolean(column.numeric) };
    render();
  }

  function current() {
    let found = state.text ? rows.filter((row) => columns.some((c) => c.value && String(c.value(row)).toLowerCase().includes(state.text))) : [...rows];
    const column = state.sort && columns.find((c) => c.key === state.sort.key);
    if (column) {
      const sign = state.sort.down ? -1 : 1;
      found = found.map((row, place) => [column.value(row), place, row]).sort(([a, i], [b, j]) => {
        const noA = a === null || a === undefined;
        const noB = b === null || b === undefined;
        if (noA || noB) return noA - noB || i - j;
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
        return sign * order || i - j;
      }).map(([, , row]) => row);
    }
    return found;
  }

  function render() {
    const found = current();
    columns.forEach((column, k) => {
      const active = state.sort && state.sort.key === column.key;
      heads[k].setAttribute("aria-sort", active ? (state.sort.down ? "descending" : "ascending") : "none");
    });
    body.replaceChildren(...found.slice(0, state.shown).map((row) => h("tr", { class: options.rowClass ? options.rowClass(row) : null, "data-row": options.rowKey ? options.rowKey(row) : null },
      columns.map((column) => h(column.head ? "th" : "td", { class: classesOf(column), scope: column.head ? "row" : null, "data-label": column.label }, column.cell ? column.cell(row) : shown(column.value(row)))))));
    count.textContent = state.text ? `${found.length} of ${rows.length}` : "";
    more.hidden = found.length <= state.shown;
    more.textContent = `Show all ${found.length}`;
    more.dataset.shown = `${state.shown} of ${found.length} are shown`;  // on paper
    if (options.onrender) options.onrender(body, found);
  }

  render();
  return { render, setRows: (next) => { rows = next; render(); } };
}

function classesOf(column) {
  return [column.numeric ? "num" : "", column.hide ? `hide-${column.hide}` : "", column.class || ""].join(" ").trim() || null;
}

function shown(value) {
  return value === null || value === undefined ? "–" : String(value);
}
