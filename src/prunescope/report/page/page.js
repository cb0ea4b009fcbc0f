// Draws the figures, moves the slider, hands out numbers and pictures. Everything that it shows was computed before.
(() => {
  "use strict";

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const figures = new Map();
  // How many times as high a figure is that was made larger.
  const LARGER = 1.6;
  // Entries of legends as options of the page hold them, by what the address calls them; and the one that was chosen.
  const entries = new Map();
  let chosen = null;

  // Rows as the drawings want them, from columns as the page keeps them.
  const rowsOf = ({columns, values}) =>
    (values[0] || []).map((_, row) => Object.fromEntries(columns.map((name, place) => [name, values[place][row]])));

  const looks = JSON.parse(document.getElementById("looks").textContent);
  const looked = (look, colours) => ({...looks[look], range: {...looks[look].range, category: colours}});

  const embed = (figure, place, holder, look) => {
    holder.setAttribute("aria-hidden", "true");  // the panel around it says what there is to be seen
    const {content} = figure;
    const panel = content.panels[place];
    const spec = structuredClone(panel.spec);
    spec.datasets = {...(spec.datasets || {}), [content.name]: figure.rows};
    if (holder.className === "paper") spec.width = figure.places[place].clientWidth;
    else spec.height *= figure.zoom;
    return window.embedVega(holder, spec, {actions: false, ast: true, config: looked(look, panel.colours[look]), renderer: panel.renderer});
  };

  const draw = async (figure, place) => {
    const {places, views} = figure;
    const drawing = (figure.turn[place] = (figure.turn[place] || 0) + 1);
    const holder = document.createElement("div");
    holder.className = "screen";
    holder.style.width = "100%";
    const before = views[place];
    places[place].append(holder);
    const result = await embed(figure, place, holder, theme());
    if (figure.turn[place] !== drawing) { result.finalize(); holder.remove(); return; }
    if (before) before.finalize();
    places[place].replaceChildren(holder);
    places[place].dataset.drawn = "yes";
    views[place] = result;
    figure.papers[place] = null;
    const {legend} = figure.content.panels[place];
    if (legend && legend.field) {
      const named = (item) => item?.mark?.marktype === "text" && item.datum?.[legend.field];
      result.view.addEventListener("pointerover", (_, item) => { if (named(item)) pointAll([legend.title, named(item)]); });
      result.view.addEventListener("pointerout", (_, item) => { if (named(item)) pointAll(chosen); });
    } else if (legend) {
      result.view.addSignalListener(legend.signal, (_, name) => {
        if (name !== figure.pointed[place]) pointAll(name === null ? chosen : [legend.title, String(name)]);
      });
    }
    restore(figure, place);
    if (theme() === "dark") {  // paper is light
      const paper = document.createElement("div");
      paper.className = "paper";
      places[place].append(paper);
      const copy = await embed(figure, place, paper, "light");
      if (figure.turn[place] !== drawing) { copy.finalize(); return; }
      figure.papers[place] = copy;
      restore(figure, place);
    }
  };

  // What was drawn anew stands where it stood before.
  const restore = (figure, place) => {
    for (const [name, value] of Object.entries(figure.signals)) moveAll(figure, place, name, value);
    point(figure, chosen);
  };

  // An entry of a legend, or a line's name, is pointed out in all panels that have it, by its title and itself.
  const point = (figure, entry) => {
    figure.content.panels.forEach(({legend}, place) => {
      if (!legend || !figure.views[place]) return;
      const there = entry && entry[0] === legend.title && legend.entries.includes(entry[1]);
      figure.pointed[place] = there ? entry[1] : null;
      moveAll(figure, place, legend.signal, figure.pointed[place]);
    });
  };

  const pointAll = (entry) => {
    for (const figure of figures.values()) point(figure, entry);
  };

  // What is chosen stays, in every figure that has it.
  const choose = (entry) => {
    chosen = entry;
    const value = entry ? JSON.stringify(entry) : "";
    for (const select of document.querySelectorAll("select.point")) {
      select.value = [...select.options].find((option) => option.value && JSON.stringify(JSON.parse(option.value)) === value)?.value ?? "";
    }
    pointAll(chosen);
  };

  const moveAll = (figure, place, name, value) => {
    for (const result of [figure.views[place], figure.papers[place]]) if (result) move(result.view, name, value);
  };

  const move = (view, name, value) => {
    if (name in view.getState().signals) view.signal(name, value).runAsync();
  };

  const failed = (place, trouble) => {
    place.textContent = `This figure cannot be drawn here: ${trouble.message}`;
    console.error(trouble);
  };

  const show = (figure, place) => draw(figure, place).catch((trouble) => failed(figure.places[place], trouble));

  // Figures are drawn when they come near.
  const watcher = new IntersectionObserver((entries) => {
    for (const {isIntersecting, target} of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      const figure = figures.get(target.closest("figure").id);
      const place = figure.places.indexOf(target);
      if (!figure.turn[place]) show(figure, place);
    }
  }, {rootMargin: "600px"});

  for (const element of document.querySelectorAll("figure.figure")) {
    const content = JSON.parse(element.querySelector("script.numbers").textContent);
    const places = [...element.querySelectorAll(".panel")];
    figures.set(element.id, {content, places, rows: rowsOf(content), views: [], papers: [], turn: [], signals: {}, pointed: [], zoom: 1});
    const figure = figures.get(element.id), select = element.querySelector("select.point");
    for (const place of places) {
      watcher.observe(place);
      if (select) place.addEventListener("pointerleave", () => pointAll(chosen));
    }
    if (select) {
      for (const {value} of select.options) if (value) entries.set(JSON.parse(value).join(" ").trim(), value);
      select.addEventListener("change", () => {
        choose(select.value ? JSON.parse(select.value) : null);
        address.remember("point", chosen ? chosen.join(" ").trim() : "");
      });
    }
    const larger = element.querySelector("button.zoom");
    larger.addEventListener("click", () => {
      const large = element.classList.toggle("large");
      larger.setAttribute("aria-pressed", String(large));
      figure.zoom = large ? LARGER : 1;
      figure.views.forEach((view, place) => view && show(figure, place));
    });
    values.follow(element.querySelector(".panels"), places, (place) => figure.views[place]?.view);
    for (const button of element.querySelectorAll("button[data-take]")) {
      button.addEventListener("click", () => take(element.id, button.dataset.take));
    }
  }

  // A family that is pointed at in their table stands out among their drawings.
  const names = document.querySelector('[data-of="families"] tbody');
  const small = [...document.querySelectorAll("#families-at-a-glance .panel")];
  const isOf = ({dataset: {name}}, family) => (name.endsWith(" \u2026") ? family.startsWith(name.slice(0, -2)) : family === name);
  const find = (row) => {
    const family = row?.querySelector("th").textContent || "";
    const there = small.some((panel) => isOf(panel, family));
    for (const panel of small) panel.classList.toggle("aside", there && !isOf(panel, family));
  };
  for (const event of ["pointerover", "focusin"]) names?.addEventListener(event, ({target}) => find(target.closest("tr")));
  for (const event of ["pointerleave", "focusout"]) names?.addEventListener(event, () => find(null));

  // What nobody has scrolled to is drawn while nothing else is to be done, so that it can be printed.
  const pause = window.requestIdleCallback || ((next) => setTimeout(next, 50));
  const drawRest = async () => {
    for (const figure of figures.values()) {
      for (const place of figure.places.keys()) {
        if (figure.turn[place]) continue;
        watcher.unobserve(figure.places[place]);
        await show(figure, place);
        await new Promise((next) => pause(next));
      }
    }
  };
  addEventListener("load", () => pause(drawRest));

  const redraw = () => {
    for (const figure of figures.values()) figure.views.forEach((view, place) => view && show(figure, place));
  };

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    redraw();
    address.remember("theme", theme());
  });
  dark.addEventListener("change", () => { if (!root.dataset.theme) redraw(); });

  addEventListener("beforeprint", () => {
    for (const figure of figures.values()) figure.places.forEach((_, place) => figure.turn[place] || show(figure, place));
  });

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  const quoted = (value) => {
    if (value === null || value === undefined) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const take = async (slug, form) => {
    const figure = figures.get(slug);
    if (form === "csv") {
      const {columns} = figure.content;
      const lines = [columns, ...figure.rows.map((row) => columns.map((name) => row[name]))];
      const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
      save(new Blob([text], {type: "text/csv"}), `${slug}.csv`);
      return;
    }
    const holder = document.createElement("div");
    const {view, finalize} = await window.embedVega(holder, composed(figure), {actions: false, ast: true, renderer: "svg"});
    if (form === "svg") save(new Blob([await view.toSVG()], {type: "image/svg+xml"}), `${slug}.svg`);
    else (await view.toCanvas(SCALE)).toBlob((blob) => save(blob, `${slug}.png`), "image/png");
    finalize();
  };

  // All panels in one, light, as `prunescope report --figures` writes them; the bound stands where it stands here.
  const SCALE = 2.5;
  const composed = (figure) => {
    const {name, panels, frame, width, colours} = figure.content;
    const params = new Map(), datasets = {[name]: figure.rows};
    const plain = (layer) => {
      delete layer.params;
      if (layer.encoding?.opacity) delete layer.encoding.opacity.condition;
      for (const part of layer.layer || []) plain(part);
    };
    const concat = panels.map((panel) => {
      const {$schema, autosize, params: asked = [], datasets: more = {}, ...spec} = structuredClone(panel.spec);
      for (const param of asked) if (param.name in figure.signals) params.set(param.name, {...param, value: figure.signals[param.name]});
      Object.assign(datasets, more);
      plain(spec);
      return {...spec, width};
    });
    return {...frame, config: {...looked("light", colours), ...frame.config}, datasets, concat, params: [...params.values()]};
  };

  for (const slider of document.querySelectorAll(".slider[data-place]")) {
    const stops = JSON.parse(slider.querySelector("script.stops").textContent);
    const input = slider.querySelector("[type=range]"), typed = slider.querySelector("[type=number]");
    const why = slider.querySelector(".why"), table = slider.querySelector("table"), heed = slider.querySelector(".heed");
    const headline = slider.closest(".asked").querySelector(".headline");
    const lines = [...table.querySelectorAll("tbody tr")];
    const figure = figures.get(slider.dataset.figure);
    const key = slider.dataset.place === "1" ? "bound" : `bound-${slider.dataset.place}`;
    const tell = () => {
      const stop = stops[Number(input.value)];
      headline.textContent = stop.headline;
      input.setAttribute("aria-valuetext", stop.label);
      why.textContent = stop.why;
      why.hidden = !stop.why;
      table.hidden = Boolean(stop.why);
      heed.hidden = !stop.warnings.length;
      heed.replaceChildren(...stop.warnings.map((words) => {
        const line = document.createElement("li");
        line.textContent = words;
        return line;
      }));
      stop.facts.forEach((values, row) => {
        const cells = lines[row].querySelectorAll("td");
        values.forEach((value, column) => { cells[column].textContent = value; });
      });
      if (!figure) return;
      figure.signals.bound = stop.bound;
      for (const place of figure.places.keys()) moveAll(figure, place, "bound", stop.bound);
    };
    // Of bounds that were not computed, the next lower one is shown: what meets it meets them.
    const go = (bound) => {
      input.value = Math.max(0, stops.findLastIndex((stop) => stop.bound <= bound * (1 + 1e-9)));
      tell();
    };
    input.addEventListener("input", () => {
      typed.value = stops[Number(input.value)].label;
      tell();
      address.remember(key, typed.value);
    });
    typed.addEventListener("change", () => {
      const bound = Number(typed.value);
      if (!(bound > 0)) return;
      go(bound);
      address.remember(key, typed.value);
    });
    tell();
    address.recall((state) => {
      const bound = Number(state.get(key));
      if (!(bound > 0)) return;
      typed.value = state.get(key);
      go(bound);
    });
  }

  address.recall((state) => {
    if (["dark", "light"].includes(state.get("theme")) && state.get("theme") !== theme()) {
      root.dataset.theme = state.get("theme");
      redraw();
    }
    choose(JSON.parse(entries.get(state.get("point")) || "null"));
  });

  const whole = document.getElementById("whole");
  if (whole) {
    whole.addEventListener("click", async () => {
      save(new Blob([await tables.unpacked()], {type: "text/csv"}), "rows.csv");
    });
  }
})();
