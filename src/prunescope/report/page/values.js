// The values of a figure by keyboard: arrow keys go from mark to mark, and what a pointer would show is shown and read out.
const values = (() => {
  "use strict";

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);

  // Marks that tell something when they are pointed at, line by line from left to right.
  const marksOf = (view) => {
    const marks = [];
    const visit = (group, x, y) => {
      for (const mark of group.items || []) {
        if (mark.marktype === "group") {
          for (const item of mark.items) visit(item, x + (item.x || 0), y + (item.y || 0));
        } else if (mark.marktype !== "text" && mark.role === "mark") {
          for (const item of mark.items) {
            if (!item.tooltip) continue;
            const {x1, x2, y1, y2} = item.bounds;
            marks.push({x: x + (x1 + x2) / 2, y: y + (y1 + y2) / 2, colour: item.fill || item.stroke, told: item.tooltip});
          }
        }
      }
    };
    for (const item of view.scenegraph().root.items) visit(item, 0, 0);
    const lines = [...new Set(marks.map((mark) => mark.colour))];
    return marks.sort((one, other) => lines.indexOf(one.colour) - lines.indexOf(other.colour) || one.x - other.x);
  };

  const words = (told) => (typeof told === "object" ? Object.entries(told).map(([name, value]) => `${name}: ${value}`) : [String(told)]);

  const show = (panel, view, mark) => {
    const frame = panel.querySelector(".screen svg, .screen canvas").getBoundingClientRect();
    const [left, top] = view.origin();
    tip.replaceChildren(...words(mark.told).map((line) => {
      const part = document.createElement("div");
      part.textContent = line;
      return part;
    }));
    tip.dataset.shown = "yes";
    const x = scrollX + frame.left + left + mark.x + 12, y = scrollY + frame.top + top + mark.y + 12;
    tip.style.left = `${Math.min(x, scrollX + document.documentElement.clientWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${y}px`;
  };

  const hide = () => {
    delete tip.dataset.shown;
    tip.replaceChildren();
  };

  // `drawn(place)` is the view of a panel, once it is drawn.
  const follow = (holder, panels, drawn) => {
    let panel = 0, at = -1;
    const turn = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 0, PageUp: 0, Home: 0, End: 0, Escape: 0};
    holder.tabIndex = 0;
    holder.setAttribute("role", "group");
    const title = holder.closest("figure").querySelector(".figure-title").textContent;
    holder.setAttribute("aria-label", `Values of ${title}: arrow keys; Page Down for the next drawing`);
    holder.addEventListener("keydown", (event) => {
      if (event.target !== holder || !(event.key in turn)) return;
      event.preventDefault();
      if (event.key === "Escape") { hide(); return; }
      if (event.key.startsWith("Page")) {
        panel = (panel + (event.key === "PageDown" ? 1 : panels.length - 1)) % panels.length;
        at = -1;
      }
      const view = drawn(panel);
      const marks = view ? marksOf(view) : [];
      if (!marks.length) { hide(); return; }
      if (event.key === "End") at = marks.length - 1;
      else at = Math.max(0, Math.min(marks.length - 1, event.key === "Home" ? 0 : at + (turn[event.key] || (at < 0 ? 1 : 0))));
      show(panels[panel], view, marks[at]);
    });
    holder.addEventListener("blur", () => { at = -1; hide(); });
  };

  return {follow};
})();
