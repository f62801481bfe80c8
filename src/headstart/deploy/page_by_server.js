// The engine of the page that a server shows: the server classifies each picture.
let key = "";

function asked(path, options = {}) {
  return fetch(path, { ...options, headers: key ? { "X-API-Key": key } : {} });
}

async function load() {
  let answer = await asked("model");
  while (answer.status === 401) {
    key = prompt("This server asks for a key:") || "";
    if (!key) throw new Error("this server asks for a key; reload the page to enter it");
    answer = await asked("model");
  }
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  const model = await answer.json(), said = model.answers, networks = [...new Set(model.networks)].join(" + ");
  const { study } = model.provenance;
  $("title").textContent = document.title = study ? `${study}: ${networks}` : networks;
  $("about").textContent = [`Classifies pictures into ${model.classes.length} classes.`, said?.promise].filter(Boolean).join(" ");
  $("card").replaceChildren(...[
    `Networks: ${model.networks.join(", ")}; pictures of ${[...new Set(model.input_size)].join(", ")} pixels.`,
    `Classes: ${model.classes.join(", ")}.`,
    ...(said ? said.notes : []),
    `headstart ${model.headstart}. The interface of this server is described at /docs.`,
  ].map((line) => element("p", "", line)));
  return {
    classes: model.classes,
    label_rule: model.multi_label ? { threshold: model.threshold } : {},
    answers: said && { unfamiliar: said.unfamiliar, costs: said.costs, withholds: said.at_least !== null },
  };
}

async function thumbnail(file) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }), made = thumbnailOf(bitmap);
    bitmap.close();
    return made;
  } catch { return ""; } // a format that only the server reads
}

async function classify(file) {
  for (;;) {
    let answer;
    try { answer = await asked("predict", { method: "POST", body: new Blob([file], { type: "application/octet-stream" }) }); }
    catch { throw new Error("the server does not answer, or the file cannot be read"); }
    if (answer.status === 503) { // it has too much to do
      await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
      continue;
    }
    const { predictions: [found] = [], detail } = await answer.json().catch(() => ({ detail: `the server answers ${answer.status}` }));
    if (!found || found.error) throw new Error(found ? found.error : detail);
    const { class: label, probabilities, ...rest } = found;
    return { ...rest, label, probabilities: facts.classes.map((name) => probabilities[name]), thumbnail: await thumbnail(file) };
  }
}

const engine = { atOnce: 8, load, classify };
