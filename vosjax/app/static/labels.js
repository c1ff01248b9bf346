// Label maps: arithmetic on arrays of one byte a pixel, without the page.

/** Paints a disc; returns nothing. `mayPaint` is a table by label. */
export function paintDisc(labels, width, height, x, y, radius, value, mayPaint) {
  const top = Math.max(0, Math.ceil(y - radius));
  const bottom = Math.min(height - 1, Math.floor(y + radius));
  for (let row = top; row <= bottom; row++) {
    const half = Math.sqrt(Math.max(0, radius * radius - (row - y) ** 2));
    const left = Math.max(0, Math.ceil(x - half));
    const right = Math.min(width - 1, Math.floor(x + half));
    for (let k = row * width + left; k <= row * width + right; k++) {
      if (mayPaint[labels[k]]) labels[k] = value;
    }
  }
}

/** Paints wherever `mask` is not zero. */
export function paintMask(labels, mask, value, mayPaint) {
  for (let k = 0; k < labels.length; k++) {
    if (mask[k] && mayPaint[labels[k]]) labels[k] = value;
  }
}

/** The smallest box with all differences: {x, y, width, height}, or null. */
export function difference(before, after, width, height) {
  let left = width, right = -1, top = height, bottom = -1;
  for (let y = 0, k = 0; y < height; y++) {
    for (let x = 0; x < width; x++, k++) {
      if (before[k] === after[k]) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  if (right < 0) return null;
  return { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

/** The pixels of one label: 1 there, and 0 elsewhere. */
export const only = (labels, id) => labels.map((value) => (value === id ? 1 : 0));

export function crop(labels, width, box) {
  const out = new Uint8Array(box.width * box.height);
  for (let y = 0; y < box.height; y++) {
    const from = (box.y + y) * width + box.x;
    out.set(labels.subarray(from, from + box.width), y * box.width);
  }
  return out;
}

/** Puts a part back where it differs from `other`; elsewhere, labels may have changed. */
export function paste(labels, width, box, part, other) {
  for (let y = 0, k = 0; y < box.height; y++) {
    for (let x = 0; x < box.width; x++, k++) {
      if (part[k] !== other[k]) labels[(box.y + y) * width + box.x + x] = part[k];
    }
  }
}

/** The values in a part of a label map where another part differs from it. */
export function replacedValues(before, after) {
  const found = new Set();
  for (let k = 0; k < before.length; k++) {
    if (before[k] !== after[k]) {
      found.add(before[k]);
      found.add(after[k]);
    }
  }
  found.delete(0);
  found.delete(255);
  return found;
}

/** Colours a box of a label map: tinted inside, a line at the border. */
export function colour(labels, width, height, box, table, line, pixels) {
  // Written as 32-bit words (little-endian RGBA), which is several times faster.
  const words = new Uint32Array(pixels.buffer);
  for (let y = box.y; y < box.y + box.height; y++) {
    let k = y * width + box.x;
    const up = y >= line ? -line * width : 0;
    const down = y + line < height ? line * width : 0;
    for (let x = box.x; x < box.x + box.width; x++, k++) {
      const value = labels[k];
      if (value === 0) {
        words[k] = 0;
        continue;
      }
      const left = x >= line ? -line : 0;
      const right = x + line < width ? line : 0;
      const border = labels[k + up] !== value || labels[k + down] !== value ||
        labels[k + left] !== value || labels[k + right] !== value;
      words[k] = table[value + (border ? 256 : 0)];
    }
  }
}

/** RGBA words for `colour`: the tint of each label, then its line. */
export function colourTable(objects) {
  const table = new Uint32Array(512);
  const set = (value, [red, green, blue]) => {
    const mix = (c) => Math.round(c + 0.25 * (255 - c));
    const word = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
    table[value] = word(red, green, blue, 118);
    table[value + 256] = word(mix(red), mix(green), mix(blue), 255);
  };
  for (const object of objects) {
    if (object.hidden) continue;
    const number = parseInt(object.color.slice(1), 16);
    set(object.id, [number >> 16, (number >> 8) & 255, number & 255]);
  }
  return table;
}
