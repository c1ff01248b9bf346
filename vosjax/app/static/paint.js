// The labels of the frame on the page: editing them, undoing it, and saving it.

import { getBytes, isForNow, pause, put, Refused } from "./api.js";
import { crop, difference, only, paste, replacedValues } from "./labels.js";
import { changed, lockedAmong, say, sayLocked, state } from "./state.js";

const HISTORY = 200; // steps that can be undone

/** What is shown. `labels` is null until it has come from the server. */
export const current = { frame: -1, labels: null, given: new Set() };

const undone = [];
const done = [];
let before = null; // labels at the beginning of a stroke
let saves = 0; // that have begun, or ended

const address = (frame) => `/api/projects/${state.project.id}/given/${frame}`;
const idsOf = ([shown, absent]) => new Set([...shown, ...absent]);

/** Forgets everything, for another project. */
export function reset() {
  Object.assign(current, { frame: -1, labels: null, given: new Set() });
  done.length = undone.length = 0;
  before = null;
}

export function show(frame, labels) {
  current.frame = frame;
  current.labels = labels;
  current.given = idsOf(state.project.given[frame] ?? [[], []]);
  for (const item of unsaved(frame)) {
    for (const id of item.touched) setGiven(id, item.given.has(id));
  }
  before = null;
}

function setGiven(id, isGiven) {
  if (isGiven) current.given.add(id);
  else current.given.delete(id);
}

export const isEditing = () => before !== null;

/** Begins a change; false if the frame is not there yet, or another change goes on. */
export function begin() {
  if (before !== null || current.labels === null || current.frame !== state.frame) return false;
  before = current.labels.slice();
  return true;
}

/** Takes a change back that has not ended. */
export function cancel() {
  if (before === null) return;
  current.labels.set(before);
  before = null;
  changed("labels");
  changed("settled");
}

/** Ends a change: it can be undone from now on, and is saved. */
export function end({ touched = [] } = {}) {
  if (before === null) return;
  const { width, height } = state.project;
  const box = difference(before, current.labels, width, height);
  const old = before;
  before = null;
  if (box === null && touched.every((id) => current.given.has(id))) {
    changed("settled");
    return;
  }
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
  step.whole = wholeMasks(step, old, current.labels);
  done.push(step);
  if (done.length > HISTORY) done.shift();
  undone.length = 0;
  keep(new Set([...objects, ...touched]), step.givenAfter, area);
}

/** Takes back everything that was painted in this frame, save what is locked. */
export async function discard() {
  const { project } = state;
  const { frame } = current;
  const given = new Set([...current.given, ...idsOf(project.given[frame] ?? [[], []])]);
  const locked = lockedAmong(given);
  const kept = new Set(locked.map((object) => object.id));
  if (locked.length) sayLocked(locked);
  if (kept.size === given.size || !begin()) return;
  const old = before;
  before = null;
  current.given = kept;
  rememberGiven();
  await save(new Set([...given].filter((id) => !kept.has(id))));
  const labels = await getBytes(`/api/projects/${project.id}/labels/${frame}`);
  // A stroke that came meanwhile stays; the frame is loaded anew when it is saved.
  if (state.project !== project || current.frame !== frame || before !== null || isSaving()) return;
  current.labels = labels;
  const { width, height } = state.project;
  const box = difference(old, labels, width, height) ?? { x: 0, y: 0, width: 0, height: 0 };
  const step = {
    frame, box, before: crop(old, width, box), after: crop(labels, width, box),
    givenBefore: given, givenAfter: kept,
  };
  step.whole = wholeMasks(step, old, labels);
  done.push(step);
  undone.length = 0;
  changed("labels", box);
  changed("history");
}

export const canUndo = () => done.length > 0;
export const canRedo = () => undone.length > 0;

/** Undoes the latest step, in the frame where it was made. */
export const undo = () => move(done, undone, ["before", "after"], "givenBefore");
export const redo = () => move(undone, done, ["after", "before"], "givenAfter");

function move(from, to, [labels, replaced], given) {
  const step = from.at(-1);
  if (step === undefined || before !== null) return;
  changed("stay"); // at the frame of the step, whatever is followed
  if (step.frame !== current.frame || current.labels === null) {
    state.frame = step.frame; // go there first, and do it when it is shown
    changed("frame");
    say(`Frame ${step.frame}: once more changes it.`);
    return;
  }
  const { width } = state.project;
  const moved = current.labels.slice();
  paste(moved, width, step.box, step[labels], step[replaced]);
  const whole = step.whole[labels];
  for (const [id, mask] of whole) restore(moved, width, id, mask);
  const ids = replacedValues(current.labels, moved);
  const locked = lockedAmong(new Set([...ids, ...touchedBy(step)]));
  if (locked.length) return sayLocked(locked);
  from.pop();
  to.push(step);
  current.labels = moved;
  keep(touchedBy(step), step[given], whole.size ? undefined : step.box);
}

/**
 * Masks of what a step gives, or undoing it gives again, each in a box. A result may
 * show the object otherwise meanwhile, and would count as painted.
 */
function wholeMasks({ givenBefore, givenAfter }, old, labels) {
  const { width, height } = state.project;
  const masks = (ids, others, values) => new Map([...ids].filter((id) => !others.has(id)).map((id) => {
    const mask = only(values, id);
    const box = difference(new Uint8Array(mask.length), mask, width, height);
    return [id, box && { box, values: crop(mask, width, box) }];
  }));
  return { before: masks(givenBefore, givenAfter, old), after: masks(givenAfter, givenBefore, labels) };
}

/** Gives an object the mask that it had, but no pixel of what is given by now. */
function restore(labels, width, id, mask) {
  labels.forEach((value, k) => {
    if (value === id) labels[k] = 0;
  });
  if (mask === null) return;
  const { box, values } = mask;
  values.forEach((value, k) => {
    const place = (box.y + Math.floor(k / box.width)) * width + box.x + (k % box.width);
    if (value && !current.given.has(labels[place])) labels[place] = id;
  });
}

/** Ids that a step paints, erases, or gives. */
function touchedBy({ before: old, after, givenBefore, givenAfter }) {
  const ids = replacedValues(old, after);
  for (const id of givenBefore) if (!givenAfter.has(id)) ids.add(id);
  for (const id of givenAfter) if (!givenBefore.has(id)) ids.add(id);
  return ids;
}

/** Forgets objects that were deleted, also in what can be undone. */
export function forget(ids) {
  const erase = (labels) => labels?.forEach((id, k) => {
    if (ids.has(id)) labels[k] = 0;
  });
  for (const steps of [done, undone]) {
    const kept = steps.filter((step) => {
      erase(step.before);
      erase(step.after);
      const sets = [step.givenBefore, step.givenAfter, step.whole.before, step.whole.after];
      for (const id of ids) for (const set of sets) set.delete(id);
      return touchedBy(step).size;
    });
    steps.splice(0, steps.length, ...kept);
  }
  erase(before);
  erase(current.labels);
  for (const id of ids) current.given.delete(id);
  changed("labels");
  changed("history");
}

/** Shows and saves a change of the objects `touched`; of them, `wanted` are given now. */
function keep(touched, wanted, box) {
  for (const id of touched) setGiven(id, wanted.has(id));
  rememberGiven();
  changed("labels", box);
  changed("given");
  changed("history");
  save(touched);
}

/** Notes in the project what is given in the frame on the page. */
function rememberGiven() {
  const { frame, given } = current;
  const shown = new Set(current.labels);
  const present = [...given].filter((id) => shown.has(id));
  const absent = [...given].filter((id) => !shown.has(id));
  if (given.size) state.project.given[frame] = [present, absent];
  else delete state.project.given[frame];
}

// Saving: one request at a time; of several versions of a frame, only the latest goes.
// Each project has a queue of its own: one that cannot be opened does not block others.
const queues = new Map(); // by the id of the project

function queueOf(project) {
  const { id } = project;
  // What waits, and what is on its way, by the address of the frame.
  if (!queues.has(id)) queues.set(id, { waiting: new Map(), onItsWay: new Map(), sending: null });
  return queues.get(id);
}

/** Versions of a frame that have not reached the server, the latest last. */
function unsaved(frame) {
  const { waiting, onItsWay } = queueOf(state.project);
  return [onItsWay, waiting].map((items) => items.get(address(frame))).filter(Boolean);
}

/** Saves the frame on the page, as far as the objects `touched` go. */
function save(touched) {
  const item = {
    project: state.project, touched: new Set(touched), given: new Set(current.given),
    labels: current.labels.slice(),
  };
  saves += 1;
  const queue = queueOf(state.project);
  wait(queue, address(current.frame), item);
  return flush(queue);
}

/** Keeps the later of two versions of a frame, with everything that either touched. */
function wait({ waiting }, path, item) {
  for (const id of waiting.get(path)?.touched ?? []) item.touched.add(id);
  waiting.set(path, item);
}

/** Changes whenever a frame begins to be saved, or has been. */
export const numberOfSaves = () => saves;

/** Labels of a frame from the server, with what has not reached it on top. */
export function withUnsaved(frame, labels) {
  for (const { touched, given, labels: painted } of unsaved(frame)) {
    labels.forEach((value, k) => {
      if (touched.has(painted[k]) && given.has(painted[k])) labels[k] = painted[k];
      else if (touched.has(value)) labels[k] = 0;
    });
  }
  return labels;
}

function flush(queue) {
  queue.sending ??= send(queue).finally(() => {
    queue.sending = null;
    if (queue.waiting.size) flush(queue);
    else changed("settled");
  });
  return queue.sending;
}

async function send(queue) {
  const { waiting, onItsWay } = queue;
  while (waiting.size) {
    const [path, item] = waiting.entries().next().value;
    waiting.delete(path);
    const ids = [...item.touched].filter((id) => !item.project.deleted.includes(id));
    if (ids.length < item.touched.size) changed("reload"); // it was painted after its end
    if (!ids.length) continue;
    onItsWay.set(path, item);
    const objects = ids.filter((id) => item.given.has(id));
    const released = ids.filter((id) => !item.given.has(id));
    try {
      await put(`${path}?objects=${objects}&released=${released}`, item.labels);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (isForNow(error)) {
        // Until the server is back, or has room again.
        if (error.status >= 500 && item.project.id === state.project.id) {
          say(`Not saved yet: ${error.message}`, true);
        }
        const newer = waiting.get(path);
        wait(queue, path, newer ? { ...newer, touched: new Set(item.touched) } : item);
        onItsWay.delete(path);
        await pause();
        continue;
      }
      say(error.message, true);
      changed("reload"); // the page shows what is kept
    } finally {
      onItsWay.delete(path);
    }
    saves += 1;
  }
}

/** Resolves when everything painted has reached the server. */
export const saved = async () => {
  const queue = queueOf(state.project);
  while (queue.sending) await queue.sending;
};

/** Whether anything painted in this project has not reached the server. */
export const isSaving = () => queueOf(state.project).sending !== null;

/** Whether something painted in this very frame has not reached the server. */
export const isUnsaved = (frame) => unsaved(frame).length > 0;

window.addEventListener("beforeunload", (event) => {
  if ([...queues.values()].some((queue) => queue.sending)) event.preventDefault();
});
