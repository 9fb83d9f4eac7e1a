// The list of conversations beside the chat. Gradio runs this once, with `element`, `props`, `trigger` and `watch`;
// `props.value` is what this tab shows (ui/shown.py). What people wrote only ever becomes text nodes and attributes.
const panel = element.querySelector(".ray-history");
const part = (name) => panel.querySelector(`.ray-history-${name}`);
const make = (tag, name = "", text = "") => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  return node;
};
const button = (name, text, label, act) => {
  const node = make("button", name, text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  if (act) node.addEventListener("click", act);
  return node;
};
const say = (text) => { part("status").textContent = text; };
const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// ---- the REST door --------------------------------------------------------------------------------
const call = async (method, path, body) => {
  const sent = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
  const response = await fetch(`${props.door}${path}`, { method, body: sent });
  if (response.ok) return response;
  let reason = `Raydio answered with ${response.status}.`;
  try { reason = (await response.json()).error.message; } catch { /* not ours: a proxy's page */ }
  throw new Error(reason);
};
// An error is said where the list says things; what was asked for is then null.
const tried = async (work) => {
  try {
    return await work();
  } catch (error) {
    say(error instanceof TypeError ? "Raydio does not answer." : error.message);
    return null;
  }
};
const path_of = (id) => `/conversations/${encodeURIComponent(id)}`;
const change = (id, values) => tried(() => call("PATCH", path_of(id), values));
const named = (response) => {
  const written = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("content-disposition") ?? "");
  return written ? decodeURIComponent(written[1]) : "conversations";
};
const download = (path) => tried(async () => {
  const response = await call("GET", path);
  const link = make("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = named(response);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(`Saved ${link.download}.`);
  return link.download;
});
const exported = (ids, format) =>
  download(`/conversations/export?format=${format}&ids=${ids.map(encodeURIComponent).join(",")}`);
