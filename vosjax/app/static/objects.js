// The list of objects: which one is active, names, colours, hidden, locked, deleted.

import { putJson } from "./api.js";
import { saved } from "./paint.js";
import { changed, element, icon, on, say, state, trying } from "./state.js";

const MOST = 254;
const list = element("objects");
let renaming = null; // id

function newObject(id) {
  return {
    id, name: `Object ${id}`, color: state.project.colors[id], hidden: false, locked: false,
  };
}

/** Makes sure that the project lists the active object. */
export async function ensureActive() {
  const { objects } = state.project;
  if (objects.some((object) => object.id === state.object)) return;
  objects.push(newObject(state.object));
  objects.sort((a, b) => a.id - b.id);
  await store();
}

async function store() {
  changed("objects");
  const { id, objects } = state.project;
  await trying(() => putJson(`/api/projects/${id}/objects`, objects));
}

export function activate(id) {
  if (!state.project?.objects.some((object) => object.id === id)) return;
  state.object = id;
  changed("objects");
}

export function add() {
  const used = new Set(state.project.objects.map((object) => object.id));
  let id = 1;
  while (used.has(id)) id++;
  if (id > MOST) return say("254 objects are the most that a mask can hold.", true);
  state.object = id;
  say(`Paint object ${id}.`);
  return ensureActive();
}

export function toggle(flag, id = state.object) {
  const object = state.project.objects.find((one) => one.id === id);
  if (!object) return;
  object[flag] = !object[flag];
  store();
}

async function remove(object) {
  if (!confirm(`Delete ${object.name} in all frames? This cannot be undone.`)) return;
  await saved();
  const { objects } = state.project;
  objects.splice(objects.indexOf(object), 1);
  await store();
  if (!objects.length) objects.push(newObject(1));
  if (state.object === object.id) state.object = objects[0].id;
  changed("reload");
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
    made.title = `${object.name}: paint it (${object.id}); double click renames (F2)`;
    made.setAttribute("aria-pressed", String(object.id === state.object));
    made.addEventListener("click", () => activate(object.id));
    made.addEventListener("dblclick", () => rename(object.id));
    made.addEventListener("keydown", (event) => event.key === "F2" && rename(object.id));
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
    if (keep && field.value.trim()) object.name = field.value.trim();
    store();
  };
  field.addEventListener("blur", () => finish(true));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") finish(true);
    if (event.key === "Escape") finish(false);
  });
  return field;
}

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
    object.color = colour.value;
    store();
  });
  const { hidden, locked, name } = object;
  item.append(
    colour,
    nameOf(object),
    button(hidden ? "eye-off" : "eye", `Hide ${name}`, hidden, () => toggle("hidden", object.id)),
    button(locked ? "lock" : "unlock", `Lock ${name}`, locked, () => toggle("locked", object.id)),
    button("trash", `Delete ${name}`, null, () => remove(object)),
  );
  return item;
}

function show() {
  if (!state.project) return;
  const focused = document.activeElement?.getAttribute("aria-label");
  list.replaceChildren(...state.project.objects.map(row));
  list.querySelector("li.active")?.scrollIntoView({ block: "nearest" });
  if (focused && !document.activeElement?.closest("#objects")) {
    list.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }
}

element("new-object").addEventListener("click", add);
on("objects", show);
