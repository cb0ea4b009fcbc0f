// Draws the figures, moves the slider, hands out numbers and pictures. Everything that it shows was computed before.
(() => {
  "use strict";

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const figures = new Map();

  // Rows as the drawings want them, from columns as the page keeps them.
  const rowsOf = ({columns, values}) =>
    (values[0] || []).map((_, row) => Object.fromEntries(columns.map((name, place) => [name, values[place][row]])));

  const draw = async (figure, place) => {
    const {content, places, views, signals} = figure;
    const panel = content.panels[place];
    const drawing = (figure.turn[place] = (figure.turn[place] || 0) + 1);
    const spec = structuredClone(panel.spec);
    spec.datasets = {...(spec.datasets || {}), [content.name]: figure.rows};
    const holder = document.createElement("div");
    holder.style.width = "100%";
    const before = views[place];
    places[place].append(holder);
    const result = await window.embedVega(holder, spec, {
      actions: false, ast: true, config: panel.config[theme()], renderer: panel.renderer,
    });
    if (figure.turn[place] !== drawing) { result.finalize(); holder.remove(); return; }
    if (before) before.finalize();
    places[place].replaceChildren(holder);
    places[place].dataset.drawn = "yes";
    views[place] = result;
    for (const [name, value] of Object.entries(signals)) move(result.view, name, value);
  };

  const move = (view, name, value) => {
    if (name in view.getState().signals) view.signal(name, value).run();
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
    figures.set(element.id, {content, places, rows: rowsOf(content), views: [], turn: [], signals: {}});
    places.forEach((place) => watcher.observe(place));
    for (const button of element.querySelectorAll("button[data-take]")) {
      button.addEventListener("click", () => take(element.id, button.dataset.take));
    }
  }

  const redraw = () => {
    for (const figure of figures.values()) figure.views.forEach((view, place) => view && show(figure, place));
  };

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    redraw();
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
    for (const place of figure.places.keys()) {
      if (!figure.views[place]) await draw(figure, place);
      const {view} = figure.views[place];
      const name = `${slug}${figure.places.length > 1 ? `-${place + 1}` : ""}.${form}`;
      if (form === "svg") {
        save(new Blob([await view.toSVG()], {type: "image/svg+xml"}), name);
      } else {
        const canvas = await view.toCanvas(3);
        canvas.toBlob((blob) => save(blob, name), "image/png");
      }
    }
  };

  for (const slider of document.querySelectorAll(".slider[data-figure]")) {
    const stops = JSON.parse(slider.querySelector("script.stops").textContent);
    const input = slider.querySelector("input"), told = slider.querySelector("output");
    const why = slider.querySelector(".why"), table = slider.querySelector("table");
    const lines = [...table.querySelectorAll("tbody tr")];
    const tell = () => {
      const stop = stops[Number(input.value)];
      told.textContent = stop.label;
      input.setAttribute("aria-valuetext", stop.label);
      why.textContent = stop.why;
      why.hidden = !stop.why;
      table.hidden = Boolean(stop.why);
      stop.facts.forEach((values, row) => {
        const cells = lines[row].querySelectorAll("td");
        values.forEach((value, column) => { cells[column].textContent = value; });
      });
      const figure = figures.get(slider.dataset.figure);
      figure.signals.bound = stop.bound;
      figure.views.forEach((each) => each && move(each.view, "bound", stop.bound));
    };
    input.addEventListener("input", tell);
    tell();
  }

  const whole = document.getElementById("whole");
  if (whole) {
    whole.addEventListener("click", async () => {
      const letters = atob(JSON.parse(document.getElementById("rows").textContent));
      const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      save(new Blob([await new Response(stream).blob()], {type: "text/csv"}), "rows.csv");
    });
  }
})();
