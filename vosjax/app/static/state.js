// What the page knows, and who wants to hear that it has changed.

export const state = {
  project: null, // as the server describes it
  frame: 0,
  object: 1, // the active one
  tool: "brush",
  size: 24,
  status: null, // of following
  export: null,
  watch: true,
};

const listeners = new Map();

/** Calls `listener` whenever something of this kind has changed. */
export function on(kind, listener) {
  if (!listeners.has(kind)) listeners.set(kind, []);
  listeners.get(kind).push(listener);
}

export function changed(kind, detail) {
  for (const listener of listeners.get(kind) ?? []) listener(detail);
}

export const element = (id) => document.getElementById(id);

/** The object of an id, or undefined if the project has none. */
export const objectOf = (id) => state.project?.objects.find((object) => object.id === id);

/** The active object, or undefined before it is painted for the first time. */
export const activeObject = () => objectOf(state.object);

/** Objects among `ids` that are locked. The server refuses to change them. */
export const lockedAmong = (ids) =>
  state.project.objects.filter((object) => object.locked && ids.has(object.id));

/** Says why objects are left as they are. */
export const sayLocked = (objects) => say(
  `${objects.map((object) => named(object.id)).join(", ")} ${objects.length > 1 ? "are" : "is"} locked: ` +
  "unlock to change (L or the lock in the list).", true);

/** The name of an object, in quotation marks: it may contain commas. */
export const named = (id) => `“${objectOf(id)?.name ?? id}”`;

/** Frame numbers with something painted, in ascending order. */
export const givenFrames = () =>
  Object.keys(state.project.given).map(Number).sort((a, b) => a - b);

let timer;

/** Says something for a few seconds. */
export function say(text, bad = false) {
  const toast = element("toast");
  toast.textContent = text;
  toast.classList.toggle("bad", bad);
  clearTimeout(timer);
  timer = setTimeout(() => (toast.textContent = ""), bad ? 8000 : 3500);
}

/** Runs what may be refused, and says why it was. */
export async function trying(action) {
  try {
    return await action();
  } catch (error) {
    if (error.status === undefined) throw error;
    if (error.status !== 0 || element("away").hidden) say(error.message, true);
    return undefined;
  }
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}
