// The result list: tells the map what was found, and which line the pointer or the focus is on.
const section = () => element.querySelector(".ray-hits");
const send = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail: { of: section()?.dataset.of, ...detail } }));
const found = () => send("raydio:hits", { indices: [...element.querySelectorAll("li")].map((item) => Number(item.dataset.index)) });
const line = (event) => {
  const item = event.target.closest("li");
  send("raydio:line", { index: item ? Number(item.dataset.index) : -1, from: "hits" });
};
element.addEventListener("pointerover", line);
element.addEventListener("pointerleave", () => send("raydio:line", { index: -1, from: "hits" }));
element.addEventListener("focusin", line);
element.addEventListener("focusout", () => send("raydio:line", { index: -1, from: "hits" }));
// The list is replaced as a whole: wait until Gradio has put it into the page.
watch("value", () => requestAnimationFrame(() => requestAnimationFrame(found)));
document.addEventListener("raydio:mapped", found);
