// Puts the page together: opens a project and keeps up with the server.

import { getJson, listen } from "./api.js";
import * as frames from "./frames.js";
import "./keys.js";
import { activate, ensureActive } from "./objects.js";
import { fillList, onOpen, openPath } from "./opening.js";
import * as paint from "./paint.js";
import { changed, element, on, say, state, trying } from "./state.js";
import { markAbsent } from "./tools.js";
import * as view from "./view.js";

const AWAY = {
  away: "The server has stopped. What reached it is saved, and later strokes wait in this page. " +
    "Start vosjax app again: with the same --port and --token, this page goes on by itself.",
  stranger: "The server has another token now: open the address that it printed. What reached it is saved.",
};

let live = null;

async function open(id) {
  const project = await getJson(`/api/projects/${id}`);
  live?.close();
  paint.reset();
  frames.reset();
  state.project = project;
  state.status = project.status;
  state.export = null;
  state.object = project.objects[0]?.id ?? 1;
  await ensureActive();
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
  if (project.warnings.length) say(project.warnings.join(" "), true);
  live = listen(id, (news) => hear(project, news), connection);
}

/** Takes over what has changed on the server. */
function hear(project, news) {
  if (state.project !== project) return;
  const own = paint.isEditing() || paint.hasUnsaved(state.frame) ? paint.current.frame : -1;
  for (const [frame, ids] of Object.entries(news.given)) {
    if (Number(frame) !== own) project.given[frame] = ids;
  }
  for (const frame of news.not_given) if (frame !== own) delete project.given[frame];
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

function connection(found) {
  const banner = element("away");
  banner.hidden = found === "open";
  banner.textContent = AWAY[found] ?? "";
}

async function reload() {
  if (!state.project) return;
  await paint.saved();
  const project = await trying(() => getJson(`/api/projects/${state.project.id}`));
  if (!project) return;
  Object.assign(state.project, project);
  for (const kind of ["objects", "given", "results", "history"]) changed(kind);
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
on("given", async () => {
  if (state.project && !state.project.objects.some((one) => one.id === state.object)) await ensureActive();
});
on("frame", () => state.project && sessionStorage.setItem(state.project.id, state.frame));
onOpen(async (id) => {
  await open(id);
  activate(state.object);
});

async function begin() {
  const about = await getJson("/api/state");
  element("about").textContent = `${about.model} on ${about.device}`;
  const query = new URLSearchParams(location.search);
  if (query.has("project")) await trying(() => open(query.get("project")));
  else if (query.has("open")) await openPath(query.get("open"));
  if (state.project) return;
  element("welcome").hidden = false;
  await fillList(element("welcome-list"));
}

trying(begin);
