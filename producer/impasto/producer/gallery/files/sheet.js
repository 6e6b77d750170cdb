"use strict";

/**
 * @typedef {object} Pair What data.js has of a pair; all but the first four may be missing.
 * @property {number} pair its number, and its place in the list of pairs
 * @property {number} content place in the list of contents
 * @property {number} style place in the list of styles
 * @property {string} state waiting, running, done, failed or cancelled
 * @property {string} [picture] relative URL of the output
 * @property {string} [thumb] relative URL
 * @property {string} [view] relative URL, where a browser can't show the output itself
 * @property {string} [problem] why a done pair can't be shown
 * @property {string} [error] why it failed
 * @property {number} [width] of the output in pixels
 * @property {number} [height] of the output in pixels
 */

/** @typedef {{name: string, thumb?: string, view?: string, problem?: string}} Input */

window.impasto = window.impasto || {};

/** A name without its folders and its kind: the whole one is in the facts. @param {string} name */
impasto.short = (name) => name.replace(/^.*\/(?=.)/s, "").replace(/(?<=.)\.(avif|bmp|gif|hei[cf]|jpe?g|png|tiff?|webp)$/i, "");

/** An element with a class and a text. @param {string} tag @param {string} [className] @param {string} [text] */
impasto.element = (tag, className = "", text = "") => {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
};

/** Calls `step` until it says that all is done, a few milliseconds at a time; returns what makes it stop. */
impasto.bitByBit = (step) => {
  const soon = window.requestIdleCallback || ((call) => setTimeout(() => call({ timeRemaining: () => 8 }), 16));
  let stopped = false;
  const go = (deadline) => {
    let more = true;
    while (!stopped && more && deadline.timeRemaining() > 2) more = step();
    if (!stopped && more) soon(go);
  };
  soon(go);
  return () => {
    stopped = true;
  };
};

/** The pictures as a grid of contents × styles or as a wall; one stop of the Tab key, arrows within. */
impasto.Sheet = class {
  static FIRST = 48;
  static USUAL_RATIO = 4 / 3;

  /** @type {Map<number, HTMLElement>} */
  #tiles = new Map();
  /** @type {(HTMLElement | null)[][]} rows of the grid; a single row of all for the wall */
  #rows = [];
  /** @type {HTMLElement | null} */
  #current = null;
  /** @type {(() => void)[]} what is still to be put on the page, in order */
  #waiting = [];
  #made = 0;
  #stop = () => {};
  #fitted = { grid: null, width: 0 };

  /**
   * @param {HTMLElement} home
   * @param {{contents: Input[], styles: Input[], pairs: Pair[]}} data
   * @param {(pair: Pair) => void} open called when a picture is chosen
   */
  constructor(home, data, open) {
    this.home = home;
    this.data = data;
    this.ratios = new Map(
      data.pairs.filter((pair) => pair.width).map((pair) => [pair.content, pair.width / pair.height]),
    );
    home.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
      if (tile && plain) {
        event.preventDefault();
        this.#enter(tile);
        open(data.pairs[Number(tile.dataset.pair)]);
      }
    });
    home.addEventListener("focusin", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.#enter(tile);
    });
    home.addEventListener("keydown", (event) => this.#move(event));
    // Errors do not bubble, but they can be caught on their way down.
    home.addEventListener("error", (event) => event.target.closest(".tile, .head")?.classList.add("is-broken"), true);
    new ResizeObserver(() => this.#fit()).observe(home);
  }

  /** Show these pairs, in this order. @param {Pair[]} pairs @param {"grid" | "wall"} view @param {boolean} byName */
  show(pairs, view, byName) {
    this.#stop();
    this.home.replaceChildren();
    this.home.className = `sheet ${view}`;
    this.#rows = [];
    this.#made = 0;
    this.#waiting = view === "grid" ? this.#grid(pairs, byName) : this.#wall(pairs);
    for (let count = 0; count < impasto.Sheet.FIRST && this.#next(); count++);
    this.#fit();
    this.#stop = impasto.bitByBit(() => this.#next());
    const kept = this.#current && pairs.some((pair) => this.#tiles.get(pair.pair) === this.#current);
    const first = pairs.length ? this.#tile(pairs[0]) : null;
    this.#enter(kept ? this.#current : first);
  }

  /** Put the keyboard on that pair's picture. @param {Pair} pair */
  focus(pair) {
    while (this.#next());
    const tile = this.#tiles.get(pair.pair);
    if (tile?.isConnected) tile.focus();
  }

  #next() {
    if (this.#made < this.#waiting.length) this.#waiting[this.#made++]();
    return this.#made < this.#waiting.length;
  }

  /** @param {Pair[]} pairs */
  #wall(pairs) {
    const list = document.createElement("ul");
    list.setAttribute("aria-describedby", "keys");
    // Safari takes lists without bullets for no lists.
    list.setAttribute("role", "list");
    this.home.append(list);
    const row = [];
    this.#rows = [row];
    return pairs.map((pair) => () => {
      const item = document.createElement("li");
      const tile = this.#tile(pair);
      item.style.setProperty("--ratio", this.#ratio(pair));
      const caption = impasto.element("p", "caption");
      caption.setAttribute("aria-hidden", "true");
      const content = impasto.element("bdi", "", impasto.short(this.data.contents[pair.content].name));
      const style = impasto.element("bdi", "muted", impasto.short(this.data.styles[pair.style].name));
      caption.append(content, style);
      item.append(tile, caption);
      list.append(item);
      row.push(tile);
    });
  }

  /** @param {Pair[]} pairs @param {boolean} byName */
  #grid(pairs, byName) {
    const { contents, styles } = this.data;
    const order = (inputs, places) =>
      [...new Set(places)].sort((a, b) => (byName && impasto.compare(inputs[a].name, inputs[b].name)) || a - b);
    const down = order(contents, pairs.map((pair) => pair.content));
    const across = order(styles, pairs.map((pair) => pair.style));
    const cells = new Map(pairs.map((pair) => [`${pair.content} ${pair.style}`, pair]));
    const grid = impasto.element("div", "matrix");
    grid.setAttribute("role", "grid");
    grid.setAttribute("aria-label", "Contents by styles");
    grid.setAttribute("aria-describedby", "keys");
    grid.setAttribute("aria-rowcount", String(down.length + 1));
    grid.setAttribute("aria-colcount", String(across.length + 1));
    grid.style.setProperty("--columns", String(across.length));
    const heads = this.#row(grid, "heads", 1);
    const corner = impasto.element("div", "corner");
    corner.setAttribute("role", "columnheader");
    corner.append(impasto.element("span", "unseen", "Content"));
    heads.append(corner, ...across.map((style) => this.#head(styles[style], "columnheader")));
    this.home.append(grid);
    return down.map((content, number) => () => {
      const row = this.#row(grid, "row", number + 2);
      row.style.setProperty("--ratio", this.#ratio({ content }));
      row.append(this.#head(contents[content], "rowheader"));
      const tiles = across.map((style) => {
        const pair = cells.get(`${content} ${style}`);
        const cell = impasto.element("div", "cell");
        cell.setAttribute("role", "gridcell");
        const tile = pair ? this.#tile(pair) : null;
        if (tile) cell.append(tile);
        row.append(cell);
        return tile;
      });
      this.#rows.push(tiles);
    });
  }

  #row(grid, className, number) {
    const row = impasto.element("div", className);
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", String(number));
    grid.append(row);
    return row;
  }

  /** @param {Input} input @param {string} role */
  #head(input, role) {
    const head = impasto.element("div", "head");
    head.setAttribute("role", role);
    head.title = input.problem || input.name;
    if (input.thumb) head.append(this.#image(input.thumb));
    else head.classList.add("is-broken");
    head.append(impasto.element("bdi", "", impasto.short(input.name)));
    return head;
  }

  /** @param {Pair} pair */
  #tile(pair) {
    const made = this.#tiles.get(pair.pair);
    if (made) return made;
    const tile = impasto.element(pair.picture ? "a" : "button", `tile is-${pair.state}`);
    if (pair.picture) tile.href = pair.picture;
    else tile.type = "button";
    tile.tabIndex = -1;
    tile.dataset.pair = String(pair.pair);
    tile.setAttribute("aria-label", this.#label(pair));
    const stand = pair.thumb || (pair.picture ? null : this.data.contents[pair.content].thumb);
    if (stand) tile.append(this.#image(stand));
    if (pair.problem) tile.classList.add("is-broken");
    const word = pair.problem ? "Can’t be shown" : impasto.STATES[pair.state];
    if (pair.problem || pair.state !== "done") tile.append(impasto.element("span", "badge", word));
    this.#tiles.set(pair.pair, tile);
    return tile;
  }

  #image(source) {
    const image = new Image();
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = "";
    image.draggable = false;
    image.src = source;
    return image;
  }

  /** @param {Pair} pair */
  #label(pair) {
    const { contents, styles } = this.data;
    const names = `${impasto.short(contents[pair.content].name)} in the style of ${impasto.short(styles[pair.style].name)}`;
    if (pair.state === "done") return pair.problem ? `${names}, can’t be shown` : names;
    return `${names}, ${pair.state}${pair.error ? `: ${pair.error}` : ""}`;
  }

  #ratio(pair) {
    return String(this.ratios.get(pair.content) || impasto.Sheet.USUAL_RATIO);
  }

  /** A grid too wide for the window scrolls in itself, so that its heads stay in sight. */
  #fit() {
    const grid = this.home.querySelector(".matrix");
    if (!grid || (grid === this.#fitted.grid && this.home.offsetWidth === this.#fitted.width)) return;
    this.#fitted = { grid, width: this.home.offsetWidth };
    this.home.classList.remove("scrolls");
    this.home.classList.toggle("scrolls", grid.scrollWidth > grid.clientWidth + 1);
  }

  #enter(tile) {
    if (this.#current) this.#current.tabIndex = -1;
    this.#current = tile;
    if (tile) tile.tabIndex = 0;
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.altKey || event.metaKey || event.shiftKey || !/^(Arrow|Home|End|Page)/.test(event.key)) return;
    while (this.#next());
    const row = this.#rows.findIndex((tiles) => tiles.includes(tile));
    if (row < 0) return;
    const column = this.#rows[row].indexOf(tile);
    const to = this.home.classList.contains("grid")
      ? this.#inGrid(event, row, column)
      : this.#inWall(event, this.#rows[row], column);
    if (to === undefined) return;
    event.preventDefault();
    to?.focus();
    to?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #inGrid(event, row, column) {
    const rows = this.#rows;
    const across = (from, by) => {
      for (let at = from; at >= 0 && at < rows[row].length; at += by) if (rows[row][at]) return rows[row][at];
      return null;
    };
    const down = (from, by) => {
      for (let at = from; at >= 0 && at < rows.length; at += by) if (rows[at][column]) return rows[at][column];
      return null;
    };
    const all = rows.flat().filter(Boolean);
    switch (event.key) {
      case "ArrowLeft": return across(column - 1, -1);
      case "ArrowRight": return across(column + 1, 1);
      case "ArrowUp": return down(row - 1, -1);
      case "ArrowDown": return down(row + 1, 1);
      case "Home": return event.ctrlKey ? all[0] : across(0, 1);
      case "End": return event.ctrlKey ? all[all.length - 1] : across(rows[row].length - 1, -1);
      case "PageUp": return down(Math.max(0, row - 5), 1);
      case "PageDown": return down(Math.min(rows.length - 1, row + 5), -1);
      default: return undefined;
    }
  }

  #inWall(event, tiles, at) {
    switch (event.key) {
      case "ArrowLeft": return tiles[at - 1] || null;
      case "ArrowRight": return tiles[at + 1] || null;
      case "ArrowUp": return this.#beyond(tiles, at, -1);
      case "ArrowDown": return this.#beyond(tiles, at, 1);
      case "Home": return tiles[0];
      case "End": return tiles[tiles.length - 1];
      default: return undefined;
    }
  }

  /** The nearest picture in the next row of the wall, or in the one before. */
  #beyond(tiles, at, by) {
    const middle = (tile) => tile.parentElement.offsetLeft + tile.parentElement.offsetWidth / 2;
    const top = (tile) => tile.parentElement.offsetTop;
    let next = at + by;
    while (tiles[next] && top(tiles[next]) === top(tiles[at])) next += by;
    let best = tiles[next] || null;
    for (const there = best && top(best); best && tiles[next] && top(tiles[next]) === there; next += by)
      if (Math.abs(middle(tiles[next]) - middle(tiles[at])) < Math.abs(middle(best) - middle(tiles[at])))
        best = tiles[next];
    return best;
  }
};
