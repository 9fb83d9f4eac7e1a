// The map of a collection: every passage a point. Thousands of points stay on one canvas, what is pointed at is drawn
// on another above it, and a grid finds what is under the pointer. Texts only ever become text nodes or canvas text.
const find = (what) => element.querySelector(what);
const figure = find("figure"), stage = find(".ray-space-stage"), tip = find(".ray-tip"), spoken = find("div[aria-live]");
const [base, over] = element.querySelectorAll("canvas");
const [below, above] = [base.getContext("2d"), over.getContext("2d")];
const COLOURS = {
  light: ["#0e7a72", "#c2571a", "#4a5fc1", "#a8326f", "#5e7d12", "#8a5a00", "#1780b5", "#7a4fb5", "#b5474a", "#3c6b52"],
  dark: ["#4fc9bb", "#f2995c", "#93a6ff", "#ee85b9", "#aacd55", "#e0b94c", "#6cc4f0", "#c3a1f5", "#f29496", "#8fc9a8"],
};
const MARGIN = 26, NEAR = 12, CELL = 24, MOST_ZOOM = 60, LISTED = 60, ROWS = 100, NEAREST = 5;
let data = null, n = 0, view = { zoom: 1, x: 0, y: 0 }, at = -1, places = new Float32Array(0), grid = new Map();
let hidden = new Set(), ranks = [], hits = [], byKey = new Map(), matches = [], match = -1;

const isDark = () => document.body.classList.contains("dark");
const ink = (name) => getComputedStyle(element).getPropertyValue(name).trim();
const hue = (of) => (ranks[of] < 10 ? COLOURS[isDark() ? "dark" : "light"][ranks[of]] : ink("--ray-off") || "#8a9295");
const key = (i) => `${data.documents[data.of[i]].id}:${data.indices[i]}`;
const visible = (i) => !hidden.has(data.of[i]);
const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1).trimEnd()}…` : text);
const send = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
const made = (kind, text, attributes = {}) => {
  const node = document.createElement(kind);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

// ---- drawing ---------------------------------------------------------------------------------------
const fit = (canvas, context) => {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(stage.clientWidth * ratio); canvas.height = Math.round(stage.clientHeight * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
};
const place = () => {
  const [width, height] = [stage.clientWidth, stage.clientHeight], { box } = data;
  const wide = (width - 2 * MARGIN) / (box.right - box.left || 1), high = (height - 2 * MARGIN) / (box.high - box.low || 1);
  places = new Float32Array(2 * n); grid = new Map();
  for (let i = 0; i < n; i += 1) {
    const x = width / 2 + (data.xy[2 * i] - (box.left + box.right) / 2) * wide * view.zoom + view.x;
    const y = height / 2 - (data.xy[2 * i + 1] - (box.low + box.high) / 2) * high * view.zoom + view.y;
    places[2 * i] = x; places[2 * i + 1] = y;
    if (!visible(i) || x < -CELL || y < -CELL || x > width + CELL || y > height + CELL) continue;
    const cell = Math.floor(x / CELL) * 4096 + Math.floor(y / CELL);
    if (grid.has(cell)) grid.get(cell).push(i); else grid.set(cell, [i]);
  }
};
const size = () => (n <= 200 ? 4.5 : n <= 1500 ? 3.2 : 2.2) * Math.min(1.7, Math.sqrt(Math.sqrt(view.zoom)));
const write = (context, text, x, y) => {
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
};
const pen = (context, weight) => {
  context.font = `${weight} 12px ${ink("--font") || "sans-serif"}`;
  context.lineJoin = "round"; context.lineWidth = 4; context.textAlign = "center";
  context.strokeStyle = ink("--block-background-fill"); context.fillStyle = ink("--body-text-color");
};
const nameClusters = () => {
  pen(below, "600");
  const taken = [];
  data.clusters.forEach((text, label) => {
    const centre = data.centres[label];
    if (!text || !centre || !visible(centre)) return;
    const wide = below.measureText(text).width;
    const x = Math.max(wide / 2 + 4, Math.min(stage.clientWidth - wide / 2 - 4, places[2 * centre])), y = places[2 * centre + 1];
    const spot = { left: x - wide / 2, right: x + wide / 2, top: y - 12, bottom: y + 4 };
    const clash = taken.some((t) => spot.left < t.right && t.left < spot.right && spot.top < t.bottom && t.top < spot.bottom);
    if (clash || y < 0 || y > stage.clientHeight) return;
    taken.push(spot);
    write(below, text, x, y);
  });
};
const drawPoints = () => {
  if (!data || !stage.clientWidth) return;
  fit(base, below); place();
  const radius = size();
  below.globalAlpha = n <= 1500 ? 0.8 : 0.6;
  const colours = data.documents.map((_, of) => hue(of));
  for (const cell of grid.values()) for (const i of cell) {
    below.fillStyle = colours[data.of[i]];
    below.beginPath();
    below.arc(places[2 * i], places[2 * i + 1], radius, 0, 2 * Math.PI);
    below.fill();
  }
  below.globalAlpha = 1;
  nameClusters();
  drawOver();
};
const ring = (i, radius, wide) => {
  above.beginPath();
  above.arc(places[2 * i], places[2 * i + 1], radius, 0, 2 * Math.PI);
  above.strokeStyle = ink("--body-text-color"); above.lineWidth = wide;
  above.stroke();
};
// The query has no place of its own in the plane: it stands among the passages nearest to it.
const drawQuery = () => {
  const near = hits.filter(([i, cosine]) => cosine > 0 && visible(i)).sort((a, b) => b[1] - a[1]).slice(0, NEAREST);
  const total = near.reduce((sum, [, cosine]) => sum + cosine, 0);
  if (!total) return;
  const mean = (axis) => near.reduce((sum, [i, cosine]) => sum + places[2 * i + axis] * cosine, 0) / total;
  const [x, y] = [mean(0), mean(1)];
  above.strokeStyle = ink("--body-text-color"); above.lineWidth = 1; above.setLineDash([3, 3]);
  for (const [i] of near) { above.beginPath(); above.moveTo(x, y); above.lineTo(places[2 * i], places[2 * i + 1]); above.stroke(); }
  above.setLineDash([]);
  above.fillStyle = ink("--body-text-color");
  above.save(); above.translate(x, y); above.rotate(Math.PI / 4); above.fillRect(-5, -5, 10, 10); above.restore();
  pen(above, "600");
  write(above, short(data.query ?? "query", 40), x, y - 12);
};
const drawOver = () => {
  if (!data) return;
  fit(over, above);
  const radius = size();
  for (const i of matches) if (visible(i)) ring(i, radius + 2, 1);
  for (const [i] of hits) if (visible(i)) ring(i, radius + 3, 1.75);
  if (hits.length) drawQuery();
  if (at < 0) return;
  ring(at, radius + 4, 2.5);
};
let frame = 0;
const redraw = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(drawPoints); };

// ---- pointing ---------------------------------------------------------------------------------------
const where = (i) => `${data.documents[data.of[i]].name}, p. ${data.pages[i]}`;
const showTip = (i) => {
  const label = data.labels.length && data.labels[i] >= 0 ? data.clusters[data.labels[i]] : "";
  tip.replaceChildren(made("div", data.texts[i], { dir: "auto" }), made("small", [where(i), label].filter(Boolean).join(" · ")));
  tip.hidden = false;
  const [x, y] = [places[2 * i], places[2 * i + 1]], high = y - tip.offsetHeight - 14;
  tip.style.left = `${Math.max(4, Math.min(x - tip.offsetWidth / 2, stage.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${high > 4 ? high : y + 16}px`;
};
const point = (i, { aloud = false, tell = true } = {}) => {
  if (!data || i === at) return;
  at = i;
  over.dataset.at = i < 0 ? "" : key(i);
  if (i < 0) tip.hidden = true; else showTip(i);
  if (aloud && i >= 0) spoken.textContent = `${data.texts[i]}, ${where(i)}`;
  if (tell) send("raydio:passage", { key: i < 0 ? "" : key(i), from: "map" });
  drawOver();
};
const under = (event) => {
  const box = over.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, least = NEAR * NEAR;
  for (let cx = Math.floor(x / CELL) - 1; cx <= Math.floor(x / CELL) + 1; cx += 1) {
    for (let cy = Math.floor(y / CELL) - 1; cy <= Math.floor(y / CELL) + 1; cy += 1) {
      for (const i of grid.get(cx * 4096 + cy) ?? []) {
        const far = (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2;
        if (far <= least) [best, least] = [i, far];
      }
    }
  }
  return best;
};
const STEPS = {
  ArrowRight: (dx, dy) => dx > 0 && Math.abs(dy) <= dx, ArrowLeft: (dx, dy) => dx < 0 && Math.abs(dy) <= -dx,
  ArrowDown: (dx, dy) => dy > 0 && Math.abs(dx) <= dy, ArrowUp: (dx, dy) => dy < 0 && Math.abs(dx) <= -dy,
};
const beside = (goes) => {
  let best = -1, least = Infinity;
  for (let i = 0; i < n; i += 1) {
    const dx = places[2 * i] - places[2 * at], dy = places[2 * i + 1] - places[2 * at + 1], far = dx * dx + dy * dy;
    if (i !== at && visible(i) && far < least && goes(dx, dy)) [best, least] = [i, far];
  }
  return best;
};
const why = (i) => send("raydio:why", { document: data.documents[data.of[i]].id, index: data.indices[i] });
const compare = (i) => send("raydio:compare", {
  key: key(i), document: data.documents[data.of[i]].id, index: data.indices[i], name: data.documents[data.of[i]].name, text: data.texts[i],
});
over.addEventListener("keydown", (event) => {
  if (!data) return;
  if (STEPS[event.key]) {
    event.preventDefault();
    const to = at < 0 ? (hits[0]?.[0] ?? 0) : beside(STEPS[event.key]);
    if (to >= 0) point(to, { aloud: true });
  } else if (event.key === "Enter" && at >= 0) {
    event.preventDefault();  // the dialog takes the focus, and the rest of this press would close it
    why(at);
  } else if (event.key.toLowerCase() === "c" && at >= 0 && !event.ctrlKey && !event.metaKey) compare(at);
  else if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") all();
  else if (event.key === "Escape") point(-1);
});
over.addEventListener("blur", () => point(-1));

// ---- moving -----------------------------------------------------------------------------------------
const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
  const to = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor)), by = to / view.zoom;
  const [cx, cy] = [x - stage.clientWidth / 2, y - stage.clientHeight / 2];
  view = to === 1 ? { zoom: 1, x: 0, y: 0 } : { zoom: to, x: cx - (cx - view.x) * by, y: cy - (cy - view.y) * by };
  over.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
  point(-1);
  redraw();
};
const all = () => { view = { zoom: 1, x: 0, y: 0 }; zoom(1); };
let held = null, dragged = false;
over.addEventListener("pointerdown", (event) => {
  held = { x: event.clientX, y: event.clientY }; dragged = false;
  if (view.zoom > 1) over.setPointerCapture(event.pointerId);
  if (event.pointerType !== "mouse") point(under(event));
});
over.addEventListener("pointermove", (event) => {
  if (!data) return;
  if (held && event.buttons && view.zoom > 1) {
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    dragged = dragged || Math.abs(dx) + Math.abs(dy) > 3;
    view = { ...view, x: view.x + dx, y: view.y + dy };
    held = { x: event.clientX, y: event.clientY };
    point(-1);
    redraw();
  } else if (event.pointerType === "mouse") point(under(event));
});
over.addEventListener("pointerup", (event) => {
  const still = held && !dragged;
  held = null;
  const i = data && still && event.pointerType === "mouse" ? under(event) : -1;
  if (i >= 0) (event.shiftKey ? compare : why)(i);
});
over.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(-1); });
over.addEventListener("wheel", (event) => {
  // Without a modifier the wheel scrolls the page: a chart must not trap it.
  if (!data || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
}, { passive: false });
find(".ray-chart-tools").addEventListener("click", (event) => {
  const what = event.target.closest("button")?.dataset.do;
  if (what === "in") zoom(1.6); else if (what === "out") zoom(1 / 1.6); else if (what === "all") all();
});

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
  figure.dataset.points = String(n); figure.dataset.refined = String(data.clusters.length > 0);
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
document.addEventListener("raydio:passage", ({ detail }) => {
  if (data && detail.from !== "map") point(byKey.get(detail.key) ?? -1, { tell: false });
});
new ResizeObserver(redraw).observe(stage);
new MutationObserver(() => { if (data) list(); redraw(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", () => load(props.value));
load(props.value);
