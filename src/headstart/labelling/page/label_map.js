"use strict";
/* global $, ask, source, element, page, ImageMap, mapElement, draw */
// The map of all images in the page of `headstart label`: a lasso chooses images, a class is given to all of them.
const SHOWN = 48, AGAIN = 2500;
const labelMap = { view: null, version: 0, free: [], sample: new Set(), pending: false };

const far = (progress) => { // how far the map is that is being computed
  if (!progress) return "";
  const minutes = Math.ceil(progress.left / 60);
  return ` (${Math.floor(100 * progress.done)} %, about ${progress.left < 50 ? `${Math.ceil(progress.left / 10) * 10} s` : `${minutes} min`} left)`;
};

/** Show the map, and take a better one as soon as the server has it. */
labelMap.open = async () => {
  const found = await ask(`api/map?known=${labelMap.version}`);
  labelMap.pending = found.pending;
  if (found.positions) {
    labelMap.version = found.version;
    labelMap.sample = new Set(found.sample);
    labelMap.view = new ImageMap($("map"), found, { picture: labelMap.picture, chosen: labelMap.chosen, always: true, passes: (key) => key.length === 1 && !"+-=".includes(key) });
    labelMap.words = found.words;
    labelMap.chosen([]);
  } else if (labelMap.view) await labelMap.recolour();
  $("map-words").textContent = [...(labelMap.words || []), found.problem, labelMap.pending && labelMap.view ? `A t-SNE map is being computed${far(found.progress)}; it will replace this one.` : labelMap.pending ? "The map is being computed." : ""].filter(Boolean).join(" ");
  if (labelMap.pending) setTimeout(() => { if (page.map && labelMap.pending && !labelMap.free.length) labelMap.open().catch(() => undefined); else labelMap.late = true; }, labelMap.view ? AGAIN : 200);
};

labelMap.picture = (row) => {
  const picture = mapElement("img", { alt: "", src: source(row, 240) });
  return picture;
};

labelMap.recolour = async () => {
  if (labelMap.view) labelMap.view.update(await ask("api/map_colours"));
};

/** Say what a lasso chose: what has a label keeps it, and the random sample is labelled in its own order. */
labelMap.chosen = (rows) => {
  const labelled = rows.filter((row) => labelMap.view.colours.label(row, "label"));
  const sampled = rows.filter((row) => labelMap.sample.has(row) && !labelMap.view.colours.label(row, "label"));
  labelMap.free = rows.filter((row) => !labelMap.sample.has(row) && !labelMap.view.colours.label(row, "label"));
  $("map-choice").hidden = !rows.length;
  if (!rows.length) { if (labelMap.late) { labelMap.late = false; labelMap.open().catch(() => undefined); } return; }
  const count = (many, words) => (many ? `${many.toLocaleString("en")} ${words}` : "");
  const left = [count(labelled.length, "have a label already"), count(sampled.length, "are of the random sample, which is labelled in its own order")].filter(Boolean).join("; ");
  $("map-said").replaceChildren(element("b", labelMap.free.length ? `${labelMap.free.length.toLocaleString("en")} images without a label are chosen` : "No image that could get a label is chosen"), document.createTextNode(`${left ? ` (${left})` : ""}. ${labelMap.free.length ? "Choose a class to label them all; click on those that do not belong." : ""}`));
  $("map-pictures").replaceChildren(...labelMap.free.slice(0, SHOWN).map((row) => {
    const button = element("button"), picture = element("img");
    picture.src = source(row, 120); picture.alt = `image ${row}`; picture.loading = "lazy";
    button.setAttribute("aria-pressed", "true"); button.append(picture);
    button.addEventListener("click", () => {
      const out = labelMap.free.includes(row);
      labelMap.free = out ? labelMap.free.filter((each) => each !== row) : [...labelMap.free, row];
      button.setAttribute("aria-pressed", String(!out));
    });
    return button;
  }));
  $("map-more").textContent = labelMap.free.length > SHOWN ? `The first ${SHOWN} are shown.` : "";
};
