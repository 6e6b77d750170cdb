"use strict";

window.impasto = window.impasto || {};

/** One picture at a time: the output laid over its content, with a slider between them, and what is known of it. */
impasto.Viewer = class {
  static ENLARGED = 3;

  #pairs = [];
  #at = 0;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {{contents: Input[], styles: Input[]}} data
   * @param {(pair: Pair) => void} shown called with each pair that is shown
   * @param {(pair: Pair) => void} closed called with the last of them
   */
  constructor(dialog, data, shown, closed) {
    this.dialog = dialog;
    this.data = data;
    this.shown = shown;
    this.find = (selector) => dialog.querySelector(selector);
    this.range = this.find("input[type=range]");
    this.range.addEventListener("input", () => this.#compare());
    this.find(".previous").addEventListener("click", () => this.#go(-1));
    this.find(".next").addEventListener("click", () => this.#go(1));
    this.find(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => closed(this.#pairs[this.#at]));
    dialog.addEventListener("keydown", (event) => this.#key(event));
    this.find(".after").addEventListener("error", () => this.#absent("The picture can’t be loaded."));
    this.find(".before").addEventListener("error", () => this.find(".frame").classList.add("alone"));
    this.#compare();
  }

  /** Open on one pair; the others are those to go on to. @param {Pair[]} pairs @param {Pair} pair */
  open(pairs, pair) {
    this.#pairs = pairs;
    this.#at = Math.max(0, pairs.indexOf(pair));
    this.dialog.showModal();
    this.#show();
    const start = this.range.offsetParent ? this.range : this.find("h2");
    start.focus({ focusVisible: false });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const by = { PageUp: -1, PageDown: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    this.#go(by);
  }

  #go(by) {
    const to = this.#at + by;
    if (to < 0 || to >= this.#pairs.length) return;
    this.#at = to;
    this.#show();
  }

  #show() {
    const pair = this.#pairs[this.#at];
    const content = this.data.contents[pair.content];
    const style = this.data.styles[pair.style];
    this.find("h2 .content").textContent = impasto.short(content.name);
    this.find("h2 .style").textContent = impasto.short(style.name);
    this.find(".place").textContent = `${(this.#at + 1).toLocaleString("en")} of ${this.#pairs.length.toLocaleString("en")}`;
    this.find(".previous").disabled = this.#at === 0;
    this.find(".next").disabled = this.#at === this.#pairs.length - 1;
    this.#pictures(pair, content);
    this.#about(pair, content, style);
    this.shown(pair);
  }

  #pictures(pair, content) {
    const frame = this.find(".frame");
    const before = this.find(".before");
    const after = this.find(".after");
    const source = pair.view || pair.picture;
    this.find(".absent").hidden = true;
    frame.hidden = !source;
    before.removeAttribute("src");
    after.removeAttribute("src");
    if (!source) {
      const why = pair.problem || pair.error;
      this.#absent(why ? `${impasto.ABSENT[pair.state]}: ${why}` : `${impasto.ABSENT[pair.state]}.`);
      return;
    }
    this.find(".stage").style.setProperty("--ratio", String(pair.width / pair.height));
    frame.style.setProperty("--widest", `${pair.width * impasto.Viewer.ENLARGED}px`);
    frame.classList.toggle("alone", !content.view);
    after.alt = `Output: ${impasto.short(content.name)} in the style of ${this.find("h2 .style").textContent}`;
    before.alt = `Content: ${impasto.short(content.name)}`;
    after.src = source;
    if (content.view) before.src = content.view;
  }

  #absent(text) {
    this.find(".frame").hidden = true;
    this.find(".absent").hidden = false;
    this.find(".absent").textContent = text;
  }

  #compare() {
    const share = Number(this.range.value);
    this.find(".frame").style.setProperty("--at", `${share}%`);
    this.find(".frame").classList.toggle("no-left", share < 12);
    this.find(".frame").classList.toggle("no-right", share > 88);
    this.range.setAttribute("aria-valuetext", `${share} % content on the left, ${100 - share} % output`);
  }

  #about(pair, content, style) {
    const painting = this.find(".painting");
    painting.hidden = !style.thumb;
    if (style.thumb) painting.querySelector("img").src = style.thumb;
    painting.querySelector("figcaption").textContent = style.name;
    const reason = this.find(".reason");
    const why = pair.picture && (pair.problem || (content.problem && `Nothing to compare with: ${content.problem}`));
    reason.hidden = !why;
    reason.textContent = why || "";
    const facts = [
      ["Content", content.name],
      ["Style", style.name],
      ["State", impasto.STATES[pair.state]],
      ["Size", pair.width && `${pair.width} × ${pair.height} px, ${(pair.bytes / 1e6).toFixed(1)} MB`],
      ["Evaluations", pair.steps && pair.steps.toLocaleString("en")],
      ["Time", pair.seconds !== undefined && impasto.duration(pair.seconds)],
      ["Loss", pair.losses && `${pair.losses[2]} (content ${pair.losses[0]}, style ${pair.losses[1]})`],
      ["Attempts", pair.attempts],
      ["Finished", pair.finished && impasto.time(pair.finished)],
      ["Notes", pair.notes && pair.notes.join("; ")],
      ["Pair", pair.pair],
    ];
    impasto.list(this.find("dl"), facts.filter(([, value]) => value || value === 0));
    this.#curve(pair.curve || []);
    this.find(".links").hidden = !pair.picture;
    if (!pair.picture) return;
    this.find("a.picture").href = pair.picture;
    this.find("a.metadata").href = pair.picture.replace(/\.[^./]*$/, ".json");
  }

  /** The loss over the evaluations, on a logarithmic scale. @param {number[]} flat step, loss, step, loss, … */
  #curve(flat) {
    const figure = this.find(".curve");
    figure.querySelector("svg")?.remove();
    const points = [];
    for (let at = 0; at < flat.length; at += 2) if (flat[at + 1] > 0) points.push([flat[at], Math.log(flat[at + 1])]);
    figure.hidden = points.length < 3;
    if (figure.hidden) return;
    const [width, height] = [240, 64];
    const values = points.map(([, value]) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const [first, last] = [points[0][0], points[points.length - 1][0]];
    const place = ([step, value]) => {
      const x = ((step - first) / Math.max(1, last - first)) * (width - 4) + 2;
      const y = (1 - (value - low) / (high - low || 1)) * (height - 4) + 2;
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    };
    const make = (tag, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const label = `Loss from ${flat[1]} at evaluation ${flat[0]} to ${flat[flat.length - 1]} at ${flat[flat.length - 2]}`;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    svg.append(make("polyline", { points: points.map(place).join(" ") }));
    figure.prepend(svg);
  }
};
