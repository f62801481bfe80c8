"use strict";
// What the pages share: who works on them, requests to the server, and elements; `page` is the page's own state.
/* global page */
const $ = (id) => document.getElementById(id);

const who = () => $("who").value.trim() || "me";
try { $("who").value = localStorage.getItem("headstart-who") || "me"; } catch { $("who").value = "me"; }
$("who").addEventListener("change", () => { try { localStorage.setItem("headstart-who", who()); } catch { /* private window */ } });

async function ask(path, body) {
  const raw = body instanceof Blob; // a picture
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": raw ? "application/octet-stream" : "application/json" }, body: raw ? body : JSON.stringify(body) };
  let answer;
  try { answer = await fetch(path, options); } catch { throw new Error("headstart does not answer: is it still running? Nothing that was confirmed is lost."); }
  const found = await answer.json();
  if (!answer.ok) throw new Error(typeof found.detail === "string" ? found.detail : "the request was refused");
  return found;
}

async function attempt(work) { // a key that comes before the next image is shown was not meant for it
  if (page.busy) return;
  page.busy = true;
  try { await work(); $("error").hidden = true; } catch (error) { $("error").textContent = error.message; $("error").hidden = false; }
  page.busy = false;
}

const source = (row, side) => `image/${row}?side=${side}`;
function element(tag, text, kind) { const made = document.createElement(tag); if (text !== undefined) made.textContent = text; if (kind) made.className = kind; return made; }

function showCommand(text) { // broken between words and folders: not at the hyphens of options and names
  $("command").replaceChildren(...text.split(/( +)|(?<=\/)/).filter(Boolean).map((word) => (word.trim() ? element("span", word, "word") : word)));
}

$("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText($("command").textContent); } catch { // over plain HTTP from another machine
    getSelection().selectAllChildren($("command"));
    if (!document.execCommand("copy")) { $("copy").textContent = "selected: press Ctrl-C"; return; }
  }
  $("copy").textContent = "copied";
  setTimeout(() => { $("copy").textContent = "copy the command"; }, 2000);
});
