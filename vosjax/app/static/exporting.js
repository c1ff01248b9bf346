// The export dialog.

import { getJson, post } from "./api.js";
import { doubtfulFrames } from "./following.js";
import { saved } from "./paint.js";
import { element, named, on, state, trying } from "./state.js";

const dialog = element("export-dialog");
const start = element("export-start");
const CHOSEN = new Set(["masks", "overlay"]);

export async function open() {
  if (!state.project) return;
  const about = await trying(() => getJson("/api/state"));
  if (!about) return;
  const { kinds } = about;
  const field = element("kinds");
  if (!field.querySelector("input")) {
    for (const one of kinds) field.append(choice(one));
  }
  dialog.showModal();
  show();
}

function choice({ kind, name: words, text }) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = kind;
  box.checked = CHOSEN.has(kind);
  const name = document.createElement("span");
  name.textContent = words;
  const what = document.createElement("small");
  what.textContent = text;
  label.append(box, name, what);
  return label;
}

async function begin() {
  const kinds = [...element("kinds").querySelectorAll("input:checked")].map((box) => box.value);
  await saved();
  await trying(() => post(`/api/projects/${state.project.id}/export`, {
    kinds, hidden: element("export-hidden").checked,
  }));
}

function show() {
  const found = state.export;
  const busy = found?.state === "running";
  start.disabled = busy;
  element("export-progress").hidden = !busy;
  element("saved").textContent = found?.state === "done" ? "Exported." : "";
  element("saved").title = found?.folder ?? "";
  const { objects, export_folder: folder } = state.project;
  element("export-about").textContent = [...doubts(),
    `Files go to ${folder}, in place of those of the latest export.`].join(" ");
  const hidden = objects.filter((object) => object.hidden).map((object) => named(object.id));
  element("export-objects").hidden = !hidden.length;
  element("export-hidden-text").textContent = `Export the hidden too: ${hidden.join(", ")}`;
  element("export-single").hidden = objects.length < 2;
  showFiles(found?.files ?? []);
  if (!found) {
    element("export-text").textContent = "";
    return;
  }
  element("export-progress").value = found.total ? found.done / found.total : 0;
  const texts = {
    running: `${found.done} of ${found.total} frames`,
    done: `Written to ${found.folder}`,
    failed: found.message,
  };
  element("export-text").textContent = texts[found.state];
}

/** Links to the files; a click is lost if its link is replaced before the click ends. */
function showFiles(names) {
  const list = element("export-files");
  const shown = JSON.stringify([state.project.id, names]);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren();
  for (const name of names) {
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

/** What the user should know of the frames before they are exported. */
function doubts() {
  const found = [];
  const stale = staleFrames();
  const lost = doubtfulFrames().length;
  const frames = (count) => `${count} ${count > 1 ? "frames" : "frame"}`;
  if (stale) found.push(`${frames(stale)} ${stale > 1 ? "are" : "is"} not up to date and exported as shown.`);
  if (lost) found.push(`In ${frames(lost)} an object is probably lost (G shows them).`);
  return found;
}

function staleFrames() {
  const fresh = (state.status?.fresh ?? []).reduce((sum, [a, b]) => sum + b - a + 1, 0);
  return state.project.frames - fresh;
}

element("export-button").addEventListener("click", open);
start.addEventListener("click", begin);
on("export", show);
for (const kind of ["objects", "status"]) on(kind, () => dialog.open && show());
