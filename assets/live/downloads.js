// The conversation as files, made in the browser: text, sound (both sides, in order), and JSON with all that was measured.
const PAUSE_S = 0.4; // between two messages' sounds

const as_text = (entries) => entries.map((entry) => {
  const cut = entry.played_ms === null ? "" : ` [${entry.note.textContent}]`;
  return `${ROLES[entry.role]}: ${entry.remembered}${cut}`;
}).join("\n\n") + "\n";

const as_wav = (entries) => {
  const pause = new Int16Array(PAUSE_S * RATE_HZ);
  return wav(joined(entries.filter(({ sound }) => sound.length).flatMap(({ sound }) => [sound, pause])));
};

const as_json = (entries) => JSON.stringify({
  saved_at: new Date().toISOString(),
  items: entries.map((entry) => ({
    id: entry.id,
    role: entry.role,
    at: entry.at.toISOString(),
    text: entry.text,
    ...(entry.note.textContent && { note: entry.note.textContent }),
    audio_ms: Math.round((entry.sound.length / RATE_HZ) * 1000),
    ...(entry.role === "assistant" && {
      heard: entry.remembered,
      played_ms: entry.played_ms,
      heard_after_ms: entry.heard_after_ms,
      captions: [...entry.captions].map(([clause, words]) => ({ clause, words })),
      sources: entry.sources,
      turn: entry.timing,
    }),
  })),
}, null, 1);

const FILES = {
  txt: (entries) => new Blob([as_text(entries)], { type: "text/plain;charset=utf-8" }),
  wav: as_wav,
  json: (entries) => new Blob([as_json(entries)], { type: "application/json" }),
};
const save = (kind, entries) => {
  const link = make("a");
  link.href = URL.createObjectURL(FILES[kind](entries));
  link.download = `conversation-${new Date().toISOString().slice(0, 16).replace(/[T:]/g, "-")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
