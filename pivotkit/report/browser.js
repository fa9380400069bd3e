// The word browser. Data of the run becomes text (textContent), never markup. A link such as
// #words?pair=fr-zh&behavior=pivot&rule=strict or #words?pair=fr-zh&item=12 shows these words.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("words-data").textContent);
  const at = (id) => document.getElementById(id);
  const pairs = at("browse-pair"), search = at("browse-search"), list = at("browse-list"), behavior = at("browse-behavior");
  const heat = at("browse-heat"), facts = at("browse-facts"), told = at("browse-told"), legend = at("browse-legend");
  const order = at("browse-order"), absent = at("browse-absent");
  const roles = ["target", "source", "pivot"];
  const latent = data.latent;
  let own = { tokens: [], words: [] }; // of the pair that is shown
  const color = (name) => (latent.includes(name) ? "latent" + (latent.indexOf(name) % 3) : name);
  const named = (name) => (latent.includes(name) ? (Object.hasOwn(data.names, name) ? data.names[name] : name) + " (latent language)" : name);

  function el(tag, kind, ...inside) {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    for (const part of inside) {
      if (part === null || part === undefined) continue;
      made.append(part instanceof Node ? part : document.createTextNode(String(part)));
    }
    return made;
  }
  const word = (text) => el("bdi", "word", text);
  const share = (mille) => (mille === 0 ? "< 0.1 %" : (mille / 10).toFixed(1) + " %");
  const nats = (tenths) => (tenths < 0 ? "−" : "+") + (Math.abs(tenths) / 10).toFixed(1);
  const decimal = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));

  // The words of a pair are packed: Base64 of zlib of JSON.
  const opened = new Map();
  async function unpack(place) {
    if (!opened.has(place)) {
      const raw = Uint8Array.from(atob(data.pairs[place].packed), (letter) => letter.charCodeAt(0));
      const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
      opened.set(place, await new Response(stream).json());
    }
    return opened.get(place);
  }

  const shows = (w, [rule, name]) => w.behaviors.some((told) => told[0] === rule && told[1] === name);

  // The behaviors to choose from, with their numbers of words in this pair.
  function offer(chosen) {
    behavior.replaceChildren(new Option("any", ""));
    for (const rule of data.rules) {
      const group = el("optgroup", "");
      group.label = "rule " + rule;
      for (const name of ["co-occurrence", "pivot", "copy", "other", "excluded"]) {
        const n = own.words.filter((w) => shows(w, [rule, name])).length;
        if (n || chosen === rule + "/" + name) group.append(new Option(name + " (" + n + ")", rule + "/" + name));
      }
      if (group.children.length) behavior.append(group);
    }
    behavior.value = chosen;
    if (behavior.selectedIndex < 0) behavior.value = "";
  }

  function fill() {
    const wanted = search.value.normalize("NFKC").toLowerCase().trim();
    list.replaceChildren();
    const asked = behavior.value ? behavior.value.split("/") : null;
    own.words.forEach((w, place) => {
      if (asked && !shows(w, asked)) return;
      const told = asked ? w.behaviors.find((one) => one[0] === asked[0]) : w.behaviors[0];
      const text = [w.source, w.target, w.concept].join(" ").normalize("NFKC").toLowerCase();
      if (wanted && !text.includes(wanted)) return;
      const option = el("option", "", "\u2068" + w.source + "\u2069 → \u2068" + w.target + "\u2069"
        + (told ? " · " + told[1] : "") + (w.score ? " · " + decimal(w.score[0]) : ""));
      option.value = String(place);
      list.append(option);
    });
    const pair = data.pairs[pairs.value];
    at("browse-count").textContent = list.length + " of " + pair.shown + " words"
      + (pair.shown < pair.of ? " (the first of " + pair.of + "; traces/ holds the rest)" : "");
  }

  function show(remember = true) {
    const w = own.words[list.value], pair = data.pairs[pairs.value];
    told.textContent = "Point at a cell, or tap it, to read it here.";
    if (!w) { heat.replaceChildren(); facts.replaceChildren(el("p", "note", "No such word.")); return; }
    drawHeat(w, pair);
    drawFacts(w);
    if (!remember) return;
    const [rule, name] = behavior.value.split("/");
    const link = new URLSearchParams({ pair: pair.code, ...(name && { behavior: name, rule }), item: w.id });
    history.replaceState(null, "", "#words?" + link);
  }

  // Which tokens the table shows, in rows of so many: the most probable, or those of the highest contrast.
  function chosen(w) {
    const raised = order.querySelector("input:checked").value === "raised" && w.raised;
    const cells = raised ? w.raised : { top: w.top, prob: w.prob, lift: w.lift, specific: w.specific };
    return { ...cells, wide: raised ? data.raised : data.k, by: raised ? "by contrast" : "rank" };
  }

  function drawHeat(w, pair) {
    const layers = pair.layers, cells = chosen(w), specific = new Set(cells.specific);
    order.hidden = !w.raised;
    absent.hidden = Boolean(w.lift);
    absent.textContent = w.lift ? "" : "No contrasts for this word: " + (pair.absent || "no reason was recorded") + ".";
    const kind = new Map();
    for (const name of [...Object.keys(w.sets).sort((a, b) => rank(b) - rank(a))])
      for (const token of w.sets[name]) kind.set(token, name);
    const top = el("tr", "", el("th", "layer", "layer"), el("th", "rank", "target rank"), el("th", "masses", "masses"));
    for (let r = 0; r < cells.wide; r++) top.append(el("th", "", r));
    const body = el("tbody", "");
    for (let row = layers.length - 1; row >= 0; row--) {
      const line = el("tr", "", el("th", "", layers[row]));
      line.firstChild.title = "entropy " + w.entropy[row] + " nats";
      line.append(el("td", "rank" + (w.rank[row] === 0 ? " first" : ""), w.rank[row] === null ? "–" : w.rank[row]));
      const stack = el("div", "stack");
      const said = [];
      for (const name of Object.keys(w.mass)) {
        const part = el("span", "c-" + color(name));
        part.style.width = w.mass[name][row] / 10 + "%";
        stack.append(part);
        said.push(named(name) + " " + share(w.mass[name][row]));
      }
      const masses = el("td", "masses", stack);
      masses.dataset.told = "layer " + layers[row] + ", probability masses: " + said.join(", ");
      line.append(masses);
      for (let r = 0; r < cells.wide; r++) {
        const place = row * cells.wide + r, token = cells.top[place], mille = cells.prob[place];
        if (token < 0) { line.append(el("td", "")); continue; }
        const lift = cells.lift ? nats(cells.lift[place]) : null, lone = specific.has(place);
        const cell = el("td", lone ? "cell specific" : "cell", word(own.tokens[token]),
          el("small", "", share(mille), lift && el("b", "", lift)));
        cell.style.setProperty("--p", mille / 10 + "%");
        const set = kind.get(token);
        if (set) cell.classList.add("m-" + color(set));
        cell.dataset.told = "layer " + layers[row] + ", " + cells.by + " " + r + ": “" + own.tokens[token] + "” "
          + share(mille) + (lift ? ", contrast " + lift + " nats" : "") + (lone ? ", specific to this word" : "") + (set ? ", " + named(set) + " token" : "");
        cell.title = cell.dataset.told;
        line.append(cell);
      }
      body.append(line);
    }
    heat.replaceChildren(el("thead", "", top), body);
    const marks = [...roles.slice(0, 2), ...latent, "pivot"].filter((name) => name in w.sets || name in w.mass);
    legend.replaceChildren(...marks.map((name) => el("li", "", el("span", "mark m-" + color(name) + " c-" + color(name)), named(name))));
  }
  const rank = (name) => ["target", "source", ...latent, "pivot"].indexOf(name);

  function drawFacts(w) {
    const rows = [["Word", el("span", "", word(w.source), " → ", word(w.target))], ["Concept", word(w.concept)]];
    if (w.appended) rows.push(["Read after", el("span", "", word(w.appended), el("span", "muted", " the target's first pieces, which many words share"))]);
    if (w.score) rows.push(["Score", decimal(w.score[0]) + "  (P of the right source " + decimal(w.score[1]) + ")"]);
    for (const [rule, behavior, peak] of w.behaviors)
      rows.push(["Rule " + rule, el("span", "", el("strong", "", behavior),
        peak && el("span", "muted", " peak ", word(peak[0]), " " + share(peak[2]) + ", layer " + peak[1]))]);
    if (w.counts) rows.push(["Documents", w.counts[0] + " with the source, " + w.counts[1] + " with the target, " + w.counts[2] + " with both"]);
    if (w.distractors.length) {
      const others = el("span", "");
      w.distractors.forEach((text, place) => others.append(place ? ", " : "", word(text)));
      rows.push(["Distractors", others]);
    }
    const names = el("dl", "facts");
    for (const [name, value] of rows) names.append(el("dt", "", name), el("dd", "", value));
    facts.replaceChildren(names);
    if (w.pivots.length) {
      const body = el("tbody", "");
      for (const [token, score, control] of w.pivots)
        body.append(el("tr", "", el("td", "", word(token)), el("td", "num", decimal(score)), el("td", "muted", word(control))));
      const head = el("tr", "", el("th", "", "pivot"), el("th", "num", "score"), el("th", "", "control"));
      facts.append(el("table", "small", el("thead", "", head), body));
    }
    const prompt = el("pre", "", w.prompt);
    prompt.dir = "auto";
    facts.append(el("details", "", el("summary", "", "Prompt as traced"), prompt));
  }

  async function turn(place, chosen = "") {
    pairs.value = String(place);
    const words = await unpack(place);
    if (pairs.value !== String(place)) return; // another pair was asked for since
    own = words;
    offer(chosen);
    fill();
    list.selectedIndex = 0;
  }

  async function fromHash() {
    const asked = new URLSearchParams(location.hash.slice(1).replace(/^words\?/, ""));
    const place = data.pairs.findIndex((pair) => pair.code === asked.get("pair"));
    if (place < 0) return false;
    at("words").scrollIntoView();
    search.value = "";
    const rule = asked.get("rule") || data.rules[0];
    await turn(place, asked.has("behavior") ? rule + "/" + asked.get("behavior") : "");
    const found = own.words.findIndex((w) => (asked.has("item") ? w.id === asked.get("item") : w.source === asked.get("word")));
    if (found >= 0) list.value = String(found);
    show(false);
    at("words").scrollIntoView();
    return true;
  }

  data.pairs.forEach((pair, place) => { const o = el("option", "", pair.label); o.value = String(place); pairs.append(o); });
  pairs.addEventListener("change", () => turn(Number(pairs.value), behavior.value).then(() => show()));
  behavior.addEventListener("change", () => { fill(); list.selectedIndex = 0; show(); });
  search.addEventListener("input", () => { fill(); list.selectedIndex = 0; show(); });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") { event.preventDefault(); list.focus(); }
  });
  list.addEventListener("change", () => show());
  order.addEventListener("change", () => { const w = own.words[list.value]; if (w) drawHeat(w, data.pairs[pairs.value]); });
  for (const event of ["mouseover", "click"])
    heat.addEventListener(event, (at) => {
      const cell = at.target.closest("td[data-told]");
      if (cell) told.textContent = cell.dataset.told;
    });
  window.addEventListener("hashchange", fromHash);
  if (typeof DecompressionStream === "undefined")
    facts.append(el("p", "absent", "The words are packed; this browser is too old to open them. The traces are in traces/."));
  else if (data.pairs.length) fromHash().then((found) => found || turn(0).then(() => show(false)));
})();
