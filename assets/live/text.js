// An answer as elements: paragraphs, lists, headings, bold and code of its Markdown, everything else as plain text. Only
// text nodes are made from it, so nothing in an answer can load, style or run. The words being spoken are marked.
const FENCE = /^\s*(`{3,}|~{3,})/, BULLET = /^\s*[-*•]\s+(.*)$/, NUMBER = /^\s*(\d+)[.)]\s+(.*)$/, HEADING = /^\s*#{1,6}\s+(.*)$/;
const INLINE = /(`+)([^`]+)\1|(\*\*|__)(?=\S)(.+?)(?<=\S)\3|\[([1-9]\d{0,2})\]/g;

// Lines to blocks: {tag, lines}; a list's lines are its items.
const blocks_of = (markdown) => {
  const blocks = [];
  let fence = "", open = null;
  const add = (tag, line, start = 1) => {
    if (open?.tag === tag) open.lines.push(line);
    else blocks.push((open = { tag, start, lines: [line] }));
  };
  for (const line of markdown.split("\n")) {
    const mark = line.match(FENCE)?.[1] ?? "";
    if (fence) { if (mark.startsWith(fence)) { fence = ""; open = null; } else add("pre", line); continue; }
    if (mark) { fence = mark; open = null; continue; }
    const [bullet, number, heading] = [line.match(BULLET), line.match(NUMBER), line.match(HEADING)];
    if (!line.trim()) open = null;
    else if (bullet) add("ul", bullet[1]);
    else if (number) add("ol", number[2], Number(number[1]));
    else if (heading) { open = null; add("strong", heading[1]); open = null; }
    else add("p", line);
  }
  return blocks;
};
// Text to runs: {tag, text}; of a citation also its number, {tag: "a", text: "[1]", number: 1}.
const runs_of = (text) => {
  const runs = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > end) runs.push({ text: text.slice(end, found.index) });
    if (found[5]) runs.push({ tag: "a", text: found[0], number: Number(found[5]) });
    else runs.push(found[1] ? { tag: "code", text: found[2] } : { tag: "b", text: found[4] });
    end = found.index + found[0].length;
  }
  if (end < text.length) runs.push({ text: text.slice(end) });
  return runs;
};

const plain = (text) => text.replace(/[*_`#~]/g, "").trim();

// Where the spoken words stand in the text: [{start, end, start_ms, end_ms}], in order. What is not found is left out.
const AHEAD = 120; // characters that may lie between two spoken words: a code block, a web address
const located = (text, words) => {
  let cursor = 0;
  return words.flatMap(({ text: word, start_ms, end_ms }) => {
    const wanted = plain(word), start = wanted ? text.indexOf(wanted, cursor) : -1;
    if (start < 0 || start - cursor > AHEAD) return [];
    cursor = start + wanted.length;
    return [{ start, end: cursor, start_ms, end_ms }];
  });
};

class Writer {
  // cut: characters from here on were not heard.
  constructor(marks, cut, sources) { Object.assign(this, { marks, cut, sources, at: 0, words: [] }); }

  // A run's text, split where words begin and end and where the cut is.
  write(parent, text) {
    const [start, end] = [this.at, this.at + text.length];
    const edges = new Set([start, end, this.cut]);
    for (const mark of this.marks) if (mark.end > start && mark.start < end) { edges.add(mark.start); edges.add(mark.end); }
    const sorted = [...edges].filter((edge) => edge >= start && edge <= end).sort((a, b) => a - b);
    for (let i = 0; i + 1 < sorted.length; i++) this.piece(parent, text.slice(sorted[i] - start, sorted[i + 1] - start), sorted[i]);
    this.at = end;
  }

  piece(parent, text, at) {
    const mark = this.marks.find(({ start, end }) => start <= at && at < end);
    const node = mark || at >= this.cut ? make(at >= this.cut ? "s" : "span", mark ? "ray-word" : "", text) : document.createTextNode(text);
    if (mark) this.words.push({ node, start_ms: mark.start_ms, end_ms: mark.end_ms });
    parent.append(node);
  }

  inline(parent, text) {
    for (const run of runs_of(text)) {
      const inner = run.number ? this.citation(parent, run.number) : run.tag ? parent.appendChild(document.createElement(run.tag)) : parent;
      this.write(inner, run.text);
    }
    this.at += 1; // the end of a line
  }

  // Where a number's passage is opened; a number without one is text.
  citation(parent, number) {
    const source = this.sources[number - 1], href = source ? passage_address(source) : "";
    if (!href) return parent;
    const link = parent.appendChild(make("a", "ray-cite"));
    Object.assign(link, { href, target: "_blank", rel: "noopener", title: `Source ${number}: ${place_of(source)}` });
    return link;
  }
}

const text_of = (blocks) => blocks.map(({ tag, lines }) => (tag === "pre" ? lines.join("\n") : lines.map((l) => runs_of(l).map((r) => r.text).join("")).join("\n"))).join("\n");

// Fills `parent`; returns the words in it, [{node, start_ms, end_ms}], and the text that was heard.
const write_answer = (parent, markdown, words, { played_ms = Infinity, sources = [] } = {}) => {
  const blocks = blocks_of(markdown);
  const text = text_of(blocks), marks = located(text, words);
  let cut = cut_at(marks, played_ms);
  while (cut > 0 && /\s/.test(text[cut] ?? "")) cut++;
  const writer = new Writer(marks, cut, sources);
  parent.replaceChildren();
  for (const { tag, lines, start } of blocks) {
    const block = parent.appendChild(make(tag === "strong" ? "p" : tag));
    if (tag === "ol") block.start = start;
    if (tag === "pre") { writer.write(block.appendChild(make("code")), lines.join("\n")); writer.at += 1; }
    else if (tag === "ul" || tag === "ol") lines.forEach((line) => writer.inline(block.appendChild(make("li")), line));
    else if (tag === "strong") writer.inline(block.appendChild(make("b")), lines[0]);
    else lines.forEach((line, i) => { if (i) block.append(" "); writer.inline(block, line); });
  }
  return { words: writer.words, heard: text.slice(0, writer.cut) };
};
// The first character that was not heard: words count when they had begun, as for the model.
const cut_at = (marks, played_ms) => {
  if (played_ms === Infinity || (!marks.length && played_ms > 0)) return Infinity;
  const heard = marks.findLast(({ start_ms }) => start_ms < played_ms);
  return heard ? heard.end : 0;
};
