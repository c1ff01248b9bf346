// The list of objects: which one is active, names, colours, hidden, locked, deleted.

import { deleteJson, putJson } from "./api.js";
import { forget, saved } from "./paint.js";
import { changed, element, icon, on, say, sayLocked, state, trying } from "./state.js";

const MOST = 254;
const list = element("objects");
const rows = new Map(); // id -> its row in the list, and what it shows
let renaming = null; // id
let asking = Promise.resolve(); // changes go to the server one after the other
let unanswered = 0; // of them
let heard = null; // the latest list that came meanwhile

function newObject(id) {
  return {
    id, name: `Object ${id}`, color: state.project.colors[id], hidden: false, locked: false,
  };
}

const find = (id) => state.project.objects.find((object) => object.id === id);

/** Makes sure that the project lists the active object. */
export async function ensureActive() {
  const { objects } = state.project;
  if (state.object > MOST || find(state.object)) return;
  objects.push(newObject(state.object));
  objects.sort((a, b) => a.id - b.id);
  await store(find(state.object));
}

/** Stores one object: this window need not know what others have changed meanwhile. */
function store(object) {
  changed("objects");
  const value = { ...object };
  return ask((address) => putJson(address, [value]));
}

/** Changes the list on the server; false if it was refused. */
function ask(action) {
  const { project } = state;
  unanswered += 1;
  const run = async () => {
    const answer = await trying(() => action(`/api/projects/${project.id}/objects`));
    unanswered -= 1;
    if (answer) project.revision = answer.revision - 1; // what comes with it is news
    else if (state.project === project) changed("reload");
    if (heard && !unanswered) hear(...heard);
    return answer !== undefined;
  };
  asking = asking.then(run, run);
  return asking;
}

/** Resolves when every change of the list has been answered. */
export const stored = () => asking;

/** Takes over the list of the server; not while a change is on its way there. */
export function hear(project, { objects, deleted, revision }, always = false) {
  if (state.project !== project) return;
  if (unanswered) {
    heard = [project, { objects, deleted, revision }, always];
    return;
  }
  heard = null;
  if (revision <= project.revision && !always) return;
  const gone = deleted.filter((id) => !project.deleted.includes(id));
  Object.assign(project, { objects, deleted, revision });
  if (!objects.some((object) => object.id === state.object)) {
    state.object = objects[0]?.id ?? freeId();
    ensureActive();
  }
  if (gone.length) forget(new Set(gone));
  changed("objects");
  if (gone.length && !always) changed("reload");
}

/** The smallest id that no object has or had: older results may still hold it. */
function freeId() {
  const { objects, deleted } = state.project;
  const used = new Set([...objects.map((object) => object.id), ...deleted]);
  let id = 1;
  while (used.has(id)) id++;
  return id;
}

export function activate(id) {
  if (!state.project || !find(id)) return;
  state.object = id;
  changed("objects");
}

export function add() {
  const id = freeId();
  if (id > MOST) {
    return say("254 objects, with those deleted, are the most that a project can hold.", true);
  }
  state.object = id;
  say(`Paint object ${id}; F2 names it.`);
  return ensureActive();
}

export function toggle(flag, id = state.object) {
  const object = find(id);
  if (!object) return;
  if (flag === "locked") return object.locked ? unlock(object) : lock(object);
  object[flag] = !object[flag];
  store(object);
}

/** Strokes that were painted before reach the server before the lock does. */
function lock(object) {
  object.locked = true;
  changed("objects");
  return ask(async (address) => {
    await saved();
    return putJson(address, [{ ...object }]);
  });
}

/** Strokes that are painted afterwards reach the server after the lock has gone. */
async function unlock(object) {
  if (!await ask((address) => putJson(address, [{ ...object, locked: false }]))) return;
  const now = find(object.id);
  if (!now) return;
  now.locked = false;
  changed("objects");
}

async function remove(id) {
  const object = find(id);
  if (!object) return;
  if (object.locked) return sayLocked([object]);
  if (!confirm(`Delete ${object.name} in all frames? This cannot be undone.`)) return;
  await saved();
  if (await ask((address) => deleteJson(`${address}/${id}`))) changed("reload");
}

function button(name, label, pressed, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "icon";
  made.append(icon(name));
  made.setAttribute("aria-label", label);
  made.title = label;
  if (pressed !== null) made.setAttribute("aria-pressed", String(pressed));
  made.addEventListener("click", action);
  return made;
}

function nameOf(object) {
  if (renaming !== object.id) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "choose";
    made.append(document.createElement("span"));
    made.firstChild.textContent = object.name;
    made.title = `${object.name}: paint it (${object.id}); F2 or a double click renames it`;
    made.setAttribute("aria-pressed", String(object.id === state.object));
    made.addEventListener("click", () => activate(object.id));
    made.addEventListener("dblclick", () => rename(object.id));
    made.addEventListener("keydown", (event) => {
      if (event.key !== "F2") return;
      event.stopPropagation(); // it is this object, active or not
      rename(object.id);
    });
    return made;
  }
  const field = document.createElement("input");
  field.type = "text";
  field.value = object.name;
  field.maxLength = 60;
  field.setAttribute("aria-label", `Name of object ${object.id}`);
  const finish = (keep) => {
    if (renaming !== object.id) return;
    renaming = null;
    const now = find(object.id);
    if (!now || !keep || !field.value.trim()) return changed("objects");
    now.name = field.value.trim();
    store(now);
  };
  field.addEventListener("blur", () => finish(true));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") finish(true);
    if (event.key === "Escape") finish(false);
  });
  return field;
}

/** Lets the user rename the active object. */
export const renameActive = () => rename(state.object);

function rename(id) {
  renaming = id;
  show();
  list.querySelector("input[type=text]")?.select();
}

function row(object) {
  const item = document.createElement("li");
  item.classList.toggle("active", object.id === state.object);
  const colour = document.createElement("input");
  colour.type = "color";
  colour.value = object.color;
  colour.setAttribute("aria-label", `Colour of ${object.name}`);
  colour.addEventListener("change", () => {
    const now = find(object.id);
    if (!now) return;
    now.color = colour.value;
    store(now);
  });
  const { hidden, locked, name } = object;
  item.append(
    colour,
    nameOf(object),
    button(hidden ? "eye-off" : "eye", `Hide ${name}`, hidden, () => toggle("hidden", object.id)),
    button(locked ? "lock" : "unlock", `Lock ${name}`, locked, () => toggle("locked", object.id)),
    button("trash", `Delete ${name}`, null, () => remove(object.id)),
  );
  return item;
}

/** The row of an object: the one that is there, unless it shows something else. */
function rowOf(object) {
  const { id, name, color, hidden, locked } = object;
  const shown = JSON.stringify([name, color, hidden, locked, id === state.object, id === renaming]);
  if (rows.get(id)?.shown !== shown) rows.set(id, { shown, item: row(object) });
  return rows.get(id).item;
}

/** Replaces rows that differ. A click is lost on a row that moves before it ends. */
function arrange(wanted) {
  for (const item of [...list.children]) if (!wanted.includes(item)) item.remove();
  for (const [index, item] of wanted.entries()) {
    const there = list.children[index] ?? null;
    if (there !== item) list.insertBefore(item, there);
  }
}

function show() {
  if (!state.project) return;
  if (renaming !== null && list.querySelector("input[type=text]")) return; // when it ends
  const focused = document.activeElement?.getAttribute("aria-label");
  arrange(state.project.objects.map(rowOf));
  list.querySelector("li.active")?.scrollIntoView({ block: "nearest" });
  if (focused && !document.activeElement?.closest("#objects")) {
    list.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }
}

element("new-object").addEventListener("click", add);
on("objects", show);
on("project", () => {
  renaming = heard = null;
  if (!state.project.objects.length && state.project.deleted.includes(state.object)) {
    state.object = freeId();
  }
});
