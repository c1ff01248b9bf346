// The list of objects: which one is active, names, colours, hidden, locked, deleted.

import { deleteJson, isForNow, pause, putJson } from "./api.js";
import { forget, saved } from "./paint.js";
import {
  activeObject, changed, element, icon, objectOf, on, say, sayLocked, state, trying,
} from "./state.js";

const MOST = 254;
const list = element("objects");
let listed = null; // the project whose objects the list shows
let scrolledTo = null; // the active object that it was scrolled to
let renaming = null; // id
const queues = new Map(); // by the id of a project

/** Changes of a project's list, which go to the server one after the other. */
function queueOf({ id }) {
  // `unanswered` counts them; `heard` is the latest list that came meanwhile.
  if (!queues.has(id)) queues.set(id, { asking: Promise.resolve(), unanswered: 0, heard: null });
  return queues.get(id);
}

function newObject(id) {
  return {
    id, name: `Object ${id}`, color: state.project.colors[id], hidden: false, locked: false,
  };
}

/** Makes sure that the project lists the active object. */
export async function ensureActive() {
  const { objects } = state.project;
  if (state.object > MOST || activeObject()) return;
  objects.push(newObject(state.object));
  objects.sort((a, b) => a.id - b.id);
  await store(activeObject());
}

/** Stores one object: this window need not know what others have changed meanwhile. */
function store(object) {
  changed("objects");
  const { locked, ...value } = object;
  // A lock that goes meanwhile does not come back with this change.
  return ask((address) => putJson(address, [{ ...value, locked: object.locked && locked }]));
}

/** Changes the list on the server, when it can; false if that was refused. */
function ask(action) {
  const { project } = state;
  const queue = queueOf(project);
  queue.unanswered += 1;
  const run = async () => {
    const address = `/api/projects/${project.id}/objects`;
    const answer = await trying(() => untilAnswered(project, () => action(address)))
      .finally(() => (queue.unanswered -= 1));
    if (answer) project.revision = answer.revision - 1; // what comes with it is news
    else if (state.project === project) changed("reload");
    if (queue.heard && !queue.unanswered) hear(...queue.heard);
    return answer !== undefined;
  };
  queue.asking = queue.asking.then(run, run);
  return queue.asking;
}

/** Asks again while the server is away, or has no room. */
async function untilAnswered(project, action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (error.status === undefined || !isForNow(error)) throw error;
      if (error.status >= 500 && state.project.id === project.id) say(`Not saved yet: ${error.message}`, true);
      await pause();
    }
  }
}

/** Resolves when every change of the list has been answered. */
export const stored = () => queueOf(state.project).asking;

/** Takes over the list of the server; not while a change is on its way there. */
export function hear(project, { objects, deleted, revision }, always = false) {
  if (state.project !== project) return;
  const queue = queueOf(project);
  if (queue.unanswered) {
    queue.heard = [project, { objects, deleted, revision }, always];
    return;
  }
  queue.heard = null;
  if (revision <= project.revision && !always) return;
  const gone = deleted.filter((id) => !project.deleted.includes(id));
  Object.assign(project, { objects, deleted, revision });
  if (!activeObject()) {
    state.object = objects[0]?.id ?? freeId();
    ensureActive();
  }
  if (gone.length) forget(new Set(gone));
  changed("objects");
  if (gone.length && !always) changed("reload");
}

/** The smallest id that no object has or had: older results may still hold it. */
export function freeId() {
  const { objects, deleted } = state.project;
  const used = new Set([...objects.map((object) => object.id), ...deleted]);
  let id = 1;
  while (used.has(id)) id++;
  return id;
}

export function activate(id) {
  if (!objectOf(id)) return;
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
  const object = objectOf(id);
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
  const { project } = state;
  await ask(async (address) => {
    const answer = await putJson(address, [{ ...object, locked: false }]);
    object.locked = false;
    return answer;
  });
  if (state.project === project) changed("objects");
}

async function remove(object) {
  if (object.locked) return sayLocked([object]);
  if (!confirm(`Delete ${object.name} in all frames? This cannot be undone.`)) return;
  const deleted = await ask(async (address) => {
    await saved();
    return deleteJson(`${address}/${object.id}`);
  });
  if (deleted) changed("reload");
}

/** What calls an action with an object as it is then, unless it has gone by then. */
function acting(id) {
  const { project } = state;
  return (action) => (event) => {
    const object = state.project === project && objectOf(id);
    if (object) action(object, event);
  };
}

function button(action) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "icon";
  made.addEventListener("click", action);
  return made;
}

function label(made, name, text, pressed) {
  if (made.dataset.icon !== name) made.replaceChildren(icon(name));
  made.dataset.icon = name;
  made.setAttribute("aria-label", text);
  made.title = text;
  if (pressed !== undefined) made.setAttribute("aria-pressed", String(pressed));
}

function nameButton(id) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "choose";
  made.append(document.createElement("span"));
  const act = acting(id);
  made.addEventListener("click", act(() => activate(id)));
  made.addEventListener("dblclick", act(() => rename(id)));
  made.addEventListener("keydown", act((object, event) => {
    if (event.key !== "F2") return;
    event.stopPropagation(); // it is this object, active or not
    rename(id);
  }));
  return made;
}

function nameField(id) {
  const field = document.createElement("input");
  field.type = "text";
  field.value = objectOf(id).name;
  field.maxLength = 60;
  field.setAttribute("aria-label", `Name of object ${id}`);
  const act = acting(id);
  const finish = (keep) => act((object) => {
    if (renaming !== id) return;
    renaming = null;
    if (!keep || !field.value.trim()) return changed("objects");
    object.name = field.value.trim();
    store(object);
  })();
  field.addEventListener("blur", () => finish(true));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // Enter and Escape belong to the input method
    if (event.key !== "Enter" && event.key !== "Escape") return;
    finish(event.key === "Enter");
    list.querySelector(`li[data-id="${id}"] .choose`)?.focus();
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

function row(id) {
  const item = document.createElement("li");
  item.dataset.id = id;
  const act = acting(id);
  const colour = document.createElement("input");
  colour.type = "color";
  colour.addEventListener("change", act((object) => {
    object.color = colour.value;
    store(object);
  }));
  item.append(
    colour,
    nameButton(id),
    button(act(() => toggle("hidden", id))),
    button(act(() => toggle("locked", id))),
    button(act(remove)),
  );
  return item;
}

/** Updates a row in place: a click is lost if its button goes before the click ends. */
function fill(item, { id, name, color, hidden, locked }) {
  item.classList.toggle("active", id === state.object);
  const isField = item.children[1].matches("input");
  if (isField !== (id === renaming)) {
    item.children[1].replaceWith(isField ? nameButton(id) : nameField(id));
  }
  const [colour, chosen, hide, lock, trash] = item.children;
  if (item.dataset.color !== color) colour.value = color; // and not while one is picked
  item.dataset.color = color;
  colour.setAttribute("aria-label", `Colour of ${name}`);
  if (id !== renaming) {
    chosen.firstChild.textContent = name;
    chosen.title = `${name}: paint it (${id}); F2 or a double click renames it`;
    chosen.setAttribute("aria-pressed", String(id === state.object));
  }
  label(hide, hidden ? "eye-off" : "eye", `Hide ${name}`, hidden);
  label(lock, locked ? "lock" : "unlock", `Lock ${name}`, locked);
  label(trash, "trash", `Delete ${name}`);
}

function show() {
  if (!state.project) return;
  if (listed !== state.project) {
    listed = state.project;
    scrolledTo = renaming = null;
    list.replaceChildren();
  }
  const gone = [...list.children].filter((item) => !objectOf(Number(item.dataset.id)));
  const hadFocus = gone.some((item) => item.contains(document.activeElement));
  for (const item of gone) item.remove();
  // Rows and objects are in the order of ids, so that rows that stay do not move.
  for (const [index, object] of listed.objects.entries()) {
    const there = list.children[index] ?? null;
    if (there?.dataset.id !== String(object.id)) list.insertBefore(row(object.id), there);
    fill(list.children[index], object);
  }
  const active = list.querySelector("li.active");
  if (hadFocus) active?.querySelector(".choose").focus();
  if (!active || scrolledTo === state.object) return; // no scrolling under the pointer
  scrolledTo = state.object;
  active.scrollIntoView({ block: "nearest" });
}

element("new-object").addEventListener("click", add);
on("objects", show);
on("project", () => (queueOf(state.project).heard = null));
