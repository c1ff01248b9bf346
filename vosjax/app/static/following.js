// Following: the panel, its figures, and what is known of the frame on the page.

import { post } from "./api.js";
import { go } from "./frames.js";
import { discard, saved } from "./paint.js";
import { changed, element, givenFrames, on, say, state, trying } from "./state.js";

const button = element("follow");
let chosen = false; // whether the user has chosen a direction
const directions = [...document.querySelectorAll("input[name=direction]")];
const running = () => ["starting", "following"].includes(state.status?.state);

export async function toggle() {
  if (state.status?.pausing) return;
  if (running()) {
    await trying(() => post(`/api/projects/${state.project.id}/pause`));
    return;
  }
  await saved(); // what was painted last belongs to it
  const direction = directions.find((one) => one.checked).value;
  state.watch = element("watch").checked = true;
  await trying(() => post(`/api/projects/${state.project.id}/follow`, { direction }));
}

function duration(seconds) {
  const all = Math.ceil(seconds); // rounded first: 59.7 s are no "0 min 60 s"
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${all % 60} s`;
  return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
}

function show() {
  const { status } = state;
  if (!status || !state.project) return;
  const [shape, word] = running() ? ["pause", "Pause"] : ["play", "Follow"];
  button.querySelector("use").setAttribute("href", `#i-${shape}`);
  button.querySelector("span").textContent = word;
  const given = givenFrames().length;
  button.disabled = running() ? status.pausing : !given;
  const fresh = status.fresh.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const total = Math.max(status.total, fresh);
  element("progress").value = total ? fresh / total : 0;
  const text = element("progress-text");
  text.classList.toggle("bad", status.state === "failed");
  text.textContent = words(status, fresh, total, given);
}

function words(status, fresh, total, given) {
  if (status.pausing) return "Pausing after the frame in progress…";
  switch (status.state) {
    case "starting":
      return "Preparing the network for this size of frame…";
    case "following": {
      if (status.pass === "backward" && status.direction === "both") {
        const wait = status.left === null ? "" : `, ${duration(status.left)} left in all`;
        return `Backward pass, to be mixed with the forward one: ${status.rate.toFixed(1)} frames/s${wait}`;
      }
      if (status.left === null) return `${fresh} of ${total} frames · preparing the network…`;
      return `${fresh} of ${total} frames · ${status.rate.toFixed(1)} frames/s · ${duration(status.left)} left`;
    }
    case "failed":
      return status.message;
  }
  if (!given) return "Paint an object in any frame first.";
  if (total && fresh === total) {
    const doubts = Object.values(state.project.results).filter((one) => one.lost.some(Boolean));
    const hint = doubts.length ? `; ${doubts.length} ${doubts.length > 1 ? "are" : "is"} doubtful (G)` : "";
    return `All ${total} frames are up to date${hint}.`;
  }
  const begun = Object.keys(state.project.results).length > 0;
  if (total && begun) return `${fresh} of ${total} frames are up to date.`;
  return "Ready to follow what is painted.";
}

function showFrame() {
  if (!state.project) return;
  const { frame, project } = state;
  const parts = [];
  const [shown, absent] = project.given[frame] ?? [[], []];
  const names = (ids) =>
    ids.map((id) => project.objects.find((one) => one.id === id)?.name ?? id).join(", ");
  if (shown.length) parts.push(`Painted: ${names(shown)}.`);
  if (absent.length) parts.push(`Not here: ${names(absent)}.`);
  const result = project.results[frame];
  if (result) {
    const told = [...shown, ...absent];
    const lost = result.objects.filter((id, k) => result.lost[k] && !told.includes(id));
    if (lost.length) parts.push(`Probably lost: ${names(lost)}.`);
    const fresh = state.status?.fresh.some(([a, b]) => a <= frame && frame <= b);
    if (!fresh && !project.given[frame]) parts.push("Older than the latest painting: follow again.");
    if (!parts.length) {
      const lowest = Math.min(...result.scores);
      parts.push(Number.isFinite(lowest)
        ? `Followed; confidence ${Math.round(100 * lowest)} %.` : "Followed; no object here.");
    }
  } else if (!parts.length) {
    parts.push("Not followed yet.");
  }
  element("frame-state").textContent = parts.join(" ");
  element("clear-frame").disabled = !project.given[frame];
}

/** Goes to the next frame in which an object is probably lost. */
export function nextDoubt() {
  const doubtful = Object.entries(state.project.results)
    .filter(([frame, result]) => result.lost.some(Boolean) && !state.project.given[frame])
    .map(([frame]) => Number(frame)).sort((a, b) => a - b);
  if (!doubtful.length) return say("No frame is doubtful.");
  // Of a run of doubtful frames, the first is the one to correct.
  const first = doubtful.filter((frame, k) => doubtful[k - 1] !== frame - 1);
  stopWatching();
  go(first.find((frame) => frame > state.frame) ?? first[0]);
}

/** Goes to the next (or previous) frame with something painted. */
export function nextGiven(direction) {
  const frames = givenFrames();
  const found = direction > 0
    ? frames.find((frame) => frame > state.frame) : frames.findLast((frame) => frame < state.frame);
  if (found === undefined) return say("Nothing is painted there.");
  stopWatching();
  go(found);
}

function select(direction) {
  for (const one of directions) one.checked = one.value === direction;
}

/** Until the user chooses, what is painted first tells where there is to go. */
function suggest() {
  const frames = givenFrames();
  const begun = Object.keys(state.project.results).length > 0;
  if (!chosen && !begun && frames.length) select(frames[0] > 0 ? "both" : "forward");
}

export function stopWatching() {
  state.watch = false;
  changed("watch");
}

button.addEventListener("click", toggle);
element("doubt").addEventListener("click", nextDoubt);
element("clear-frame").addEventListener("click", () => discard());
element("watch").addEventListener("change", (event) => {
  state.watch = event.target.checked;
});
on("watch", () => (element("watch").checked = state.watch));
on("status", () => { show(); showFrame(); });
for (const one of directions) one.addEventListener("change", () => (chosen = true));
on("given", () => { suggest(); show(); showFrame(); });
on("results", showFrame);
on("frame", showFrame);
on("objects", showFrame);
on("project", () => {
  chosen = false;
  select(state.status.direction);
  suggest();
  show();
  showFrame();
});
