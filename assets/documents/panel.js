// The panel: opens and closes, takes files, and tells the page what answers may use (the value of this component).
const drawer = find(".ray-docs"), opener = find(".ray-docs-open");
const kept = kept_settings();
const { asked, collections: asked_collections } = asked_settings();
Object.assign(kept, asked);

// ---- what the chat is told -------------------------------------------------------------------------
const WORDS = { documents_first: "first", documents_only: "only", no_documents: "not used" };
const tell = () => {
  const { mode, method, rerank, n_passages, min_score, n_documents, searched } = kept;
  props.value = { mode, method, rerank, n_passages, min_score, n_documents, collections: searched };
  find(".ray-docs-state").textContent = n_documents ? `${n_documents} · ${WORDS[mode]}` : "";
  opener.dataset.used = String(n_documents > 0 && mode !== "no_documents");
  try { localStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* private window: this tab only */ }
};
const recount = () => {
  kept.searched = collections.searched.map(({ id }) => id);
  kept.n_documents = collections.searched.reduce((n, { n_documents }) => n + n_documents, 0);
  find("[data-act=sample]").hidden = collections.all.some(({ n_documents }) => n_documents > 0);
  tell();
};

const list = new List({ changed: () => collections.load() });
const collections = new Collections({ kept, chosen: recount, opened: (collection) => { if (!drawer.hidden) list.load(collection); } });
const uploads = new Uploads({ limit_bytes: Number(props.limit_bytes) || Infinity, changed: () => refresh() });
const search = new Search(kept, tell);
// Many files may be added in a second: the list follows when the last question about it was answered.
let refreshing = false, stale = false;
const refresh = async () => {
  stale = true;
  if (refreshing) return;
  refreshing = true;
  while (stale) { stale = false; await collections.load(); }
  refreshing = false;
  offer_reindex();
};
const offer_reindex = () => {
  if (!uploads.mismatch || !collections.open) return;
  const report = find(".ray-docs-report .ray-docs-row");
  report?.append(action("Index again", () => { uploads.mismatch = ""; reindex(collections.open, refresh); }, { class_name: "ray-docs-primary" }));
};

// ---- adding ----------------------------------------------------------------------------------------
// Files may be given before the collections are known: they wait, and are never dropped in silence.
const HIDDEN = /(^|\/)\.[^/]*(\/|$)/; // a folder's own business: .git, .DS_Store
const add = async (given) => {
  const files = given.filter(({ name, file }) => !file || !name.includes("/") || !HIDDEN.test(name));
  if (!collections.open && files.length) await collections.load();
  if (!files.length) return;
  if (collections.open) uploads.add(collections.open.id, files);
  else complain("Nothing was added: the collections cannot be reached. Try again in a moment.");
};
for (const [act, selector] of [["files", ".ray-docs-files"], ["folder", ".ray-docs-folder"]]) {
  const input = find(selector);
  find(`[data-act=${act}]`).addEventListener("click", () => input.click());
  input.addEventListener("change", () => { add(named_files(input.files)); input.value = ""; });
}
find(".ray-docs-url").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.url, url = field.value.trim();
  if (!url) return;
  add([{ name: url, url: /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : `https://${url}` }]);
  field.value = "";
});
find("[data-act=cancel-all]").addEventListener("click", () => uploads.cancel_all());
find("[data-act=sample]").addEventListener("click", () => tried(async () => {
  const samples = await server.samples();
  add(samples.map(({ name, base64 }) => ({ name, file: new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name) })));
}));
const has_files = (event) => event.dataTransfer?.types.includes("Files");
let within = 0;
drawer.addEventListener("dragenter", (event) => { if (has_files(event)) { within += 1; drawer.dataset.dropping = "true"; } });
const left = () => { within = 0; delete drawer.dataset.dropping; };
drawer.addEventListener("dragleave", () => { within -= 1; if (within <= 0) left(); });
drawer.addEventListener("drop", (event) => {
  if (!has_files(event)) return;
  event.preventDefault();
  left();
  dropped_files(event.dataTransfer).then(add, (error) => complain(error.message));
});
// Whoever drags a file over the page finds the panel open; a file dropped beside it does not replace the page.
window.addEventListener("dragenter", (event) => { if (has_files(event) && drawer.hidden) show(true, { focus: false }); });
window.addEventListener("dragover", (event) => { if (has_files(event)) event.preventDefault(); });
window.addEventListener("drop", (event) => { if (has_files(event)) event.preventDefault(); });

// ---- opening and closing ---------------------------------------------------------------------------
const show = (open, { focus = true } = {}) => {
  drawer.hidden = !open;
  opener.setAttribute("aria-expanded", String(open));
  if (focus) (open ? find(".ray-docs-close") : opener).focus();
  if (open && focus) collections.load();
};
opener.addEventListener("click", () => show(drawer.hidden));
find(".ray-docs-close").addEventListener("click", () => show(false));
drawer.addEventListener("keydown", ({ key }) => { if (key === "Escape") show(false); });

// Another tab may have changed what there is.
document.addEventListener("visibilitychange", () => { if (!document.hidden && !drawer.hidden) refresh(); });

// ---- the beginning ---------------------------------------------------------------------------------
const choose_asked = () => {
  if (!asked_collections.length) return;
  kept.unsearched = collections.all.map(({ id }) => id).filter((id) => !asked_collections.includes(id));
  kept.open = asked_collections[0];
  collections.draw();
  recount();
};
tell(); // as it was last time, until the collections are known
collections.load().then(choose_asked);
