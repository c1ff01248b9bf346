// Tools on the canvas, with the pointer or with the keyboard.

import { postForBytes } from "./api.js";
import { stopWatching } from "./following.js";
import { go } from "./frames.js";
import { paintDisc, paintMask } from "./labels.js";
import { begin, cancel, current, end } from "./paint.js";
import { activeObject, changed, element, lockedAmong, named, on, say, sayLocked, state, trying } from "./state.js";
import * as view from "./view.js";

const canvas = element("canvas");
const LARGEST_BRUSH = 200;
const FIRST_BRUSH = 1 / 24; // of the shorter side of the video
const WHEEL_STEP = 40; // of scrolling, for a frame

let pointer = null; // position in the frame, if the pointer is over it
let stroke = null; // {x, y, value} of the stroke in progress
let corner = null; // where a rectangle begins
let vertices = []; // of a polygon in progress
let dragging = null; // screen position while the view is moved
let pressed = null; // the pointer that is down; others, such as a second finger, do nothing
let crosshair = false; // the keyboard moves the pointer
let scrolled = 0;
let sized = false; // whether the user has chosen the size of the brush

const HINTS = {
  brush: "Paint the object. Right button or E erases.",
  eraser: "Erase the active object.",
  polygon: "Click the corners; Enter or a double click on the last one closes, Esc cancels.",
  box: "Draw a rectangle around the object: it is found inside.",
};

/** Which labels a stroke may change, as a table; null if the object is locked. */
function paintable(erasing) {
  const locked = lockedAmong(new Set([state.object]));
  if (locked.length) {
    sayLocked(locked);
    return null;
  }
  const table = unlocked();
  if (erasing) table.fill(0)[state.object] = 1;
  return table;
}

/** Which labels may change, as a table: not those of locked objects. */
export function unlocked() {
  const table = new Uint8Array(256).fill(1);
  for (const object of state.project.objects) if (object.locked) table[object.id] = 0;
  return table;
}

function beginStroke(x, y, erasing) {
  const mayPaint = paintable(erasing);
  if (!mayPaint || !begin()) return;
  stroke = { x, y, value: erasing ? 0 : state.object, mayPaint, erasing };
  dab(x, y, x, y);
}

/** Paints discs from one point to another. */
function dab(x0, y0, x1, y1) {
  const { width, height } = state.project;
  const radius = state.size / 2;
  const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / Math.max(0.5, radius / 3)));
  for (let k = 0; k <= steps; k++) {
    const x = x0 + ((x1 - x0) * k) / steps - 0.5;
    const y = y0 + ((y1 - y0) * k) / steps - 0.5;
    paintDisc(current.labels, width, height, x, y, Math.max(0.5, radius), stroke.value, stroke.mayPaint);
  }
  const left = Math.floor(Math.min(x0, x1) - radius) - 1;
  const top = Math.floor(Math.min(y0, y1) - radius) - 1;
  const right = Math.ceil(Math.max(x0, x1) + radius) + 1;
  const bottom = Math.ceil(Math.max(y0, y1) + radius) + 1;
  view.paintLabels({ x: left, y: top, width: right - left, height: bottom - top });
}

function endStroke() {
  stroke = null;
  end();
}

async function fillBox(x0, y0, x1, y1) {
  const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)].map(Math.round);
  if (!paintable(false)) return;
  const { frame, object, project } = state;
  say("Looking for the object in the rectangle…");
  const mask = await trying(() =>
    postForBytes(`/api/projects/${project.id}/fill/${frame}`, { box }));
  if (!mask || state.project !== project) return;
  if (state.frame !== frame) return say("You have left the frame: draw the rectangle again.", true);
  if (project.deleted.includes(object)) return;
  const locked = lockedAmong(new Set([object])); // meanwhile
  if (locked.length) return sayLocked(locked);
  if (!begin()) return say("A stroke came in between: draw the rectangle again.", true);
  paintMask(current.labels, mask, object, unlocked());
  end();
  say("Painted what stands out in the rectangle. Brush and eraser correct it.");
}

function closePolygon() {
  const points = vertices;
  vertices = [];
  view.redraw();
  if (points.length < 3) return;
  const mayPaint = paintable(false);
  if (!mayPaint || !begin()) return;
  const { width, height } = state.project;
  const shape = new OffscreenCanvas(width, height).getContext("2d");
  shape.beginPath();
  for (const [x, y] of points) shape.lineTo(x, y);
  shape.fill();
  const { data } = shape.getImageData(0, 0, width, height);
  const mask = new Uint8Array(width * height);
  for (let k = 0; k < mask.length; k++) mask[k] = data[4 * k + 3] >= 128;
  paintMask(current.labels, mask, state.object, mayPaint);
  end();
}

function press(x, y, erasing) {
  stopWatching(); // what is painted belongs to this frame
  if (erasing && ["polygon", "box"].includes(state.tool)) return;
  if (state.tool === "polygon") {
    vertices.push([x, y]);
    view.redraw();
  } else if (state.tool === "box") {
    corner = [x, y];
  } else {
    beginStroke(x, y, erasing || state.tool === "eraser");
  }
}

function moveTo(x, y) {
  if (stroke) {
    dab(stroke.x, stroke.y, x, y);
    [stroke.x, stroke.y] = [x, y];
  }
  pointer = [x, y];
  view.redraw();
}

function release() {
  if (stroke) endStroke();
  if (corner && pointer) {
    const [x0, y0] = corner;
    corner = null;
    if (Math.hypot(pointer[0] - x0, pointer[1] - y0) >= 3) fillBox(x0, y0, ...pointer);
    view.redraw();
  }
}

canvas.addEventListener("pointerdown", (event) => {
  if (!state.project || event.button > 2 || ![null, event.pointerId].includes(pressed)) return;
  pressed = event.pointerId;
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  if (event.button === 1 || (event.button === 0 && event.altKey)) {
    dragging = [event.clientX, event.clientY];
    event.preventDefault();
    return;
  }
  crosshair = false;
  press(...view.toFrame(event), event.button === 2);
});

canvas.addEventListener("pointermove", (event) => {
  if (pressed !== null && event.pointerId !== pressed) return;
  if (dragging) {
    view.pan(event.clientX - dragging[0], event.clientY - dragging[1]);
    dragging = [event.clientX, event.clientY];
    return;
  }
  // A fast hand makes several moves between two frames of the screen.
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const move of moves.length && stroke ? moves : [event]) moveTo(...view.toFrame(move));
});

canvas.addEventListener("pointerup", (event) => {
  if (event.pointerId !== pressed) return;
  dragging = pressed = null;
  release();
});
canvas.addEventListener("pointercancel", (event) => {
  if (event.pointerId !== pressed) return;
  dragging = pressed = corner = stroke = null;
  cancel();
});
// Whatever ends a press without a word must not keep later ones away.
canvas.addEventListener("lostpointercapture", (event) => {
  if (event.pointerId === pressed) pressed = null;
});
canvas.addEventListener("pointerleave", () => {
  if (stroke || crosshair) return;
  pointer = null;
  view.redraw();
});
canvas.addEventListener("dblclick", () => state.tool === "polygon" && closePolygon());
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey || event.metaKey) {
    view.zoom(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    return;
  }
  scrolled += (event.deltaY || event.deltaX) * (event.deltaMode ? WHEEL_STEP : 1);
  const frames = Math.trunc(scrolled / WHEEL_STEP);
  scrolled -= frames * WHEEL_STEP;
  if (frames) {
    stopWatching();
    go(state.frame + frames);
  }
}, { passive: false });

/** Keys of the canvas; true if the key was one. */
export function handleKey(event) {
  if (event.key === "Escape" && (vertices.length || corner || stroke || crosshair)) {
    vertices = [];
    corner = stroke = null;
    crosshair = false;
    cancel();
    view.redraw();
    return true;
  }
  if (event.key === "Enter" && state.tool === "polygon" && vertices.length) {
    closePolygon();
    return true;
  }
  if (!crosshair || ![canvas, document.body].includes(event.target)) return false;
  const step = event.shiftKey ? 10 : 1;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const { width, height } = state.project;
  if (event.key in moves) {
    const [dx, dy] = moves[event.key];
    const [x, y] = pointer;
    moveTo(Math.min(width, Math.max(0, x + dx)), Math.min(height, Math.max(0, y + dy)));
    return true;
  }
  if (event.key === " ") {
    if (event.repeat) return true;
    if (stroke || corner) release();
    else press(...pointer, false);
    view.redraw();
    return true;
  }
  return false;
}

/** Lets arrow keys and the space bar paint, or not any more. */
export function toggleCrosshair() {
  crosshair = !crosshair;
  const { width, height } = state.project;
  if (crosshair) {
    pointer ??= [width / 2, height / 2];
    canvas.focus();
    say("Arrow keys move the cross hair (Shift: ten pixels), Space begins and ends a stroke, Esc leaves.");
  }
  view.redraw();
}

/** Says that the active object is not in this frame. */
export function markAbsent() {
  stopWatching();
  const object = activeObject();
  const mayPaint = object && paintable(true);
  if (!mayPaint || !begin()) return;
  current.labels.forEach((value, k) => {
    if (value === object.id) current.labels[k] = 0;
  });
  end({ touched: [object.id] });
  say(`${named(object.id)} is not in this frame.`);
}

export function choose(tool) {
  state.tool = tool;
  vertices = [];
  corner = null;
  changed("tool");
}

export function setSize(size) {
  sized = true;
  state.size = Math.min(LARGEST_BRUSH, Math.max(1, Math.round(size)));
  changed("tool");
}

/** The next larger or smaller brush. */
export function stepSize(up) {
  setSize(up ? state.size * 1.2 + 0.5 : state.size / 1.2 - 0.5);
}

function draw(context, toScreen) {
  const color = activeObject()?.color ?? "#ffffff";
  const outline = (path) => {
    for (const [style, width] of [["#000000aa", 3], [color, 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      path();
      context.stroke();
    }
  };
  if (vertices.length) {
    const points = pointer ? [...vertices, pointer] : vertices;
    outline(() => points.forEach(([x, y]) => context.lineTo(...toScreen(x, y))));
    for (const [x, y] of vertices) {
      const [left, top] = toScreen(x, y);
      context.fillStyle = color;
      context.fillRect(left - 3, top - 3, 6, 6);
    }
  }
  if (!pointer) return;
  const [x, y] = toScreen(...pointer);
  if (corner) {
    const [left, top] = toScreen(...corner);
    outline(() => context.rect(left, top, x - left, y - top));
  } else if (state.tool === "brush" || state.tool === "eraser") {
    outline(() => context.arc(x, y, Math.max(2, (state.size / 2) * view.scale()), 0, 7));
  }
  if (crosshair) {
    outline(() => {
      context.moveTo(x - 9, y);
      context.lineTo(x + 9, y);
      context.moveTo(x, y - 9);
      context.lineTo(x, y + 9);
    });
  }
}

function showTool() {
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === state.tool));
  }
  // The slider goes from 0 to 100: as many steps from 4 to 8 pixels as from 100 to 200.
  const slider = element("size");
  slider.value = (100 * Math.log(state.size)) / Math.log(LARGEST_BRUSH);
  slider.setAttribute("aria-valuetext", `${state.size} pixels`);
  element("size-value").textContent = state.size;
  const nothing = state.project && !Object.keys(state.project.given).length;
  const shape = state.tool === "polygon" || state.tool === "box";
  element("hint").textContent = nothing || shape ? HINTS[state.tool] : "";
  const round = state.tool === "brush" || state.tool === "eraser";
  canvas.classList.toggle("round", round);
  view.redraw();
}

/** Says of which object the button is. */
function showAbsent() {
  const object = activeObject();
  if (!object) return;
  element("absent").title = `${named(object.id)} is not in this frame (X). For frames that it has left, ` +
    "or where it is hidden: following then looks for nothing else in its place.";
}

for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => choose(button.dataset.tool));
}
element("size").addEventListener("keydown", (event) => {
  if (!event.key.startsWith("Arrow")) return;
  event.preventDefault(); // a step of the slider may be less than a pixel
  stepSize(event.key === "ArrowUp" || event.key === "ArrowRight");
});
element("size").addEventListener("input", (event) => {
  setSize(LARGEST_BRUSH ** (Number(event.target.value) / 100));
});
view.setDecoration(draw);
on("tool", showTool);
on("given", showTool);
on("project", () => {
  stroke = corner = null;
  vertices = [];
  const { width, height } = state.project;
  if (!sized) state.size = Math.max(2, Math.round(FIRST_BRUSH * Math.min(width, height)));
  showTool();
  showAbsent();
});
on("objects", showAbsent);
