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
  const text = await read(answer, "text");
  let message = text.trim();
  try {
    message = JSON.parse(text).error ?? message;
  } catch { /* not every refusal is JSON */ }
  throw new Refused(message || `The server answered ${answer.status}.`, answer.status);
}

/** The body of an answer, which may break off. */
async function read(answer, kind) {
  try {
    return await answer[kind]();
  } catch {
    throw new Refused("The server does not answer.", 0);
  }
}

export const getJson = async (path) => read(await request("GET", path), "json");
export const getBlob = async (path) => read(await request("GET", path), "blob");
export const getBytes = async (path) =>
  new Uint8Array(await read(await request("GET", path), "arrayBuffer"));
export const put = (path, body) => request("PUT", path, body);
export const putJson = async (path, value) =>
  read(await request("PUT", path, JSON.stringify(value), { "Content-Type": "application/json" }), "json");
export const deleteJson = async (path) => read(await request("DELETE", path), "json");
export const post = async (path, value = {}) =>
  read(await request("POST", path, JSON.stringify(value), { "Content-Type": "application/json" }), "json");
/** Bytes of an answer, and the note that came with it. */
export async function postFile(path, body) {
  const answer = await request("POST", path, body);
  const note = decodeURIComponent(answer.headers.get("X-Note") ?? "");
  return { bytes: new Uint8Array(await read(answer, "arrayBuffer")), note };
}
export const postForBytes = async (path, value) =>
  new Uint8Array(await read(await request("POST", path, JSON.stringify(value)), "arrayBuffer"));

export const RETRY_MS = 800;

/** Whether a request may succeed later: the server is away, or its disk is full. */
export const isForNow = ({ status }) => status === 0 || status === 403 || status >= 500;

export const pause = () => new Promise((resolve) => setTimeout(resolve, RETRY_MS));

/**
 * Listens to a project until `close()` is called, across restarts of the server.
 * `onState` is told "open", "away" (no server), "stranger" (a server with another
 * token), or "closed" and why the server cannot open the project.
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
      try {
        await getJson(`/api/projects/${project}`);
      } catch (error) {
        if (closed) return;
        onState({ 0: "away", 403: "stranger" }[error.status] ?? "closed", error.message);
      }
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
