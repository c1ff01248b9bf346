// Following: the panel, its figures, and what is known of the frame on the page.

import { post } from "./api.js";
import { go } from "./frames.js";
import { discard, saved } from "./paint.js";
import { changed, element, givenFrames, named, on, say, state, trying } from "./state.js";

const button = element("follow");
let chosen = false; // whether the user has chosen a direction
let stayed = false; // whether the page has stayed behind because the user chose a frame
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
  if (stayed) state.watch = true;
  stayed = false;
  changed("watch");
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
  showDirections();
  element("doubt").disabled = !doubtfulFrames().length;
  const fresh = status.fresh.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const total = Math.max(status.total, fresh);
  const { steps, steps_left: left } = status;
  const part = running() && steps ? 1 - left / steps : fresh / (total || 1);
  element("progress").value = part;
  const text = element("progress-text");
  text.classList.toggle("bad", status.state === "failed");
  text.textContent = words(status, fresh, total, given);
}

function words(status, fresh, total, given) {
  if (status.pausing) return "Pausing after the frame in progress…";
  switch (status.state) {
    case "starting":
      return "Getting ready; the first time with a video takes longest…";
    case "following": {
      const { steps, steps_left: left, rate, pass } = status;
      const way = pass === "backward" ? "First backward" : "Now forward";
      const counted = steps > total
        ? `${way}: ${steps - left} of ${steps} frames, both ways` : `${fresh} of ${total} frames`;
      if (status.left === null) return counted;
      const speed = rate < 1 ? `${(1 / rate).toFixed(1)} s a frame` : `${rate.toFixed(1)} frames/s`;
      return `${counted} · ${speed} · about ${duration(status.left)} left`;
    }
    case "failed":
      return status.message;
  }
  if (!given) return "Paint an object in any frame first.";
  if (total && fresh === total) {
    const doubts = doubtfulFrames().length;
    const hint = doubts ? `; ${doubts} ${doubts > 1 ? "are" : "is"} doubtful (G)` : "";
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
  const names = (ids) => ids.map(named).join(", ");
  if (shown.length) parts.push(`Painted: ${names(shown)}.`);
  if (absent.length) parts.push(`Not here: ${names(absent)}.`);
  const result = project.results[frame];
  if (result) {
    const told = [...shown, ...absent];
    const lost = result.objects.filter((id, k) => result.lost[k] && !told.includes(id));
    if (lost.length) parts.push(`Probably lost: ${names(lost)}.`);
    const fresh = state.status?.fresh.some(([a, b]) => a <= frame && frame <= b);
    if (!fresh && !project.given[frame]) {
      parts.push(running()
        ? "This mask is older than the latest painting; it is replaced when following has come here."
        : "Older than the latest painting: follow again.");
    }
    if (!parts.length) {
      const least = result.objects.map((id, k) => [result.scores[k], id])
        .sort(([a], [b]) => a - b).slice(0, 3)
        .map(([score, id]) => `${named(id)} ${Math.round(100 * score)}\u00a0%`);
      parts.push(least.length ? `Followed; sure of ${least.join(", ")}.` : "Followed; no object here.");
    }
  } else if (!parts.length) {
    parts.push(running() && state.status.pass === "backward" && state.status.direction === "both"
      ? "The mask comes on the way forward." : "Not followed yet.");
  }
  element("frame-state").textContent = parts.join(" ");
  element("clear-frame").disabled = !project.given[frame];
}

/** Frames in which an object is probably lost and nothing is painted, in order. */
export const doubtfulFrames = () => Object.entries(state.project.results)
  .filter(([frame, result]) => result.lost.some(Boolean) && !state.project.given[frame])
  .map(([frame]) => Number(frame)).sort((a, b) => a - b);

/** Goes to the next doubtful frame. */
export function nextDoubt() {
  const doubtful = doubtfulFrames();
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

/** Says from where to where each direction goes. */
function showDirections() {
  const frames = givenFrames().filter((frame) => state.project.given[frame][0].length);
  const [first, last, end] = [frames[0], frames.at(-1), state.project.frames - 1];
  const painted = first === last ? `frame ${first}` : `frames ${first} to ${last}`;
  const texts = {
    backward: `From frame ${last} back to frame 0`,
    both: `From ${painted} to both ends`,
    forward: `From frame ${first} on to frame ${end}`,
  };
  const more = first === last ? "" : "; between painted frames, what comes from both sides is mixed";
  for (const one of directions) {
    const text = frames.length ? texts[one.value] : "Paint an object first";
    one.parentElement.title = `${text}${one.value === "both" ? more : ""}.`;
    if (one.checked) element("direction-text").textContent = frames.length ? `${text}.` : "";
  }
}

/** The page stays at the frame that the user has chosen, whatever is followed. */
export function stopWatching() {
  if (!running() || !state.watch) return;
  stayed = true;
  state.watch = false;
  changed("watch");
  say("The page stays at your frame. Following goes on; tick “Show frames as they come” to go along.");
}

button.addEventListener("click", toggle);
element("doubt").addEventListener("click", nextDoubt);
element("clear-frame").addEventListener("click", () => discard());
element("watch").addEventListener("change", (event) => {
  state.watch = event.target.checked;
  stayed = false;
});
on("stay", stopWatching);
on("watch", () => (element("watch").checked = state.watch));
on("status", () => { show(); showFrame(); });
for (const one of directions) {
  one.addEventListener("change", () => {
    chosen = true;
    showDirections();
  });
}
on("given", () => { suggest(); show(); showFrame(); });
on("results", () => { show(); showFrame(); });
on("frame", showFrame);
on("objects", showFrame);
on("project", () => {
  chosen = false;
  select(state.status.direction);
  suggest();
  show();
  showFrame();
});
