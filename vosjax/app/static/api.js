// Requests to the server, and its messages.

/** An answer that says why a request was refused; `status` 0 means no server. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function request(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers, credentials: "same-origin" });
  } catch {
    throw new Refused("The server does not answer.", 0);
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text.trim();
  try {
    message = JSON.parse(text).error ?? message;
  } catch { /* not every refusal is JSON */ }
  throw new Refused(message || `The server answered ${answer.status}.`, answer.status);
}

export const getJson = async (path) => (await request("GET", path)).json();
export const getBlob = async (path) => (await request("GET", path)).blob();
export const getBytes = async (path) =>
  new Uint8Array(await (await request("GET", path)).arrayBuffer());
export const put = (path, body) => request("PUT", path, body);
export const putJson = async (path, value) =>
  (await request("PUT", path, JSON.stringify(value), { "Content-Type": "application/json" })).json();
export const deleteJson = async (path) => (await request("DELETE", path)).json();
export const post = async (path, value = {}) =>
  (await request("POST", path, JSON.stringify(value), { "Content-Type": "application/json" })).json();
/** Bytes of an answer, and the note that came with it. */
export async function postFile(path, body) {
  const answer = await request("POST", path, body);
  const note = decodeURIComponent(answer.headers.get("X-Note") ?? "");
  return { bytes: new Uint8Array(await answer.arrayBuffer()), note };
}
export const postForBytes = async (path, value) =>
  new Uint8Array(await (await request("POST", path, JSON.stringify(value))).arrayBuffer());

const RETRY_MS = 700;

/**
 * Listens to a project until `close()` is called, across restarts of the server.
 * `onState` is told "open", "away" (no server) or "stranger" (a server with another
 * token).
 */
export function listen(project, onMessage, onState) {
  let socket;
  let closed = false;
  const url = `${location.origin.replace(/^http/, "ws")}/api/projects/${project}/live`;
  function connect() {
    if (closed) return;
    socket = new WebSocket(url);
    socket.onopen = () => onState("open");
    socket.onmessage = (event) => onMessage(JSON.parse(event.data));
    socket.onclose = async () => {
      if (closed) return;
      let state = "away";
      try {
        await getJson("/api/state");
      } catch (error) {
        if (error.status === 403) state = "stranger";
      }
      onState(state);
      setTimeout(connect, RETRY_MS);
    };
  }
  connect();
  return {
    close() {
      closed = true;
      socket.close();
    },
  };
}
