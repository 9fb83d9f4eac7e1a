// The playground's columns: a passage is lit wherever it is, its moves are drawn, and it can say why it was found.
// The board is HTML that the server made and escaped; so is the explanation.
const SVG = "http://www.w3.org/2000/svg";
const board = () => element.querySelector(".ray-board");
const all = () => [...element.querySelectorAll("[data-key]")];
const send = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
let lit = "", chosen = [];

// ---- lit everywhere ---------------------------------------------------------------------------------
const edge = (card, frame, right) => {
  const box = card.getBoundingClientRect();
  return [(right ? box.right : box.left) - frame.left, box.top + Math.min(24, box.height / 2) - frame.top];
};
const drawMoves = (cards) => {
  element.querySelector(".ray-moves")?.remove();
  const columns = element.querySelector(".ray-columns");
  if (!columns || cards.length < 2) return;
  const inner = columns.firstElementChild.getBoundingClientRect(), frame = columns.getBoundingClientRect();
  const origin = { left: frame.left - columns.scrollLeft, top: frame.top };
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "ray-moves");
  drawing.setAttribute("aria-hidden", "true");
  drawing.style.width = `${columns.scrollWidth}px`; drawing.style.height = `${columns.scrollHeight}px`;
  for (let i = 1; i < cards.length; i += 1) {
    const [x, y] = edge(cards[i - 1], origin, true), [toX, toY] = edge(cards[i], origin, false);
    if (toX < x) continue;  // the same column, or columns below each other
    const path = document.createElementNS(SVG, "path"), bend = Math.max(12, (toX - x) / 2);
    path.setAttribute("d", `M${x} ${y} C${x + bend} ${y} ${toX - bend} ${toY} ${toX} ${toY}`);
    drawing.append(path);
  }
  if (inner.width) columns.append(drawing);
};
const light = (key) => {
  if (key === lit) return;
  lit = key;
  const same = all().filter((card) => {
    card.classList.toggle("ray-lit", Boolean(key) && card.dataset.key === key);
    return key && card.dataset.key === key;
  });
  drawMoves(same);
};
const point = (event) => {
  const key = event.target.closest?.("[data-key]")?.dataset.key ?? "";
  light(key);
  send("raydio:passage", { key, from: "columns" });
};
element.addEventListener("pointerover", point);
element.addEventListener("focusin", point);
for (const name of ["pointerleave", "focusout"]) element.addEventListener(name, () => {
  light(""); send("raydio:passage", { key: "", from: "columns" });
});
document.addEventListener("raydio:passage", ({ detail }) => { if (detail.from !== "columns") light(detail.key); });

// ---- compare ----------------------------------------------------------------------------------------
const passage = (card) => ({
  key: card.dataset.key, document: card.dataset.document, index: Number(card.dataset.index),
  name: card.dataset.name, text: card.dataset.text,
});
const press = () => {
  for (const button of element.querySelectorAll("[data-do=compare]")) {
    const on = chosen.includes(button.closest("[data-key]").dataset.key);
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Compared" : "Compare";
  }
};
document.addEventListener("raydio:compared", ({ detail }) => { chosen = detail.keys; press(); });

// ---- why --------------------------------------------------------------------------------------------
const dialog = document.createElement("dialog");
dialog.className = "ray-why";
dialog.innerHTML = '<form method="dialog"><h3>Why this passage</h3><button aria-label="Close">×</button></form><div aria-live="polite"></div>';
dialog.setAttribute("aria-label", "Why this passage");
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
element.parentElement.append(dialog);
const explain = async ({ document: id, index }) => {
  const body = dialog.lastElementChild, of = board()?.dataset;
  body.textContent = "Looking…";
  if (!dialog.open) dialog.showModal();
  const asked = { query: of?.query ?? "", document: id, index, collections: JSON.parse(of?.collections ?? "[]") };
  let answer;
  try {
    answer = await server.explain(asked);
    if (!answer) throw new Error("no answer");
  } catch {
    answer = { error: "The page lost its server. Try again." };
  }
  body.innerHTML = answer.html ?? `<p class="ray-column-error">${answer.error}</p>`;
};
element.addEventListener("click", (event) => {
  const what = event.target.closest("[data-do]"), card = what?.closest("[data-key]");
  if (!card) return;
  if (what.dataset.do === "why") explain(passage(card));
  else send("raydio:compare", passage(card));
});
if (props.main) document.addEventListener("raydio:why", ({ detail }) => explain(detail));

// ---- new columns ------------------------------------------------------------------------------------
const found = () => {
  lit = "";
  press();
  if (!props.main || !board()) return;
  const hits = new Map();
  for (const card of element.querySelectorAll(".ray-passage")) {
    if (!hits.has(card.dataset.key)) hits.set(card.dataset.key, Number(card.dataset.cosine || 0));
  }
  send("raydio:found", { query: board().dataset.query, hits: [...hits] });
};
// The board is replaced as a whole: wait until Gradio has put it into the page.
watch("value", () => requestAnimationFrame(() => requestAnimationFrame(found)));
document.addEventListener("raydio:spread", found);
