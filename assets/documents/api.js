// The REST door of documents, by relative address: the same behind any host and prefix.
const V1 = "../../v1/";
class Refused extends Error {
  constructor(message, code) { super(message); this.code = code; }
}
const refusal = (text, status) => {
  try {
    const { error } = JSON.parse(text);
    return new Refused(error.message, error.code);
  } catch { return new Refused(status ? `The server answered with ${status}.` : "Raydio does not answer.", "unreachable"); }
};
const call = async (method, path, body) => {
  const options = { method, headers: { accept: "application/json" } };
  if (body) Object.assign(options, { body: JSON.stringify(body), headers: { ...options.headers, "content-type": "application/json" } });
  const answer = await fetch(V1 + path, options).catch(() => { throw refusal("", 0); });
  const text = await answer.text();
  if (!answer.ok) throw refusal(text, answer.status);
  return text ? JSON.parse(text) : {};
};
const data_of = (answer) => answer.data ?? answer;

const api = {
  collections: async () => data_of(await call("GET", "collections")),
  create: (name) => call("POST", "collections", { name }),
  change: (id, change) => call("PATCH", `collections/${encodeURIComponent(id)}`, change),
  drop: (id) => call("DELETE", `collections/${encodeURIComponent(id)}`),
  documents: async (id) => data_of(await call("GET", `collections/${encodeURIComponent(id)}/documents`)),
  tag: (id, tags) => call("PATCH", `documents/${encodeURIComponent(id)}`, { tags }),
  remove: (id) => call("DELETE", `documents/${encodeURIComponent(id)}`),
};

// A POST whose answer is a stream of events. XMLHttpRequest, because it tells how much was sent, too.
const stream = (path, body, { on_sent = () => {}, on_event }) => {
  const request = new XMLHttpRequest();
  let read = 0;
  const take = (whole) => {
    const text = request.responseText;
    const end = whole ? text.length : text.lastIndexOf("\n") + 1;
    for (const line of text.slice(read, end).split("\n")) {
      const json = line.replace(/^data:\s?/, "").trim();
      if (json.startsWith("{")) on_event(JSON.parse(json));
    }
    read = Math.max(read, end);
  };
  const done = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", ({ loaded, total }) => on_sent(total ? loaded / total : 0));
    request.upload.addEventListener("load", () => on_sent(1));
    request.addEventListener("progress", () => { if (request.status === 200) take(false); });
    request.addEventListener("load", () => {
      if (request.status !== 200) { reject(refusal(request.responseText, request.status)); return; }
      take(true);
      resolve();
    });
    request.addEventListener("error", () => reject(refusal("", 0)));
    request.addEventListener("abort", () => reject(new Refused("Cancelled.", "cancelled")));
  });
  request.open("POST", V1 + path);
  request.setRequestHeader("accept", "text/event-stream");
  request.send(body);
  return { done, cancel: () => request.abort() };
};
