// Tables that are sorted by their heads, filtered and copied. Their controls are made here: without scripts none stands
// there that does nothing.
const tables = (() => {
  "use strict";

  // Rows that are shown once somebody asks for more than the first, and that each further wish adds.
  const MANY = 100, MORE = 400;

  // The whole table as it came with the page; null where it was too large for it.
  const unpacked = async () => {
    const packed = document.getElementById("rows");
    if (!packed) return null;
    const bytes = Uint8Array.from(atob(JSON.parse(packed.textContent)), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };

  const records = (csv) => {
    const lines = [];
    let line = [], field = "", quoted = false;
    for (let place = 0; place < csv.length; place += 1) {
      const letter = csv[place];
      if (quoted) {
        if (letter !== '"') field += letter;
        else if (csv[place + 1] === '"') { field += letter; place += 1; }
        else quoted = false;
      } else if (letter === '"') quoted = true;
      else if (letter === ",") { line.push(field); field = ""; }
      else if (letter === "\n") { line.push(field); lines.push(line); line = []; field = ""; }
      else if (letter !== "\r") field += letter;
    }
    if (field || line.length) lines.push([...line, field]);
    return lines;
  };

  // Numbers with six digits, as the page writes them; counts stay whole.
  const short = (text) => {
    const value = Number(text);
    if (!/[.eE]/.test(text) || !Number.isFinite(value)) return text;
    const size = Math.abs(Number(value.toPrecision(6)));
    if (size === 0 || (size >= 1e-4 && size < 1e6)) return String(Number(value.toPrecision(6)));
    const [digits, power] = value.toExponential(5).split("e");
    return `${Number(digits)}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  };

  const written = (text, head) => {
    if (head.flag) return {true: "yes", false: "no"}[text.toLowerCase()] ?? text;
    return head.number ? short(text) : text;
  };

  const number = (text) => (text === "" || text === undefined ? NaN : Number(text));
  const plain = (text) => text.replace(/[\t\r\n]+/g, " ");

  // A row as it stands in the page, with what it is sorted, found and copied by.
  const standing = (element, heads, byName) => {
    const cells = [...element.children];
    const words = cells.map((cell) => cell.textContent);
    const copied = cells.map((cell, place) => (heads[place].number ? cell.dataset.value ?? numeric(words[place]) : words[place]));
    // Among families one looks for names: figures that happen to hold the same digits are in the way.
    const named = words.filter((_, place) => !heads[place].number);
    const found = [...(byName ? named : words), ...cells.map((cell) => cell.dataset.more || "")].join(" ").toLowerCase();
    return {words, copied, found, element};
  };
  const numeric = (text) => (Number.isNaN(number(text)) ? "" : text);

  const built = (row, heads) => {
    const element = document.createElement("tr");
    element.append(...row.words.map((words, place) => {
      const cell = document.createElement("td");
      cell.className = heads[place].classes;
      cell.textContent = words;
      return cell;
    }));
    return element;
  };

  // Rows of the whole table, in the columns that are shown.
  const whole = async (heads) => {
    const csv = await unpacked();
    if (csv === null) return null;
    const [names, ...lines] = records(csv);
    const places = heads.map((head) => names.indexOf(head.name));
    return lines.map((line) => {
      const copied = places.map((place) => line[place]);
      const words = copied.map((text, place) => written(text, heads[place]));
      return {words, copied, found: words.join(" ").toLowerCase(), element: null};
    });
  };

  // What is missing stands last, whichever way.
  const compare = (head, place, sign) => (one, other) => {
    if (!head.number) return sign * one.words[place].localeCompare(other.words[place], "en", {numeric: true});
    const [a, b] = [number(one.copied[place]), number(other.copied[place])];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  };

  // Where a page may not write to the clipboard, the old way; where that is refused too, the text is shown, selected.
  const copy = async (text, bar) => {
    bar.querySelector("textarea")?.remove();
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.readOnly = true;
      area.setAttribute("aria-label", "Rows to copy");
      area.value = text;
      bar.append(area);
      area.select();
      if (!document.execCommand("copy")) return false;
      area.remove();
      return true;
    }
  };

  const made = (name, attributes, words = "") => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = words;
    return element;
  };

  for (const holder of document.querySelectorAll(".table")) {
    const ofRows = holder.dataset.of === "rows", what = ofRows ? "rows" : "families";
    const body = holder.querySelector("tbody");
    const heads = [...holder.querySelectorAll("thead th")].map((cell) => ({
      cell, name: cell.textContent, classes: cell.className, number: cell.classList.contains("number"), flag: "flag" in cell.dataset,
    }));
    let rows = [...body.children].map((element) => standing(element, heads, !ofRows));
    let known = !ofRows, limit = ofRows ? rows.length : Infinity, sorted = null, sign = 1, shown = rows;

    const bar = made("div", {class: "use"});
    const filter = made("input", {type: "search", placeholder: `Filter ${what}`, "aria-label": `Filter ${what}`, autocomplete: "off"});
    const button = made("button", {type: "button"}, `Copy ${what}`);
    const more = made("button", {type: "button"}, "Show more");
    const told = made("output", {});
    bar.append(filter, button, more, told);
    holder.prepend(bar);

    const count = (value) => value.toLocaleString("en-US");
    const state = (total) => {
      const visible = Math.min(limit, shown.length);
      const part = visible < shown.length ? `, the first ${count(visible)} shown` : "";
      more.hidden = visible >= shown.length;
      return `${count(shown.length)} of ${count(total)} ${what}${part}`;
    };
    const show = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = rows.filter((row) => words.every((word) => row.found.includes(word)));
      if (sorted !== null) shown = [...shown].sort(compare(heads[sorted], sorted, sign));
      for (const row of shown.slice(0, limit)) row.element ||= built(row, heads);
      body.replaceChildren(...shown.slice(0, limit).map((row) => row.element));
      told.textContent = state(rows.length);
    };
    // The whole table is read when it is first asked for.
    const know = async (most) => {
      if (!known) {
        rows = (await whole(heads)) || rows;
        known = true;
      }
      limit = Math.max(limit, most);
    };

    const order = (place, way) => {
      [sorted, sign] = [place, way];
      for (const {cell} of heads) cell.removeAttribute("aria-sort");
      if (sorted !== null) heads[sorted].cell.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    };
    heads.forEach((head, place) => {
      const sort = made("button", {type: "button", class: "sort"}, head.name);
      head.cell.replaceChildren(sort);
      sort.addEventListener("click", async () => {
        await know(MANY);
        order(...(sorted !== place ? [place, 1] : sign === 1 ? [place, -1] : [null, 1]));
        address.remember(`${what}-by`, sorted === null ? "" : `${sign === 1 ? "" : "-"}${head.name}`);
        show();
      });
    });
    filter.addEventListener("input", async () => {
      await know(MANY);
      address.remember(what, filter.value);
      show();
    });
    more.addEventListener("click", async () => { await know(known ? limit + MORE : MANY); show(); });
    button.addEventListener("click", async () => {
      await know(0);
      show();
      const lines = [heads.map((head) => head.name), ...shown.map((row) => row.copied)];
      const text = lines.map((line) => line.map(plain).join("\t")).join("\n") + "\n";
      const done = await copy(text, bar);
      told.textContent = done ? `${count(shown.length)} ${what} copied` : `Press Ctrl+C to copy ${count(shown.length)} ${what}`;
    });
    const total = Number(holder.dataset.total || rows.length);
    more.hidden = true;
    told.textContent = `${count(rows.length)} of ${count(total)} ${what}${rows.length < total ? " shown" : ""}`;
    if (ofRows && rows.length < total && document.getElementById("rows")) more.hidden = false;
    address.recall(async (kept) => {
      const by = kept.get(`${what}-by`) || "", place = heads.findIndex((head) => head.name === by.replace(/^-/, ""));
      const [wanted, way] = place < 0 ? [null, 1] : [place, by.startsWith("-") ? -1 : 1];
      if ((kept.get(what) || "") === filter.value && wanted === sorted && way === sign) return;
      filter.value = kept.get(what) || "";
      order(wanted, way);
      await know(MANY);
      show();
    });
  }

  return {unpacked};
})();
