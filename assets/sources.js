// The viewer of passages: a click on a number or a source opens its page in a dialog. With a middle click or a
// modifier key the link does what links do. Only addresses of this site's document pages are opened.
const dialog = element.querySelector("dialog"), frame = dialog.querySelector("iframe");
const PLACE = /\/v1\/documents\/[\w-]+\/pages\/\d+$/;
let opener = null;

const open_passage = (link, address) => {
  opener = link;
  dialog.querySelector("h2").textContent = link.title || link.textContent;
  dialog.querySelector(".ray-viewer-tab").href = address;
  frame.src = address;
  if (!dialog.open) dialog.showModal();
};
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.ray-cite, a.ray-source");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const address = new URL(link.href, document.baseURI);
  if (address.origin !== location.origin || !PLACE.test(address.pathname)) return;
  event.preventDefault();
  event.stopPropagation();
  open_passage(link, address.href);
}, true);

dialog.querySelector(".ray-viewer-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", ({ target }) => { if (target === dialog) dialog.close(); }); // beside it
dialog.addEventListener("close", () => {
  frame.src = "about:blank";
  if (opener?.isConnected) opener.focus();
});
frame.addEventListener("load", () => {
  const { contentDocument: inner, contentWindow } = frame;
  if (!inner || contentWindow.location.protocol === "about:") return;
  inner.documentElement.dataset.theme = document.body.classList.contains("dark") ? "dark" : "light";
  inner.addEventListener("keydown", ({ key }) => { if (key === "Escape") dialog.close(); });
});
