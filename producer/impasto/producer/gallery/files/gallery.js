"use strict";

window.impasto = window.impasto || {};

impasto.STATES = { waiting: "Waiting", running: "Running", done: "Done", failed: "Failed", cancelled: "Cancelled" };
impasto.ABSENT = {
  waiting: "Its turn had not come when this page was made",
  running: "It was under way when this page was made",
  done: "Its picture can’t be shown",
  failed: "This pair failed",
  cancelled: "This pair was cancelled",
};
impasto.compare = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;

/** `41.2 s`, `3 min 05 s`. @param {number} seconds */
impasto.duration = (seconds) =>
  seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;

/** @param {string} iso */
impasto.time = (iso) => new Date(iso).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });

/** Terms with their descriptions. @param {HTMLElement} home @param {[string, unknown, boolean?][]} facts */
impasto.list = (home, facts) => {
  home.replaceChildren(
    ...facts.map(([label, value, marked]) => {
      const fact = impasto.element("div", marked ? "marked" : "");
      fact.append(impasto.element("dt", "", label), impasto.element("dd", "", String(value)));
      return fact;
    }),
  );
};

(() => {
  const data = window.impastoGallery;
  const { contents, styles, pairs } = data;
  const form = document.querySelector(".bar");
  const fields = form.elements;
  const hasGrid = data.product && contents.length > 1 && styles.length > 1;
  const words = pairs.map((pair) =>
    `${contents[pair.content].name}\n${styles[pair.style].name}\n${pair.error || ""}\n${pair.problem || ""}`.toLowerCase(),
  );
  let shown = pairs;

  const orders = {
    pair: () => 0,
    name: (a, b) =>
      impasto.compare(contents[a.content].name, contents[b.content].name) ||
      impasto.compare(styles[a.style].name, styles[b.style].name),
    newest: (a, b) => (b.finished || "").localeCompare(a.finished || ""),
    loss: (a, b) => (a.losses?.[2] ?? Infinity) - (b.losses?.[2] ?? Infinity) || 0,
    seconds: (a, b) => (b.seconds ?? -1) - (a.seconds ?? -1),
  };

  const sheet = new impasto.Sheet(document.getElementById("sheet"), data, (pair) => viewer.open(shown, pair));
  const viewer = new impasto.Viewer(
    document.getElementById("viewer"),
    data,
    (pair) => history.replaceState(null, "", `#pair-${pair.pair}`),
    (pair) => {
      history.replaceState(null, "", location.pathname + location.search);
      sheet.focus(pair);
    },
  );

  const apply = () => {
    const view = hasGrid ? fields.view.value : "wall";
    for (const option of fields.order.options) option.disabled = view === "grid" && !["pair", "name"].includes(option.value);
    if (fields.order.selectedOptions[0].disabled) fields.order.value = "pair";
    const wanted = fields.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const is = (field, value) => field.value === "" || field.value === String(value);
    shown = pairs
      .filter(
        (pair, place) =>
          is(fields.content, pair.content) &&
          is(fields.style, pair.style) &&
          is(fields.state, pair.state) &&
          wanted.every((word) => words[place].includes(word)),
      )
      .sort(orders[fields.order.value]);
    sheet.show(shown, view, fields.order.value === "name");
    const all = pairs.length.toLocaleString("en");
    fields.count.value = shown.length === pairs.length ? `${all} in all` : `${shown.length.toLocaleString("en")} of ${all}`;
    document.getElementById("nothing").hidden = shown.length > 0;
  };

  const choices = (select, entries) => {
    select.append(...entries.map(([value, text]) => new Option(text, value)));
    select.closest("label").hidden = entries.length < 2;
  };

  const start = () => {
    document.documentElement.classList.add("alive");
    for (const one of document.querySelectorAll(".masthead nav, .bar, .columns")) one.hidden = false;
    choices(fields.content, contents.map((input, place) => [place, impasto.short(input.name)]));
    choices(fields.style, styles.map((input, place) => [place, impasto.short(input.name)]));
    const states = Object.keys(impasto.STATES).filter((state) => pairs.some((pair) => pair.state === state));
    choices(fields.state, states.map((state) => [state, impasto.STATES[state]]));
    const roomy = window.innerWidth >= 700 && styles.length <= 12;
    fields.view.value = hasGrid && roomy ? "grid" : "wall";
    form.querySelector(".views").hidden = !hasGrid;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    const more = form.querySelector(".more");
    more.addEventListener("click", () => {
      more.setAttribute("aria-expanded", String(more.getAttribute("aria-expanded") === "false"));
    });
    document.getElementById("clear").addEventListener("click", () => {
      for (const name of ["text", "content", "style", "state"]) fields[name].value = "";
      apply();
      fields.text.focus();
    });
    new ResizeObserver(() =>
      document.documentElement.style.setProperty("--bar", `${form.offsetHeight}px`),
    ).observe(form);
    impasto.list(document.getElementById("facts"), data.facts);
    impasto.list(document.getElementById("settings"), data.settings);
    failures(pairs.filter((pair) => pair.state === "failed" || pair.problem));
    apply();
    const linked = /^#pair-(\d+)$/.exec(location.hash);
    const pair = linked && pairs.find((one) => one.pair === Number(linked[1]));
    if (pair) viewer.open(shown, pair);
  };

  /** Each with its reason, and a button that opens it. */
  const failures = (failed) => {
    const section = document.getElementById("failures");
    const link = document.getElementById("to-failures");
    section.hidden = link.hidden = failed.length === 0;
    link.textContent = `Failures (${failed.length.toLocaleString("en")})`;
    const list = section.querySelector("ol");
    let at = 0;
    impasto.bitByBit(() => {
      const pair = failed[at++];
      if (!pair) return false;
      const item = document.createElement("li");
      const open = impasto.element("button", "name");
      open.type = "button";
      open.append(
        impasto.element("bdi", "", impasto.short(contents[pair.content].name)),
        " × ",
        impasto.element("bdi", "", impasto.short(styles[pair.style].name)),
      );
      open.addEventListener("click", () => viewer.open(shown.includes(pair) ? shown : failed, pair));
      const tries = pair.attempts > 1 ? ` (${pair.attempts} attempts)` : "";
      item.append(open, impasto.element("p", "", `${pair.error || pair.problem}${tries}`));
      list.append(item);
      return at < failed.length;
    });
  };

  start();
})();
