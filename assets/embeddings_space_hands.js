
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
