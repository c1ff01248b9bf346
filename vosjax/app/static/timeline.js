// The timeline: slider, thumbnails, and a row for each object.

import { go } from "./frames.js";
import { stopWatching } from "./following.js";
import { element, named, on, state } from "./state.js";

const THUMBNAIL_WIDTH = 84; // about, on the screen
const MANY = 3; // objects, beyond which rows are lower
const STRIPES = 6; // pixels from one to the next, where an object is probably lost
const PLAY_SKIP = 3; // a frame that has not come after so many is left out

const slider = element("slider");
const rows = element("rows");
const strip = element("thumbnails");
let playing = null;
let shownFrame = -1;
let scheduled = false;

/** Goes to a frame that the user has chosen. */
export function choose(frame) {
  stopWatching();
  go(frame);
}

function time(frame) {
  const seconds = frame / (state.project.rate || 24);
  const rest = (seconds % 60).toFixed(2).padStart(5, "0");
  return `${Math.floor(seconds / 60)}:${rest}`;
}

function showPosition() {
  const { frame, project } = state;
  if (!project) return;
  slider.value = frame;
  slider.setAttribute("aria-valuetext", `frame ${frame} of ${project.frames - 1}, ${time(frame)}`);
  element("position").textContent = `${frame} / ${project.frames - 1}`;
  element("time").textContent = time(frame);
  schedule();
}

async function showThumbnails() {
  const { project } = state;
  strip.replaceChildren();
  if (!project) return;
  const count = Math.min(project.frames, Math.max(4, Math.floor(strip.clientWidth / THUMBNAIL_WIDTH)));
  for (let k = 0; k < count; k++) {
    const frame = Math.floor(((k + 0.5) * project.frames) / count);
    const image = document.createElement("img");
    image.alt = "";
    strip.append(image);
    image.src = `/api/projects/${project.id}/thumbnail/${frame}.jpg?v=${project.version}`;
    // One after another: frames that the user asks for go in between.
    await image.decode().catch(() => {});
    if (state.project !== project || !image.isConnected) return;
  }
}

/** The frame below a pointer event on something as wide as the timeline. */
function frameAt(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const part = (event.clientX - box.left) / box.width;
  return Math.floor(part * state.project.frames);
}

function scrubbing(target) {
  const move = (event) => event.buttons && choose(frameAt(event));
  target.addEventListener("pointerdown", (event) => {
    target.setPointerCapture(event.pointerId);
    choose(frameAt(event));
  });
  target.addEventListener("pointermove", move);
}

/** Says what is known of an object in the frame below the pointer. */
function tell(event, track) {
  const object = state.project.objects[[...rows.children].indexOf(track)];
  const frame = Math.max(0, Math.min(state.project.frames - 1, frameAt(event)));
  const [shown, absent] = state.project.given[frame] ?? [[], []];
  const result = state.project.results[frame];
  const k = result ? result.objects.indexOf(object.id) : -1;
  let text = result ? "not found" : "not followed yet";
  if (k >= 0) text = `${Math.round(100 * result.scores[k])} % sure`;
  if (k >= 0 && result.lost[k]) text += ", probably lost";
  if (shown.includes(object.id)) text = "painted";
  if (absent.includes(object.id)) text = "marked as not in the frame";
  track.lastChild.title = `${named(object.id)} in frame ${frame}: ${text}`;
}

function makeRows() {
  if (!state.project) return;
  const { objects } = state.project;
  while (rows.children.length > objects.length) rows.lastChild.remove();
  while (rows.children.length < objects.length) {
    const track = document.createElement("div");
    track.className = "track";
    const label = document.createElement("span");
    label.className = "label";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    scrubbing(canvas);
    canvas.addEventListener("pointermove", (event) => tell(event, track));
    track.append(label, canvas);
    rows.append(track);
  }
  rows.classList.toggle("dense", objects.length > MANY);
  objects.forEach((object, k) => {
    rows.children[k].firstChild.textContent = object.name;
  });
  schedule();
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    drawRows();
  });
}

/** What a row shows, gathered by column: many frames can share one. */
function columnsOf(object, width) {
  const { frames, results, given } = state.project;
  const columns = Array.from({ length: width }, () => ({ score: null, lost: false, present: false, known: false }));
  const at = (frame) => Math.min(width - 1, Math.floor((frame * width) / frames));
  const span = Math.max(1, Math.ceil(width / frames));
  for (const [frame, result] of Object.entries(results)) {
    const k = result.objects.indexOf(object.id);
    const first = at(Number(frame));
    for (let x = first; x < Math.min(width, first + span); x++) {
      const column = columns[x];
      column.known = true;
      if (k < 0) continue;
      column.present = true;
      column.lost ||= result.lost[k];
      column.score = Math.min(column.score ?? 1, result.scores[k]);
    }
  }
  const marks = Object.entries(given)
    .filter(([, [shown, absent]]) => shown.includes(object.id) || absent.includes(object.id))
    .map(([frame, [shown]]) => [Number(frame), shown.includes(object.id)]);
  return { columns, marks };
}

function drawRows() {
  if (!state.project) return;
  const style = getComputedStyle(document.documentElement);
  const theme = (name) => style.getPropertyValue(name).trim();
  state.project.objects.forEach((object, k) => drawRow(rows.children[k]?.lastChild, object, theme));
}

function drawRow(canvas, object, theme) {
  if (!canvas) return;
  const ratio = devicePixelRatio;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.round(canvas.clientHeight * ratio);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const { frames } = state.project;
  const { columns, marks } = columnsOf(object, width);
  const base = height - 3 * ratio;
  const room = height - 8 * ratio;
  let lost = 0;
  columns.forEach((column, x) => {
    if (!column.known) return;
    context.globalAlpha = 1;
    if (column.lost) {
      lost++;
      context.fillStyle = theme("--bad");
      context.globalAlpha = 0.25;
      context.fillRect(x, 0, 1, height);
      context.globalAlpha = 0.6; // stripes, which differ from any colour of an object
      const period = STRIPES * ratio;
      for (let y = -(x % period); y < height; y += period) context.fillRect(x, y, 1, period / 3);
      context.globalAlpha = 1;
    }
    if (!column.present) {
      context.fillStyle = theme("--muted");
      context.fillRect(x, base - ratio, 1, ratio);
      return;
    }
    const tall = Math.max(2 * ratio, room * (column.score ?? 1));
    context.fillStyle = column.lost ? theme("--bad") : object.color;
    context.globalAlpha = 0.35;
    context.fillRect(x, base - tall, 1, tall);
    context.globalAlpha = 1;
    context.fillRect(x, base - tall, 1, 2 * ratio);
  });
  context.globalAlpha = 0.72; // what is older than the latest painting is dimmed
  context.fillStyle = theme("--raised");
  const stale = staleRanges();
  for (const [first, last] of stale) {
    context.fillRect((first * width) / frames, 0, ((last - first + 1) * width) / frames, height);
  }
  context.globalAlpha = 1;
  for (const [frame, shown] of marks) drawMark(context, ((frame + 0.5) * width) / frames, height, ratio, shown, theme);
  context.fillStyle = theme("--text");
  const line = Math.max(2, Math.round(1.5 * ratio));
  context.fillRect(((state.frame + 0.5) * width) / frames - line / 2, 0, line, height);
  const known = Object.keys(state.project.results).length;
  canvas.setAttribute("aria-label", `${object.name}: painted in ${marks.length} frames, ` +
    `${known} of ${frames} frames followed, ${lost ? "probably lost in some" : "nowhere doubtful"}`);
}

function drawMark(context, x, height, ratio, shown, theme) {
  const size = 5 * ratio;
  context.beginPath();
  context.moveTo(x, height / 2 - size);
  context.lineTo(x + size, height / 2);
  context.lineTo(x, height / 2 + size);
  context.lineTo(x - size, height / 2);
  context.closePath();
  context.fillStyle = shown ? theme("--text") : theme("--panel");
  context.strokeStyle = shown ? theme("--panel") : theme("--text");
  context.lineWidth = 1.5 * ratio;
  context.fill();
  context.stroke();
}

/** Ranges of frames that are not up to date. */
function staleRanges() {
  const found = [];
  let next = 0;
  for (const [first, last] of state.status?.fresh ?? []) {
    if (first > next) found.push([next, first - 1]);
    next = last + 1;
  }
  if (next < state.project.frames) found.push([next, state.project.frames - 1]);
  return found;
}

export function togglePlay() {
  if (playing !== null) {
    cancelAnimationFrame(playing);
    playing = null;
  } else {
    if (state.frame === state.project.frames - 1) choose(0);
    let from = null;
    let chosen = -1;
    const step = (now) => {
      if (state.frame !== chosen) from = { frame: state.frame, time: now }; // by the user
      const wished = from.frame + Math.floor(((now - from.time) / 1000) * (state.project.rate || 24));
      // Frames come at the rate of the server: rather slower than with holes.
      const next = Math.min(wished, shownFrame + PLAY_SKIP, state.project.frames - 1);
      if (next > state.frame && shownFrame === state.frame) choose(next);
      chosen = state.frame;
      if (shownFrame === chosen && chosen >= state.project.frames - 1) return togglePlay();
      playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
  }
  const button = element("play");
  button.querySelector("use").setAttribute("href", playing === null ? "#i-play" : "#i-pause");
  button.setAttribute("aria-label", playing === null ? "Play" : "Pause playing");
}

slider.addEventListener("input", () => choose(Number(slider.value)));
element("previous").addEventListener("click", () => choose(state.frame - 1));
element("next").addEventListener("click", () => choose(state.frame + 1));
element("play").addEventListener("click", togglePlay);
scrubbing(strip);
new ResizeObserver(schedule).observe(rows);

const stop = () => playing !== null && togglePlay();

on("failed", stop);
on("project", () => {
  stop();
  shownFrame = -1;
  const frames = state.project?.frames ?? 1;
  slider.max = frames - 1;
  slider.style.setProperty("--frames", frames);
  makeRows();
  showPosition();
  showThumbnails();
});
on("frame", showPosition);
on("shown", () => (shownFrame = state.frame));
on("objects", makeRows);
for (const kind of ["results", "given", "status", "theme"]) on(kind, schedule);
