// The page: each section is drawn into its place; nothing is fetched.

const data = JSON.parse(document.getElementById("study").textContent);

function inside(id) {
  return document.querySelector(`#${id} [data-draw]`);
}

const DRAW = {
  ranking: (host) => {
    host.replaceChildren();
    data.boards.forEach((board, number) => {
      const part = h("div", { class: "board" });
      if (data.boards.length > 1) host.append(h("h3", {}, board.title));
      host.append(part);
      drawRanking(part, number, data);
    });
  },
  pairs: (host) => data.boards.forEach((board, number) => titled(host, board, number, drawComparisons)),
  cost: (host) => data.boards.forEach((board, number) => titled(host, board, number, drawCost)),
  learning: (host) => {
    if (data.learning.length) host.append(h("ul", {}, ...data.learning.map((curve) => h("li", {}, h("strong", {}, curve.run), `: ${format.prose(curve.words)}`))));
    data.boards.forEach((board, number) => titled(host, board, number, drawLearning));
  },
  training: (host) => drawTraining(host, data),
  classes: (host) => {
    const [matrix, rows, measures] = [h("div"), h("div"), h("div")];
    host.append(h("h3", {}, "Confusion matrix"), matrix, h("h3", {}, "Class by class"), rows, h("h3", {}, "All measures"), measures);
    drawMatrix(matrix, data);
    drawClasses(rows, data);
    drawMeasures(measures, data);
  },
  mistakes: (host) => drawMistakes(host, data),
  map: (host) => drawMap(host, data),
  calibration: (host) => drawCalibration(host, data),
  data: (host) => drawData(host, data),
  uncertainty: (host) => drawUncertainty(host, data),
  transfer: (host) => drawTransfer(host, data),
  explained: (host) => drawExplained(host, data),
  similarity: (host) => drawSimilarity(host, data),
  runs: (host) => drawRuns(host, data),
};

function titled(host, board, number, draw) {
  if (data.boards[number].ranking.length < 2) return;
  const part = h("div");
  draw(part, number, data);
  if (!part.childElementCount) return;
  if (data.boards.length > 1) host.append(h("h3", {}, board.title));
  host.append(part);
}

for (const [id, draw] of Object.entries(DRAW)) {
  const host = inside(id);
  if (host) draw(host);
}

const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));

const dialog = document.getElementById("pictures");
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.querySelector(".close").addEventListener("click", () => dialog.close());

document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
  const text = document.getElementById(button.dataset.copy).textContent;
  await navigator.clipboard.writeText(text).then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Select and copy"; });
}));

const links = new Map([...document.querySelectorAll("nav a[href^='#']")].map((link) => [link.hash.slice(1), link]));
const spy = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    const link = links.get(entry.target.id);
    if (!link) continue;
    link.setAttribute("aria-current", "true");
    const bar = link.parentElement;  // which may be wider than the screen
    bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
  }
}, { rootMargin: "-20% 0px -70% 0px" });
document.querySelectorAll("main section[id]").forEach((section) => spy.observe(section));

// On paper: light colours, figures as wide as the page, and nothing folded away but the settings.
const PAPER_WIDTH = 680;
let onScreen = null;
addEventListener("beforeprint", () => {
  onScreen = document.documentElement.dataset.theme || "";
  document.documentElement.dataset.theme = "light";
  document.querySelectorAll("details:not(.spec)").forEach((each) => { each.open = true; });
  document.dispatchEvent(new Event("themechange"));
  document.dispatchEvent(new CustomEvent("paperwidth", { detail: PAPER_WIDTH }));
});
addEventListener("afterprint", () => {
  if (onScreen) document.documentElement.dataset.theme = onScreen;
  else delete document.documentElement.dataset.theme;
  document.dispatchEvent(new CustomEvent("paperwidth", { detail: null }));
  document.dispatchEvent(new Event("themechange"));
});
document.documentElement.dataset.ready = "true";
