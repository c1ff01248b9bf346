// Opening videos: recent projects, folders of the server, and what is dropped.

import { getJson, post, postFile, put } from "./api.js";
import { stopWatching } from "./following.js";
import { paintMask } from "./labels.js";
import { begin, current, end } from "./paint.js";
import { changed, element, icon, lockedAmong, named, say, sayLocked, state, trying } from "./state.js";
import { unlocked } from "./tools.js";

const IMAGE = /\.(png|jpe?g|bmp|webp|tiff?|p[gnp]m|jp2|avif|hei[cf])$/i;
let openProject = async () => {};

/** Names the function that shows a project by its id. */
export const onOpen = (action) => (openProject = action);

/** Fills a place with everything that can be opened. */
export async function fillList(place, path = null) {
  const [{ projects }, entries] = await Promise.all([
    getJson("/api/state"),
    getJson(path === null ? "/api/files" : `/api/files?path=${encodeURIComponent(path)}`),
  ]);
  place.replaceChildren();
  if (path === null && projects.length) {
    place.append(heading("Projects"), group(projects.map((one) =>
      entry("video", one.name, () => close(() => openProject(one.id))))));
  }
  const choose = heading(path === null ? "On this machine" : path);
  choose.firstChild.classList.toggle("path", path !== null);
  choose.append(pickers());
  const items = entries.map((one) => {
    if (one.kind === "folder") return entry("folder", one.name, () => trying(() => fillList(place, one.path)));
    return entry("video", one.name, () => close(() => openPath(one.path)));
  });
  if (path !== null) items.unshift(entry("back", "Back", () => fillList(place)));
  place.append(choose, group(items));
}

export async function openPath(path) {
  say("Opening…");
  const found = await trying(() => post("/api/projects", { path }));
  if (found) await openProject(found.id);
}

function close(action) {
  if (element("open-dialog").open) element("open-dialog").close();
  return trying(action);
}

function heading(text) {
  const made = document.createElement("div");
  made.className = "group";
  const title = document.createElement("h3");
  title.textContent = text;
  made.append(title);
  return made;
}

function group(items) {
  const made = document.createElement("div");
  made.className = "entries";
  made.append(...items);
  return made;
}

function entry(shape, text, action) {
  const made = document.createElement("button");
  made.type = "button";
  const name = document.createElement("span");
  name.textContent = text;
  made.append(icon(shape), name);
  made.addEventListener("click", action);
  return made;
}

/** Buttons that choose files of the browser's machine. */
function pickers() {
  const made = document.createElement("div");
  made.className = "row";
  const kinds = [
    ["Upload a video", { accept: "video/*,image/gif" }],
    ["Upload a folder", { webkitdirectory: true, multiple: true }],
  ];
  for (const [text, options] of kinds) {
    const field = Object.assign(document.createElement("input"), { type: "file", hidden: true }, options);
    field.addEventListener("change", () => close(() => upload([...field.files])));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.textContent = text;
    button.addEventListener("click", () => field.click());
    made.append(button, field);
  }
  return made;
}

async function upload(files) {
  // Of a folder, the images in it: not those below it, nor what macOS puts beside them.
  const depth = (file) => (file.webkitRelativePath ?? "").split("/").length;
  if (files.length > 1) {
    files = files.filter((file) => IMAGE.test(file.name) && !file.name.startsWith(".") && depth(file) <= 2);
  }
  if (!files.length) return say("There is neither a video nor a folder of images.", true);
  const { id } = await post("/api/uploads");
  for (const [k, file] of files.entries()) {
    say(`Uploading ${files.length > 1 ? `${k + 1} of ${files.length}` : file.name}…`);
    await put(`/api/uploads/${id}/${encodeURIComponent(file.name)}`, file);
  }
  const found = await post(`/api/uploads/${id}`);
  await openProject(found.id);
}

/** Files of what was dropped; those of a folder if it is one. */
async function dropped(event) {
  const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (items.length === 1 && items[0].isDirectory) {
    const reader = items[0].createReader();
    const inside = [];
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) break;
      inside.push(...part.filter((one) => one.isFile));
    }
    return Promise.all(inside.map((one) => new Promise((resolve, reject) => one.file(resolve, reject))));
  }
  return [...event.dataTransfer.files];
}

/** Paints an image file as the mask of this frame. */
async function useMask(file) {
  stopWatching();
  const { project, frame } = state;
  const { bytes: labels, note } = await postFile(`/api/projects/${project.id}/mask/${frame}`, file);
  if (state.project !== project) return;
  if (state.frame !== frame) return say(`You have left the frame: drop ${file.name} again.`, true);
  const ids = new Set(labels);
  ids.delete(0);
  const gone = project.deleted.filter((id) => ids.has(id));
  if (gone.length) {
    return say(`${file.name}: object ${gone[0]} was deleted, and its number is not used again. Give it another one.`, true);
  }
  const locked = lockedAmong(ids);
  for (const { id } of locked) ids.delete(id);
  if (!ids.size && locked.length) return sayLocked(locked);
  if (!begin()) return say("A stroke came in between: drop the file again.", true);
  for (const id of ids) {
    paintMask(current.labels, labels.map((value) => value === id), id, unlocked());
  }
  const shown = new Set(current.labels);
  const painted = [...ids].filter((id) => shown.has(id)); // others lie below locked ones
  end({ touched: painted });
  const left = locked.map((object) => `${named(object.id)} is locked and stays as it is. `).join("");
  say(`${file.name}: ${painted.length ? `objects ${painted.join(", ")}` : "nothing to paint"}. ${left}${note}`, left !== "");
  changed("reload");
}

const overlay = element("drop");
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  overlay.hidden = false;
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) overlay.hidden = true;
});
window.addEventListener("drop", async (event) => {
  event.preventDefault();
  overlay.hidden = true;
  await trying(async () => {
    const files = await dropped(event);
    const mask = files.length === 1 && IMAGE.test(files[0].name) && state.project;
    await (mask ? useMask(files[0]) : upload(files));
  });
});

element("open-button").addEventListener("click", async () => {
  await trying(() => fillList(element("open-list")));
  element("open-dialog").showModal();
});
