// Pasting 10,000 lines takes a browser two seconds (twenty thousand: eight), because it edits its undo
// history line by line. A large paste is put in as a whole instead.
const LARGE = 50000;
document.addEventListener("paste", (event) => {
  const box = event.target.closest?.("#ray-lines")?.querySelector("textarea");
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!box || text.length < LARGE) return;
  event.preventDefault();
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
});
