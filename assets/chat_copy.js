() => {
  // Gradio copies a message with everything under it, as source: leave out what is about the answer (the sources,
  // the numbers and their bars), and what ui/markup.py and ui/sources.py put in, so that a copy is what the model wrote.
  const clipboard = navigator.clipboard;
  if (!clipboard) return; // no HTTPS: Gradio does without it, too
  const write = clipboard.writeText.bind(clipboard);
  const about = /(\n\nassistant: |\n[^\n]*\n\s*)(<ul class="ray-fall"[^]*?<\/ul>\n?|<div class="ray-sources">[^\n]*)/g;
  const citation = /<a class="ray-cite"[^<>]*>(\d+)<\/a>|&#91;(\d+)&#93;/g;
  clipboard.writeText = (text) => write(
    text.replace(about, "").replace(citation, (_, linked, plain) => `[${linked ?? plain}]`).replace(/([<!])\u200b/g, "$1"));
}
