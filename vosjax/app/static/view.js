// The canvas: a frame, its objects over it, and where they are on the screen.

import { colour, colourTable } from "./labels.js";
import { current } from "./paint.js";
import { element, on, state } from "./state.js";

const LARGEST = 40; // screen pixels of a pixel of the frame
const canvas = element("canvas");
const context = canvas.getContext("2d", { alpha: false });
const mask = document.createElement("canvas");
const maskContext = mask.getContext("2d");

const view = { scale: 1, x: 0, y: 0, fitted: true };
let image = null; // ImageBitmap of the frame
let pixels = null; // ImageData of the mask
let table = new Uint32Array(512);
let drawn = false;

/** What tools draw on top: called with (context, toScreen). */
let decorate = () => {};
export const setDecoration = (draw) => (decorate = draw);

/** Begins with frames of another size. */
export function resize(width, height) {
  mask.width = width;
  mask.height = height;
  pixels = maskContext.createImageData(width, height);
  image = null;
  fit();
}

/** Shows a frame; the canvas keeps the bitmap until the next one. */
export function setImage(bitmap) {
  image = bitmap;
  redraw();
}

/** Colours the labels again, in a box or everywhere. */
export function paintLabels(box) {
  if (!pixels || current.labels === null) return;
  const { width, height } = state.project;
  const line = Math.max(1, Math.round(height / 480));
  let area = { x: 0, y: 0, width, height };
  if (box) {
    const left = Math.max(0, box.x - line), top = Math.max(0, box.y - line);
    const right = Math.min(width, box.x + box.width + line);
    const bottom = Math.min(height, box.y + box.height + line);
    area = { x: left, y: top, width: right - left, height: bottom - top };
  }
  if (area.width <= 0 || area.height <= 0) return;
  colour(current.labels, width, height, area, table, line, pixels.data);
  maskContext.putImageData(pixels, 0, 0, area.x, area.y, area.width, area.height);
  redraw();
}

/** Takes over colours and what is hidden. */
export function recolour() {
  table = colourTable(state.project.objects);
  paintLabels();
}

export function redraw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(draw);
}

function draw() {
  drawn = false;
  const ratio = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = getComputedStyle(canvas.parentElement).backgroundColor;
  context.fillRect(0, 0, width, height);
  if (!state.project) return;
  context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
  context.imageSmoothingEnabled = view.scale < 3;
  context.imageSmoothingQuality = "high";
  if (image) context.drawImage(image, 0, 0, mask.width, mask.height);
  if (current.labels) context.drawImage(mask, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  decorate(context, toScreen);
}

export const toScreen = (x, y) => [view.x + x * view.scale, view.y + y * view.scale];

/** Position in the frame of a pointer event; pixel k covers k to k + 1. */
export function toFrame(event) {
  const box = canvas.getBoundingClientRect();
  return [
    (event.clientX - box.left - view.x) / view.scale,
    (event.clientY - box.top - view.y) / view.scale,
  ];
}

export const scale = () => view.scale;

export function fit() {
  const { clientWidth, clientHeight } = canvas;
  if (!mask.width || !clientWidth) return;
  const margin = 12;
  const space = Math.min((clientWidth - 2 * margin) / mask.width, (clientHeight - 2 * margin) / mask.height);
  view.scale = Math.max(0.01, space);
  view.x = (clientWidth - mask.width * view.scale) / 2;
  view.y = (clientHeight - mask.height * view.scale) / 2;
  view.fitted = true;
  redraw();
}

export function zoom(factor, clientX, clientY) {
  const box = canvas.getBoundingClientRect();
  const x = (clientX ?? box.left + box.width / 2) - box.left;
  const y = (clientY ?? box.top + box.height / 2) - box.top;
  const next = Math.min(LARGEST, Math.max(0.02, view.scale * factor));
  view.x = x - ((x - view.x) * next) / view.scale;
  view.y = y - ((y - view.y) * next) / view.scale;
  view.scale = next;
  view.fitted = false;
  redraw();
}

export function pan(dx, dy) {
  view.x += dx;
  view.y += dy;
  view.fitted = false;
  redraw();
}

new ResizeObserver(() => (view.fitted ? fit() : redraw())).observe(canvas);
on("labels", (box) => paintLabels(box));
on("objects", () => recolour());
on("theme", () => redraw());
