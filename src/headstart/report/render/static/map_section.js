// The map of the test images: the drawing that all of headstart's pages share, with the report's pictures.

function drawMap(host, data) {
  const found = data.map;
  if (!found) return;
  const stage = h("div"), images = data.datasets[found.data].images;
  host.append(stage, ...found.words.map((line) => h("p", { class: "hint" }, format.prose(line))),
    h("p", { class: "hint screen" }, "Click on the map, then scroll to zoom; drag to move; Shift and drag for a lasso. Keys: arrows, + and −, 0, L, Enter for the image in the middle."),
    mapTable(found.table));
  new ImageMap(stage, found, { picture: (row) => {
    const image = images[found.rows[row]];
    return image ? h("img", { src: `data:image/jpeg;base64,${image.src}`, alt: "" }) : null;
  } });
}
