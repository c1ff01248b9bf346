// Frames and labels from the server: one request at a time, and only the latest wish.

import { getBlob, getBytes, RETRY_MS } from "./api.js";
import { current, isEditing, isSaving, numberOfSaves, show, withUnsaved } from "./paint.js";
import { changed, element, on, state, trying } from "./state.js";
import * as view from "./view.js";

const KEPT_PIXELS = 40e6; // of frames that are kept decoded

const canvas = element("canvas");
const kept = new Map(); // frame -> ImageBitmap, the latest used last
let busy = false;
let again = false;
let retry; // timer

export function reset() {
  for (const bitmap of kept.values()) bitmap.close();
  kept.clear();
}

/** Goes to a frame; it appears when it has come. */
export function go(frame) {
  if (!state.project) return;
  const next = Math.min(state.project.frames - 1, Math.max(0, Math.round(frame)));
  if (next === state.frame && current.frame === next) return;
  if (isEditing()) return; // the stroke belongs to this frame
  state.frame = next;
  changed("frame");
}

/** Shows the wished frame, whatever was asked for before. */
export async function load() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  clearTimeout(retry);
  do {
    again = false;
    await loadOnce().catch(fail);
  } while (again);
  busy = false;
}

/** Says why a frame cannot be shown; asks for it again if an answer has not come. */
async function fail(error) {
  if (error.status === 0) {
    retry = setTimeout(load, RETRY_MS);
    return;
  }
  changed("failed");
  await trying(() => Promise.reject(error)).catch(reportError);
}

async function loadOnce() {
  const { project, frame } = state;
  const path = `/api/projects/${project.id}`;
  const saves = numberOfSaves();
  const [bitmap, labels] = await Promise.all([
    bitmapOf(project, frame),
    getBytes(`${path}/labels/${frame}`),
  ]);
  if (state.project !== project || state.frame !== frame) {
    again = true;
    return;
  }
  if (isEditing() || (current.frame === frame && isSaving())) return;
  if (numberOfSaves() !== saves) { // the labels may be older than what was painted
    again = true;
    return;
  }
  show(frame, withUnsaved(frame, labels));
  view.setImage(bitmap);
  view.paintLabels();
  canvas.dataset.frame = frame;
  changed("shown");
}

async function bitmapOf(project, frame) {
  let bitmap = kept.get(frame);
  kept.delete(frame);
  bitmap ??= await createImageBitmap(
    await getBlob(`/api/projects/${project.id}/frame/${frame}.jpg?v=${project.version}`));
  if (state.project !== project) return bitmap; // nobody will see it
  kept.set(frame, bitmap);
  const room = Math.max(3, KEPT_PIXELS / (bitmap.width * bitmap.height));
  for (const [old, other] of kept) {
    if (kept.size <= room) break;
    if (old === state.frame || old === frame || old === current.frame) continue;
    kept.delete(old);
    other.close();
  }
  return bitmap;
}

on("frame", () => load());
