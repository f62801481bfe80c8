// One plot with two axes: scales, grid, hover, legend, and zoom by dragging or by Ctrl and the wheel.

function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((each) => each >= rough) || 10 * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.min(Math.floor(high / step + 1e-6), first + 50);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => (first + k) * step);
}

function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  const steps = decades > count ? [1] : decades > count / 3 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of steps) {
      const value = step * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  }
  return ticks.length > 1 ? ticks : linearTicks(low, high, count);
}

const DURATIONS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400, 864000];

function scale(domain, range, log) {
  const forward = log ? Math.log : (x) => x;
  const back = log ? Math.exp : (x) => x;
  const [a, b] = domain.map(forward);
  const at = (value) => range[0] + ((forward(value) - a) / (b - a || 1)) * (range[1] - range[0]);
  at.invert = (place) => back(a + ((place - range[0]) / (range[1] - range[0])) * (b - a));
  at.ticks = (count) => (log ? logTicks(domain[0], domain[1], count) : linearTicks(domain[0], domain[1], count));
  at.domain = domain;
  return at;
}

/** Widen [low, high] a little, so that no mark touches the frame. */
function padded([low, high], log, share = 0.06) {
  if (log) {
    const ratio = Math.max(high / low, 1.2) ** share;
    return [low / ratio, high * ratio];
  }
  const wide = high - low > Math.abs(high) * 1e-6 ? high - low : Math.abs(high) || 1;
  const room = wide * share;
  return [low - room, high + room];
}

/**
 * Draw a plot into `host` and keep it drawn when the width changes.
 * options: label, height, x and y ({label, domain, log, format, bounds, names}), draw(layer, sx, sy, hits, plot), legend
 * (rows of {key, label, swatch}), csv() → {header, rows}.
 * `draw` puts marks into `layer`, names that may leave the frame into `over`, and pushes {x, y, tip, line} (pixels) to `hits`; `line` is the element that is drawn stronger meanwhile.
 */
function plot(host, options) {
  const state = { zoom: null, hidden: new Set(), strong: null };
  const frame = h("div", { class: "plot" });
  const reset = h("button", { type: "button", class: "quiet reset", hidden: true, onclick: () => { state.zoom = null; render(); } }, "Reset zoom");
  const bar = h("div", { class: "plot-bar" }, reset, options.csv ? csvButton(options.label, options.csv) : null);
  const legend = options.legend ? legendOf(options.legend, state, () => render()) : null;
  host.replaceChildren(...[bar, frame, legend].filter(Boolean));
  let width = 0;

  function render() {
    if (!width) return;
    reset.hidden = state.zoom === null;
    const height = options.height || Math.max(260, Math.min(420, width * 0.5));
    const names = namesBelow(options.x.names, width - 76);
    const margin = { left: 54, right: 22, top: 10, bottom: 42 + names.room };
    const inner = [width - margin.left - margin.right, height - margin.top - 42];
    const x = state.zoom ? state.zoom.x : domainOf(options.x);
    const y = state.zoom ? state.zoom.y : domainOf(options.y);
    const sx = scale(x, [0, inner[0]], options.x.log);
    const sy = scale(y, [inner[1], 0], options.y.log);
    const clip = `clip-${(plot.count = (plot.count || 0) + 1)}`;
    const layer = s("g", { "clip-path": `url(#${clip})` });
    const over = s("g");
    const hits = [];
    const image = s("svg", { viewBox: `0 0 ${width} ${height + names.room}`, role: "img", "aria-label": options.label, tabindex: "0" },
      s("clipPath", { id: clip }, clipOf(x, y, inner, options)));
    const body = s("g", { transform: `translate(${margin.left},${margin.top})` });
    body.append(...axes(sx, sy, inner, options, names.room), ...names.draw(sx, inner[1]), layer, over);
    image.append(body);
    options.draw(layer, sx, sy, hits, { inner, state, over });
    frame.replaceChildren(image);
    interact(image, body, { margin, inner, sx, sy, hits, state, render });
  }

  new ResizeObserver((entries) => {
    const next = Math.round(entries[0].contentRect.width);
    if (next > 0 && next !== width) { width = next; render(); }
  }).observe(frame);
  const paper = (wide) => { if (host.isConnected) { width = wide || Math.round(frame.clientWidth); render(); } };
  document.addEventListener("paperwidth", (event) => paper(event.detail));
  return { render, state };
}

/** The range that an axis shows: a little wider than its values, and never beyond the bounds of the measure. */
function domainOf(axis) {
  if (axis.exact) return axis.domain;
  const [low, high] = padded(axis.domain, axis.log);
  return axis.bounds ? [Math.max(low, axis.bounds[0]), Math.min(high, axis.bounds[1])] : [low, high];
}

/** The rectangle in which marks are drawn; a mark on a bound, such as 100 %, is drawn whole. */
function clipOf(x, y, [width, height], options) {
  const room = (axis, end, value) => (axis.bounds && axis.bounds[end] === value ? 9 : 2);
  const [left, right, top, bottom] = [room(options.x, 0, x[0]), room(options.x, 1, x[1]), room(options.y, 1, y[1]), room(options.y, 0, y[0])];
  return s("rect", { x: -left, y: -top, width: width + left + right, height: height + top + bottom });
}

/** Names below the bars of an axis that counts them, turned, where there is room for each. */
function namesBelow(names, width) {
  if (!names || width / names.length < 9.5) return { room: 0, draw: () => [] };
  const shown = names.map((name) => (name.length > 20 ? `${name.slice(0, 19)}…` : name));
  const dense = width / names.length < 13 ? "tick dense" : "tick";
  const room = (dense === "tick" ? 6.4 : 5.2) * Math.max(...shown.map((name) => name.length));
  const text = (name, k, sx, y) => s("text", { class: dense, transform: `translate(${sx(k + 0.5) + 3.5},${y + 8}) rotate(-90)`, "text-anchor": "end" }, name);
  const seen = (k, sx) => k + 0.5 >= sx.domain[0] && k + 0.5 <= sx.domain[1];
  return { room, draw: (sx, y) => shown.flatMap((name, k) => (seen(k, sx) ? [text(name, k, sx, y)] : [])) };
}

/** Pixels that one label of the x axis needs. */
function axisRoom(axis) {
  return axis.durations ? 52 : 34;
}

function axes(sx, sy, [width, height], options, below) {
  const parts = [];
  const beyond = (axis, tick) => axis.bounds && (tick < axis.bounds[0] - 1e-9 || tick > axis.bounds[1] + 1e-9);
  const spread = (axis, low, high) => (axis.format ? (value) => axis.format(value, high - low) : (value) => String(+value.toPrecision(6)));
  const showX = spread(options.x, ...sx.domain);
  const showY = spread(options.y, ...sy.domain);
  for (const tick of sy.ticks(Math.max(3, height / 55))) {
    const place = sy(tick);
    if (place < -1 || place > height + 1 || beyond(options.y, tick)) continue;
    parts.push(s("line", { class: "grid", x1: 0, x2: width, y1: place, y2: place }));
    parts.push(s("text", { class: "tick", x: -8, y: place + 4, "text-anchor": "end" }, showY(tick)));
  }
  let last = -Infinity;
  let before = null;  // the label to the left, which is not said twice
  const ticks = ticksOf(sx, options.x, width);
  for (const tick of ticks) {
    const place = sx(tick);
    if (place < -1 || place > width + 1 || place - last < axisRoom(options.x) || beyond(options.x, tick) || showX(tick) === before) continue;
    [last, before] = [place, showX(tick)];
    parts.push(s("line", { class: "notch", x1: place, x2: place, y1: height, y2: height + 5 }));
    parts.push(s("text", { class: "tick", x: place, y: height + 18, "text-anchor": "middle" }, showX(tick)));
  }
  parts.push(s("line", { class: "axis", x1: 0, x2: width, y1: height, y2: height }));
  parts.push(s("text", { class: "axis-label", x: width, y: height + 36 + below, "text-anchor": "end" }, options.x.label));
  parts.push(s("text", { class: "axis-label", x: 4, y: 8, "text-anchor": "start" }, options.y.label));
  return parts;
}

function ticksOf(sx, axis, width) {
  const [low, high] = sx.domain;
  const given = axis.ticks || (axis.durations && high / low > 8 ? DURATIONS : null);
  if (given) return given.filter((tick) => tick >= low && tick <= high);
  const found = sx.ticks(Math.max(2, width / 90));
  return axis.whole ? [...new Set(found.map(Math.round))].filter((tick) => tick >= low && tick <= high) : found;
}

function legendOf(rows, state, render) {
  const list = h("div", { class: "legend" });
  for (const row of rows) {
    list.append(h("button", { type: "button", "aria-pressed": "true", title: "Click to hide or show",
      onclick: (event) => {
        const hide = !state.hidden.has(row.key);
        if (hide) state.hidden.add(row.key); else state.hidden.delete(row.key);
        event.currentTarget.setAttribute("aria-pressed", String(!hide));
        render();
      },
      onpointerenter: () => { state.strong = row.key; render(); },
      onpointerleave: () => { state.strong = null; render(); },
    }, row.swatch, row.label));
  }
  return list;
}

const UNDER = 3;  // marks under another whose figures are shown with it

function interact(image, body, { margin, inner, sx, sy, hits, state, render }) {
  const ring = s("circle", { class: "ring", r: 9, visibility: "hidden" });
  const brush = s("rect", { class: "brush", visibility: "hidden" });
  body.append(brush, ring);
  let start = null;

  const place = (event) => {
    const box = image.getBoundingClientRect();
    const ratio = (inner[0] + margin.left + margin.right) / box.width;
    return [(event.clientX - box.left) * ratio - margin.left, (event.clientY - box.top) * ratio - margin.top];
  };
  const inside = ([x, y]) => [Math.max(0, Math.min(inner[0], x)), Math.max(0, Math.min(inner[1], y))];
  let strong = null;
  const strengthen = (line) => { if (strong) strong.classList.remove("strong"); strong = line || null; if (strong) strong.classList.add("strong"); };
  const unhover = () => { tooltip.hide(); strengthen(null); ring.setAttribute("visibility", "hidden"); };
  const seen = (hit) => hit.x >= -4 && hit.x <= inner[0] + 4 && hit.y >= -4 && hit.y <= inner[1] + 4;

  /** Show a hit, with those that lie under it. */
  function point(hit, event) {
    ring.setAttribute("cx", hit.x);
    ring.setAttribute("cy", hit.y);
    ring.setAttribute("visibility", "visible");
    strengthen(hit.line);
    const under = hits.filter((each) => each !== hit && !(hit.line && each.line === hit.line) && Math.hypot(each.x - hit.x, each.y - hit.y) < 3);
    const more = under.length > UNDER ? [h("div", { class: "tip-next" }, `and ${under.length - UNDER} more`)] : [];
    tooltip.show(event, [...hit.tip(), ...under.slice(0, UNDER).flatMap((each) => [h("div", { class: "tip-next" }), ...each.tip()]), ...more]);
  }

  function hover(event) {
    const [x, y] = place(event);
    let best = null;
    let least = event.pointerType === "touch" ? 44 : 26;
    for (const hit of hits) {
      if (!seen(hit)) continue;
      const distance = Math.hypot(hit.x - x, hit.y - y);
      if (distance < least) { best = hit; least = distance; }
    }
    return best ? point(best, event) : unhover();
  }

  /** The arrow keys go from mark to mark, from the left to the right. */
  let at = -1;
  image.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") return unhover();
    const order = hits.filter(seen).sort((a, b) => a.x - b.x || a.y - b.y);
    if (!step || !order.length) return undefined;
    event.preventDefault();
    at = at < 0 ? (step > 0 ? 0 : order.length - 1) : (at + step + order.length) % order.length;
    const box = image.getBoundingClientRect();
    const ratio = box.width / (inner[0] + margin.left + margin.right);
    return point(order[at], { clientX: box.left + (order[at].x + margin.left) * ratio, clientY: box.top + (order[at].y + margin.top) * ratio });
  });
  image.addEventListener("blur", unhover);

  function zoomTo([x0, y0], [x1, y1]) {
    state.zoom = {
      x: [sx.invert(Math.min(x0, x1)), sx.invert(Math.max(x0, x1))],
      y: [sy.invert(Math.max(y0, y1)), sy.invert(Math.min(y0, y1))],
    };
    tooltip.hide();
    render();
  }

  image.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    start = inside(place(event));
    image.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  image.addEventListener("pointermove", (event) => {
    if (!start) return hover(event);
    const [x, y] = inside(place(event));
    for (const [name, value] of Object.entries({ x: Math.min(x, start[0]), y: Math.min(y, start[1]), width: Math.abs(x - start[0]), height: Math.abs(y - start[1]) })) brush.setAttribute(name, value);
    brush.setAttribute("visibility", "visible");
    return undefined;
  });
  image.addEventListener("pointerup", (event) => {
    if (!start) return;
    const end = inside(place(event));
    const from = start;
    start = null;
    brush.setAttribute("visibility", "hidden");
    if (Math.abs(end[0] - from[0]) > 8 && Math.abs(end[1] - from[1]) > 8) zoomTo(from, end);
  });
  image.addEventListener("pointerleave", () => { if (!start) unhover(); });
  image.addEventListener("dblclick", () => { state.zoom = null; render(); });
  image.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const [x, y] = inside(place(event));
    const factor = Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 200);
    zoomTo([x - x * factor, y - y * factor], [x + (inner[0] - x) * factor, y + (inner[1] - y) * factor]);
  }, { passive: false });
}

/** A broken line through pixel points. */
function pathOf(points) {
  return points.map(([x, y], k) => `${k ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
}
