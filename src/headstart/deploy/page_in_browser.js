// The engine of an exported page: the graph inside the page, run by onnxruntime-web.
const MOST_PIXELS = 16e6;
let session = null, ort = null;

async function unpacked(id) {
  const text = $(id).textContent, packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  $(id).remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old; it needs DecompressionStream (2023)");
  const source = new Blob([await unpacked("runtime")], { type: "text/javascript" });
  const address = URL.createObjectURL(source);
  ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpacked("wasm")).buffer;
  session = await ort.InferenceSession.create(await unpacked("graph"), { executionProviders: ["wasm"] });
  return JSON.parse($("facts").textContent);
}

function pixelsOf(bitmap) {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from]; rgb[to++] = rgba[from + 1]; rgb[to++] = rgba[from + 2];
  }
  return { canvas, tensor: new ort.Tensor("uint8", rgb, [1, canvas.height, canvas.width, 3]) };
}

// Answers, as predict.py gives them; `share` of familiar pictures is no more familiar, null where the model cannot tell.
const judged = (probabilities, share, classes, rule) => {
  const order = probabilities.map((p, k) => [p, k]).sort((a, b) => b[0] - a[0]);
  const set = order.filter(([p], n) => n === 0 || 1 - p <= rule.most).map(([, k]) => classes[k]);
  const vague = set.length > rule.most_named || (set.length === classes.length && classes.length > 1);
  const strange = share !== null && share <= rule.unfamiliar;
  const found = { answer: vague || strange ? "don't know" : set.length === 1 ? "sure" : "one of", set, familiarity: share };
  if (!rule.costs) return found;
  const { mistake, confusions, ask } = rule.costs; // the class of least expected cost, or "ask"
  const total = probabilities.reduce((sum, p) => sum + p, 0), expected = probabilities.map((p) => mistake * (total - p));
  for (const [right, answer, cost] of confusions) expected[answer] += (cost - mistake) * probabilities[right];
  const least = expected.reduce((a, b) => Math.min(a, b)), asked = ask !== null && (strange || least > ask);
  return { ...found, decision: asked ? "ask" : classes[expected.indexOf(least)] };
};

async function classify(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" })
    .catch((error) => { throw new Error(`cannot be read as a picture (${error.message || error})`); });
  const { canvas, tensor } = pixelsOf(bitmap);
  bitmap.close();
  const found = await session.run({ pictures: tensor }, session.outputNames.filter((name) => name !== "labels"));
  const probabilities = Array.from(found.probabilities.data);
  const best = probabilities.indexOf(Math.max(...probabilities));
  let label = facts.classes[best];
  const { threshold } = facts.label_rule;
  if (threshold !== undefined) label = facts.classes.filter((_, k) => probabilities[k] > threshold).join("|");
  const share = found.familiarity ? found.familiarity.data[0] : null;
  const answer = facts.answers ? judged(probabilities, share, facts.classes, facts.answers) : {};
  return { label, probability: probabilities[best], probabilities, ...answer, thumbnail: thumbnailOf(canvas) };
}

const engine = { atOnce: 1, load, classify };
