
// ---- finding, filtering, the same as a table --------------------------------------------------------
const search = find("input"), counted = find("output");
const goTo = (i) => {
  if (i < 0) return;
  if (view.zoom > 1) {
    view = { ...view, x: view.x + stage.clientWidth / 2 - places[2 * i], y: view.y + stage.clientHeight / 2 - places[2 * i + 1] };
    drawPoints();
  }
  at = -1;
  point(i, { aloud: true });
};
const seek = () => {
  const wanted = search.value.trim().toLowerCase();
  matches = wanted && data ? [...data.texts.keys()].filter((i) => visible(i) && data.texts[i].toLowerCase().includes(wanted)) : [];
  match = -1;
  counted.textContent = wanted ? `${matches.length.toLocaleString()} found` : "";
  drawOver();
};
search.addEventListener("input", seek);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !matches.length) return;
  event.preventDefault();
  match = (match + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
  counted.textContent = `${match + 1} of ${matches.length.toLocaleString()}`;
  goTo(matches[match]);
});
const legend = find(".ray-legend");
const dot = (of) => { const made = document.createElement("i"); made.style.background = hue(of); return made; };
const list = () => {
  const counts = data.documents.map((_, of) => of);
  counts.sort((a, b) => ranks[a] - ranks[b]);
  const buttons = counts.slice(0, LISTED).map((of) => {
    const button = made("button", "", { type: "button", "aria-pressed": String(!hidden.has(of)), "data-of": String(of) });
    button.append(dot(of), made("span", short(data.documents[of].name, 40), { dir: "auto" }), made("small", data.sizes[of].toLocaleString()));
    return button;
  });
  if (counts.length > LISTED) buttons.push(made("small", `and ${counts.length - LISTED} more documents`));
  if (counts.length > 1) buttons.unshift(made("button", hidden.size ? "Show all" : "Hide all", { type: "button", "data-of": "all" }));
  legend.replaceChildren(...buttons);
};
legend.addEventListener("click", (event) => {
  const of = event.target.closest("button")?.dataset.of;
  if (of === undefined) return;
  if (of === "all") hidden = hidden.size ? new Set() : new Set(data.documents.keys());
  else if (!hidden.delete(Number(of))) hidden.add(Number(of));
  list(); point(-1); seek(); redraw();
  if (table.open) tabulate();
  legend.querySelector(`[data-of="${of}"]`)?.focus();
});
const table = find(".ray-space-table");
const tabulate = (shown = ROWS) => {
  const rows = [...data.of.keys()].filter(visible), grown = document.createElement("table"), head = grown.createTHead().insertRow();
  head.append(...["Passage", "Document", "Page", "Cluster"].map((text) => made("th", text, { scope: "col" })));
  const body = grown.createTBody();
  for (const i of rows.slice(0, shown)) {
    const cluster = data.labels.length && data.labels[i] >= 0 ? data.clusters[data.labels[i]] : "";
    body.insertRow().append(
      made("td", data.texts[i], { dir: "auto" }), made("td", data.documents[data.of[i]].name, { dir: "auto" }),
      made("td", String(data.pages[i])), made("td", cluster));
  }
  const more = made("button", `Show ${ROWS} more of ${rows.length.toLocaleString()}`, { type: "button" });
  more.hidden = rows.length <= shown;
  more.addEventListener("click", () => tabulate(shown + ROWS));
  table.lastElementChild.replaceChildren(grown, more);
};
table.addEventListener("toggle", () => { if (table.open && data) tabulate(); });

// ---- data -------------------------------------------------------------------------------------------
const unpack = (text) => new Int32Array(Uint8Array.from(atob(text ?? ""), (letter) => letter.charCodeAt(0)).buffer);
const bounds = (xy) => {
  const box = { left: Infinity, right: -Infinity, low: Infinity, high: -Infinity };
  for (let i = 0; i < xy.length; i += 2) {
    box.left = Math.min(box.left, xy[i]); box.right = Math.max(box.right, xy[i]);
    box.low = Math.min(box.low, xy[i + 1]); box.high = Math.max(box.high, xy[i + 1]);
  }
  return box;
};
// A cluster is named at the point nearest to its middle.
const centres = (xy, labels, count) => {
  const sums = Array.from({ length: count }, () => [0, 0, 0]), best = new Array(count), least = new Array(count).fill(Infinity);
  labels.forEach((label, i) => { if (label >= 0) { sums[label][0] += xy[2 * i]; sums[label][1] += xy[2 * i + 1]; sums[label][2] += 1; } });
  labels.forEach((label, i) => {
    if (label < 0) return;
    const [x, y, total] = sums[label], far = (xy[2 * i] - x / total) ** 2 + (xy[2 * i + 1] - y / total) ** 2;
    if (far < least[label]) [best[label], least[label]] = [i, far];
  });
  return best;
};
const caption = () => {
  const some = n < data.n_passages ? `${n.toLocaleString()} of ${data.n_passages.toLocaleString()} passages` : `${n.toLocaleString()} passages`;
  const named = data.clusters.filter(Boolean).length;
  find("figcaption").textContent = `${some}${named ? `, ${named} clusters named by their words` : ""}. `
    + "Click a point to see why it was found, Shift and click to compare it. Drag and zoom to look closer.";
  over.setAttribute("aria-label", `Map of ${some} of ${data.documents.length} documents. Arrow keys go from passage to passage, `
    + "Enter says why it was found, C compares it. The table below holds the same.");
};
const load = (value) => {
  if (!value?.texts) return;
  const [xy, of, labels] = [unpack(value.xy), unpack(value.of), unpack(value.labels)];
  const same = data && n === value.texts.length && data.documents.length === value.documents.length;
  data = { ...value, xy, of, labels, indices: unpack(value.indices), pages: unpack(value.pages), box: bounds(xy), query: data?.query };
  n = value.texts.length;
  data.sizes = new Array(data.documents.length).fill(0);
  for (const each of of) data.sizes[each] += 1;
  ranks = []; [...data.sizes.keys()].sort((a, b) => data.sizes[b] - data.sizes[a]).forEach((each, rank) => { ranks[each] = rank; });
  data.centres = centres(xy, labels, data.clusters.length);
  byKey = new Map([...of.keys()].map((i) => [key(i), i]));
  if (!same) hidden = new Set();
  at = -1; view = { zoom: 1, x: 0, y: 0 }; tip.hidden = true; figure.hidden = false;
  figure.dataset.points = String(n); figure.dataset.refined = String(data.refined);
  list(); caption(); seek(); redraw();
  if (table.open) tabulate();
  send("raydio:spread", {});
};
document.addEventListener("raydio:found", ({ detail }) => {
  if (!data) return;
  hits = detail.hits.filter(([name]) => byKey.has(name)).map(([name, cosine]) => [byKey.get(name), cosine]);
  data.query = detail.query;
  drawOver();
});
let pointed = -1;
document.addEventListener("raydio:passage", ({ detail }) => {
  if (!data || detail.from === "map") return;
  const to = byKey.get(detail.key) ?? -1;
  // Who leaves the columns leaves what they pointed at, not what the keyboard has found since.
  if (to >= 0 || at === pointed) point(to, { tell: false });
  pointed = to;
});
new ResizeObserver(redraw).observe(stage);
new MutationObserver(() => { if (data) list(); redraw(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", () => load(props.value));
load(props.value);
