// Puts the page together: opens a project and keeps up with the server.

import { getJson, listen } from "./api.js";
import * as frames from "./frames.js";
import "./keys.js";
import * as objects from "./objects.js";
import { fillList, onOpen, openPath } from "./opening.js";
import * as paint from "./paint.js";
import { changed, element, on, say, state, trying } from "./state.js";
import { markAbsent } from "./tools.js";
import * as view from "./view.js";

const AWAY = { // else, the server says why
  away: "The server has stopped. What reached it is saved, and later strokes wait in this page. " +
    "Start vosjax app again: with the same --port and --token, this page goes on by itself.",
  stranger: "The server has another token now: open the address that it printed. What reached it is saved.",
};

let live = null;
let opening = 0; // the latest wish to open a project
const later = new Map(); // what is given in a frame, heard while it was painted
const reloads = new Set(); // lists of news that came during a reload

async function open(id) {
  const wish = ++opening;
  const project = await getJson(`/api/projects/${id}`);
  if (wish !== opening) return; // another one was chosen meanwhile
  live?.close();
  later.clear();
  paint.reset();
  frames.reset();
  state.project = project;
  state.status = project.status;
  state.export = null;
  state.object = project.objects[0]?.id ?? objects.freeId();
  objects.ensureActive();
  element("welcome").hidden = true;
  element("workspace").hidden = false;
  element("video-name").textContent = project.title;
  document.title = `${project.title} · vosjax`;
  const given = Object.keys(project.given).map(Number);
  const remembered = Number(sessionStorage.getItem(id) ?? (given.length ? Math.min(...given) : 0));
  state.frame = Math.min(project.frames - 1, remembered);
  history.replaceState(null, "", `/?project=${encodeURIComponent(id)}`);
  view.resize(project.width, project.height);
  view.recolour();
  for (const kind of ["project", "objects", "frame", "history"]) changed(kind);
  say(project.warnings.join(" "), project.warnings.length > 0);
  live = listen(id, (news) => hear(project, news), connection);
}

/** Takes over what has changed on the server. */
function hear(project, news) {
  if (state.project !== project) return;
  for (const missed of reloads) missed.push(news);
  for (const [frame, ids] of Object.entries(news.given)) later.set(Number(frame), ids);
  for (const frame of news.not_given) later.set(frame, null);
  takeOver();
  objects.hear(project, news);
  Object.assign(project.results, news.results);
  const before = state.status?.frame;
  state.status = news.status;
  state.export = news.export;
  const touched = new Set([...Object.keys(news.given), ...news.not_given, ...Object.keys(news.results)].map(Number));
  if (touched.size) {
    changed("given");
    changed("results");
  }
  changed("status");
  changed("export");
  const latest = news.status.frame;
  if (state.watch && news.status.state === "following" && latest !== null && latest !== before) {
    frames.go(latest);
  }
  if (touched.has(state.frame) && paint.current.frame === state.frame) frames.load();
}

/** Takes over what is given, save in a frame that is being painted or saved. */
function takeOver() {
  const { project } = state;
  const own = paint.isEditing() || paint.isSaving() ? paint.current.frame : -1;
  for (const [frame, ids] of later) {
    if (frame === own || paint.isUnsaved(frame)) continue;
    later.delete(frame);
    if (ids) project.given[frame] = ids;
    else delete project.given[frame];
  }
}

/** What came while the user painted in this frame may be of another window. */
function settle() {
  if (!later.size) return;
  takeOver();
  changed("given");
  frames.load();
}

function connection(found, reason) {
  if (found === "open") reload(); // whatever changed until now was not told
  const banner = element("away");
  banner.hidden = found === "open";
  banner.textContent = AWAY[found] ?? reason ?? "";
}

async function reload() {
  const { project } = state;
  if (!project) return;
  await paint.saved();
  await objects.stored();
  const missed = [];
  reloads.add(missed);
  const found = await trying(() => getJson(`/api/projects/${project.id}`));
  reloads.delete(missed);
  if (!found || state.project !== project) return;
  for (const frame of new Set([...Object.keys(project.given), ...Object.keys(found.given)])) {
    later.set(Number(frame), found.given[frame] ?? null);
  }
  project.results = found.results;
  takeOver();
  objects.hear(project, found, true);
  for (const news of missed) hear(project, news);
  for (const kind of ["given", "results", "history"]) changed(kind);
  await frames.load();
}

function showHistory() {
  element("undo").disabled = !paint.canUndo();
  element("redo").disabled = !paint.canRedo();
}

element("undo").addEventListener("click", paint.undo);
element("redo").addEventListener("click", paint.redo);
element("fit").addEventListener("click", view.fit);
element("absent").addEventListener("click", markAbsent);
on("history", showHistory);
on("reload", reload);
on("settled", settle);
on("frame", () => state.project && sessionStorage.setItem(state.project.id, state.frame));
onOpen(async (id) => {
  await open(id);
  objects.activate(state.object);
});

async function begin() {
  const about = await getJson("/api/state");
  element("about").textContent = `Follows with ${about.model} on ${about.device === "cpu" ? "the processor (CPU)" : about.device}`;
  const query = new URLSearchParams(location.search);
  if (query.has("project")) await trying(() => open(query.get("project")));
  else if (query.has("open")) await openPath(query.get("open"));
  if (state.project) return;
  element("welcome").hidden = false;
  await fillList(element("welcome-list"));
}

trying(begin);
