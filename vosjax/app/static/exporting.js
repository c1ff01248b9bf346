// The export dialog.

import { getJson, post } from "./api.js";
import { saved } from "./paint.js";
import { element, on, state, trying } from "./state.js";

const dialog = element("export-dialog");
const start = element("export-start");
const CHOSEN = new Set(["masks", "overlay"]);

export async function open() {
  if (!state.project) return;
  const { kinds } = await getJson("/api/state");
  const field = element("kinds");
  if (!field.querySelector("input")) {
    for (const { kind, text } of kinds) field.append(choice(kind, text));
  }
  dialog.showModal();
  show();
}

function choice(kind, text) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = kind;
  box.checked = CHOSEN.has(kind);
  const name = document.createElement("span");
  name.textContent = kind;
  const what = document.createElement("small");
  what.textContent = text;
  label.append(box, name, what);
  return label;
}

async function begin() {
  const kinds = [...element("kinds").querySelectorAll("input:checked")].map((box) => box.value);
  await saved();
  await trying(() => post(`/api/projects/${state.project.id}/export`, { kinds }));
}

function show() {
  const found = state.export;
  const busy = found?.state === "running";
  start.disabled = busy;
  element("export-progress").hidden = !busy;
  element("saved").textContent = found?.state === "done" ? "Exported." : "";
  const list = element("export-files");
  list.replaceChildren();
  if (!found) {
    const stale = staleFrames();
    element("export-text").textContent = stale
      ? `${stale} frames are not up to date; they are exported as the page shows them.` : "";
    return;
  }
  element("export-progress").value = found.total ? found.done / found.total : 0;
  const texts = {
    running: `${found.done} of ${found.total} frames`,
    done: `Written to ${found.folder}`,
    failed: found.message,
  };
  element("export-text").textContent = texts[found.state];
  for (const name of found.files) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `/api/projects/${state.project.id}/export/${encodeURIComponent(name)}`;
    link.download = "";
    link.textContent = name;
    link.setAttribute("aria-label", `Download ${name}`);
    item.append(link);
    list.append(item);
  }
}

function staleFrames() {
  const fresh = (state.status?.fresh ?? []).reduce((sum, [a, b]) => sum + b - a + 1, 0);
  return state.project.frames - fresh;
}

element("export-button").addEventListener("click", open);
start.addEventListener("click", begin);
on("export", show);
