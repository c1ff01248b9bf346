// The labels of the frame on the page: editing them, undoing it, and saving it.

import { getBytes, put, Refused } from "./api.js";
import { crop, difference, paste, replacedValues } from "./labels.js";
import { changed, say, state } from "./state.js";

const HISTORY = 200; // steps that can be undone
const RETRY_MS = 800;

/** What is shown. `labels` is null until it has come from the server. */
export const current = { frame: -1, labels: null, given: new Set() };

const undone = [];
const done = [];
let before = null; // labels at the beginning of a stroke

const address = (frame) => `/api/projects/${state.project.id}/given/${frame}`;

/** Forgets everything, for another project. */
export function reset() {
  Object.assign(current, { frame: -1, labels: null, given: new Set() });
  done.length = undone.length = 0;
  before = null;
}

export function show(frame, labels) {
  current.frame = frame;
  current.labels = labels;
  const [shown, absent] = state.project.given[frame] ?? [[], []];
  current.given = new Set([...shown, ...absent]);
  before = null;
}

export const isEditing = () => before !== null;

/** Begins a change; false if the frame is not there yet. */
export function begin() {
  if (current.labels === null || current.frame !== state.frame) return false;
  before = current.labels.slice();
  return true;
}

/** Takes a change back that has not ended. */
export function cancel() {
  if (before === null) return;
  current.labels.set(before);
  before = null;
  changed("labels");
}

/** Ends a change: it can be undone from now on, and is saved. */
export function end({ touched = [] } = {}) {
  if (before === null) return;
  const { width, height } = state.project;
  const box = difference(before, current.labels, width, height);
  const old = before;
  before = null;
  if (box === null && touched.every((id) => current.given.has(id))) return;
  const area = box ?? { x: 0, y: 0, width: 0, height: 0 };
  const step = {
    frame: current.frame,
    box: area,
    before: crop(old, width, area),
    after: crop(current.labels, width, area),
    givenBefore: new Set(current.given),
  };
  const objects = replacedValues(step.before, step.after);
  step.givenAfter = new Set([...current.given, ...objects, ...touched]);
  done.push(step);
  if (done.length > HISTORY) done.shift();
  undone.length = 0;
  keep(step.givenAfter, area);
}

/** Takes back everything that was painted in this frame. */
export async function discard() {
  const frame = current.frame;
  if (!begin()) return;
  const old = before;
  const given = new Set(current.given);
  before = null;
  current.given = new Set();
  await save(frame, current.labels, []);
  const labels = await getBytes(`/api/projects/${state.project.id}/labels/${frame}`);
  if (current.frame !== frame) return;
  current.labels = labels;
  const { width, height } = state.project;
  const box = difference(old, labels, width, height) ?? { x: 0, y: 0, width: 0, height: 0 };
  done.push({
    frame, box, before: crop(old, width, box), after: crop(labels, width, box),
    givenBefore: given, givenAfter: new Set(),
  });
  undone.length = 0;
  changed("labels", box);
  changed("history");
}

export const canUndo = () => done.length > 0;
export const canRedo = () => undone.length > 0;

/** Undoes the latest step, in the frame where it was made. */
export const undo = () => move(done, undone, "before", "givenBefore");
export const redo = () => move(undone, done, "after", "givenAfter");

function move(from, to, labels, given) {
  const step = from.at(-1);
  if (step === undefined || before !== null) return;
  if (step.frame !== current.frame || current.labels === null) {
    state.frame = step.frame; // go there first, and do it when it is shown
    changed("frame");
    say(`Frame ${step.frame}: once more changes it.`);
    return;
  }
  from.pop();
  to.push(step);
  paste(current.labels, state.project.width, step.box, step[labels]);
  keep(step[given], step.box);
}

function keep(given, box) {
  current.given = new Set(given);
  const shown = new Set(current.labels);
  const present = [...given].filter((id) => shown.has(id));
  const absent = [...given].filter((id) => !shown.has(id));
  if (given.size) state.project.given[current.frame] = [present, absent];
  else delete state.project.given[current.frame];
  changed("labels", box);
  changed("given");
  changed("history");
  save(current.frame, current.labels, [...given]);
}

// Saving: one request at a time; of several versions of a frame, only the latest goes.
const waiting = new Map();
let sending = null;

function save(frame, labels, objects) {
  waiting.set(frame, { labels: labels.slice(), objects, path: address(frame) });
  sending ??= send().finally(() => (sending = null));
  return sending;
}

async function send() {
  while (waiting.size) {
    const [frame, item] = waiting.entries().next().value;
    waiting.delete(frame);
    changed("saving", true);
    try {
      await put(`${item.path}?objects=${item.objects.join(",")}`, item.labels);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 0 || error.status === 403) {
        if (!waiting.has(frame)) waiting.set(frame, item); // until the server is back
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      } else {
        say(error.message, true);
      }
    }
  }
  changed("saving", false);
}

/** Resolves when everything painted has reached the server. */
export const saved = async () => {
  if (sending) await sending;
};

export const hasUnsaved = (frame) => waiting.has(frame) || sending !== null;

window.addEventListener("beforeunload", (event) => {
  if (waiting.size || sending) event.preventDefault();
});
