// Keyboard short cuts, and the list of them.

import * as exporting from "./exporting.js";
import * as following from "./following.js";
import * as objects from "./objects.js";
import { redo, undo } from "./paint.js";
import { changed, element, state } from "./state.js";
import * as timeline from "./timeline.js";
import * as tools from "./tools.js";
import * as view from "./view.js";

// Keys, what they do, and the action, by what the user presses.
const SHORT_CUTS = [
  [["b"], "Brush", () => tools.choose("brush")],
  [["e"], "Eraser", () => tools.choose("eraser")],
  [["p"], "Polygon (Enter or double click closes, Esc cancels)", () => tools.choose("polygon")],
  [["r"], "Rectangle: finds the object in it", () => tools.choose("box")],
  [["[", "]"], "Smaller or larger brush", (key) => tools.stepSize(key === "]")],
  [["Ctrl+z"], "Undo", undo],
  [["Ctrl+Shift+z", "Ctrl+y"], "Redo", redo],
  [["c"], "Cross hair: arrow keys and Space paint", tools.toggleCrosshair],
  [["1", "9"], "Choose an object", null],
  [["n"], "New object", objects.add],
  [["F2"], "Rename the object (or double click its name)", objects.renameActive],
  [["h"], "Hide or show the object", () => objects.toggle("hidden")],
  [["l"], "Lock or unlock the object", () => objects.toggle("locked")],
  [["x"], "The object is not in this frame: has left it, or is hidden", tools.markAbsent],
  [["ArrowLeft", "ArrowRight"], "Previous or next frame (Shift: ten frames)", null],
  [["Home", "End"], "First or last frame", (key) => timeline.choose(key === "Home" ? 0 : Infinity)],
  [[" "], "Play or stop", timeline.togglePlay],
  [["f"], "Follow or pause", following.toggle],
  [["g"], "Next doubtful frame", following.nextDoubt],
  [["j", "k"], "Previous or next painted frame", (key) => following.nextGiven(key === "k" ? 1 : -1)],
  [["+", "-"], "Zoom (or Ctrl and wheel); Alt and drag moves the frame", (key) => view.zoom(key === "+" ? 1.25 : 0.8)],
  [["0"], "Show the whole frame", view.fit],
  [["s"], "Export", exporting.open],
  [["d"], "Light or dark", () => toggleTheme()],
  [["?"], "This list", () => element("help-dialog").showModal()],
];
// Those that go on while a key is held; others would toggle back and forth.
const REPEATED = new Set(["[", "]", "+", "-", "Ctrl+z", "Ctrl+Shift+z", "Ctrl+y"]);
const WORDS = { ArrowLeft: "←", ArrowRight: "→", " ": "Space" };

const actions = new Map();
for (const [keys, , action] of SHORT_CUTS) {
  if (action) for (const key of keys) actions.set(key, action);
}

function pressed(event) {
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return `${control ? "Ctrl+" : ""}${control && event.shiftKey ? "Shift+" : ""}${key}`;
}

window.addEventListener("keydown", (event) => {
  const { target } = event;
  if (!state.project || document.querySelector("dialog[open]") || event.altKey) return;
  if (target.matches("input[type=text]")) return;
  if (tools.handleKey(event)) {
    event.preventDefault();
    return;
  }
  const native = target.matches("button, a, summary, input:not([type=range])") && event.key === " ";
  const arrows = target.matches("input[type=range], input[type=radio]") && /^(Arrow|Home|End|Page)/.test(event.key);
  if (native || arrows) return;
  const key = pressed(event);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const step = (event.shiftKey ? 10 : 1) * (key === "ArrowLeft" ? -1 : 1);
    timeline.choose(state.frame + step);
  } else if (/^[1-9]$/.test(key)) {
    objects.activate(Number(key));
  } else if (actions.has(key)) {
    if (!event.repeat || REPEATED.has(key)) actions.get(key)(key);
  } else {
    return;
  }
  event.preventDefault();
});

const SYSTEM = matchMedia("(prefers-color-scheme: light)");

function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  changed("theme");
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  localStorage.setItem("theme", next);
  applyTheme(next);
}

applyTheme(localStorage.getItem("theme") ?? (SYSTEM.matches ? "light" : "dark"));
element("theme-button").addEventListener("click", toggleTheme);
element("help-button").addEventListener("click", () => element("help-dialog").showModal());

for (const [keys, text] of SHORT_CUTS) {
  const term = document.createElement("dt");
  const join = keys[0] === "1" ? " to " : " ";
  keys.forEach((key, k) => {
    if (k) term.append(join);
    for (const [n, part] of key.split(/(?<=.)\+(?=.)/).entries()) {
      if (n) term.append("+");
      const cap = document.createElement("kbd");
      cap.textContent = WORDS[part] ?? (part.length === 1 ? part.toUpperCase() : part);
      term.append(cap);
    }
  });
  const meaning = document.createElement("dd");
  meaning.textContent = text;
  element("keys").append(term, meaning);
}
