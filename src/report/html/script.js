"use strict";
(() => {
  const $ = (s, root = document) => root.querySelector(s);
  const $$ = (s, root = document) => [...root.querySelectorAll(s)];
  const live = $("#live");

  // Theme: the system's until chosen; the choice is kept where the browser lets a file keep anything.
  const root = document.documentElement, theme = $("#theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const label = () => {
    theme.textContent = dark() ? "Light theme" : "Dark theme";
    theme.setAttribute("aria-pressed", String(dark()));
  };
  try {
    const kept = localStorage.getItem("tagcl-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* storage is closed to this file */ }
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("tagcl-theme", root.dataset.theme); } catch { /* as above */ }
    label();
  });
  system.addEventListener("change", label);
  label();

  // Sorting: by data-v where a cell has one, numbers before texts, absent values last in both directions.
  const tables = $$("table.results");
  for (const table of tables) {
    const body = table.tBodies[0];
    $$("thead th", table).forEach((th, column) => {
      const button = $("button", th);
      if (!button) return;
      button.addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") === "ascending";
        $$("thead th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
        const compare = (a, b) => {
          if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
          const x = Number(a), y = Number(b);
          const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en") : x - y;
          return down ? -order : order;
        };
        const rows = [...body.rows].map((row) => [key(row), row]);
        rows.sort((a, b) => compare(a[0], b[0]));
        body.append(...rows.map(([, row]) => row));
        live.textContent = `Sorted by ${button.textContent.trim()}, ${down ? "descending" : "ascending"}.`;
      });
    });
  }

  // Filters: rows, their details and their parts of the plots.
  const filters = $("#filters");
  if (filters && tables.length) {
    filters.hidden = false;
    const count = $("#count");
    const apply = () => {
      const chosen = $$("select", filters).map((s) => [s.name, s.value]);
      const words = $("input", filters).value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
      for (const row of rows) {
        // A row's words are its own, its table's title and what its table has no column for.
        const title = $("h3", row.closest(".stage")).textContent;
        const text = [row.textContent, title, ...Object.values(row.dataset)].join(" ").toLowerCase();
        const fits = chosen.every(([name, value]) => value === "" || row.dataset[name] === value)
          && words.every((word) => text.includes(word));
        row.hidden = !fits;
        shown += fits;
        const id = row.dataset.group;
        $$(`svg [data-group="${id}"]`).forEach((g) => g.classList.toggle("off", !fits));
        const details = document.getElementById(`g${id}`);
        if (details) details.hidden = !fits;
      }
      $$("figure[data-groups]").forEach((figure) => {
        const ids = figure.dataset.groups.split(" ");
        figure.hidden = ids.every((id) => $(`tr[data-group="${id}"]`)?.hidden);
      });
      $$(".stage").forEach((stage) => { stage.hidden = !$("tbody tr:not([hidden])", stage); });
      count.textContent = `${shown} of ${rows.length} configurations shown`;
    };
    filters.addEventListener("input", apply);
    filters.addEventListener("reset", () => setTimeout(apply));
    filters.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  // Values of the plots: on hovering and touching, and with the arrow keys once a plot has the focus.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
    tip.style.top = `${y - box.height - 12 < 4 ? y + 18 : y - box.height - 12}px`;
  };
  const hide = () => { tip.hidden = true; $$(".cursor").forEach((c) => c.remove()); };
  const heatMaps = new WeakMap();
  const cellsOf = (g) => {
    if (!heatMaps.has(g)) {
      heatMaps.set(g, {
        values: g.dataset.values.split(";").map((row) => row.split(",")),
        rows: g.dataset.rows.split("|"),
        columns: g.dataset.columns.split("|"),
      });
    }
    return heatMaps.get(g);
  };
  const cellText = (g, i, j) => {
    const { values, rows, columns } = cellsOf(g);
    const value = values[i]?.[j];
    return value ? `${rows[i]}, ${columns[j]}: ${value}` : null;
  };
  const frame = (g, i, j) => {
    $$(".cursor").forEach((c) => c.remove());
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [k, v] of Object.entries({ x: j, y: i, width: 1, height: 1, class: "cursor" })) rect.setAttribute(k, v);
    g.append(rect);
    return rect;
  };
  const point = (event) => {
    const svg = event.target.closest?.("svg.plot");
    if (!svg) return hide();
    const mark = event.target.closest("[data-tip]");
    if (mark) return show(mark.dataset.tip, event.clientX, event.clientY);
    const g = event.target.closest(".cells");
    if (g) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(g.getScreenCTM().inverse());
      const i = Math.floor(at.y), j = Math.floor(at.x), text = cellText(g, i, j);
      if (text) { frame(g, i, j); return show(text, event.clientX, event.clientY); }
    }
    hide();
  };
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  addEventListener("scroll", hide, { passive: true });
  const places = new WeakMap();
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const svg = event.target.closest?.("svg.plot");
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!svg || !step) return;
    event.preventDefault();
    const g = $(".cells", svg);
    let text, box;
    if (g) {
      const last = places.get(svg);
      let [i, j] = last ? [last[0] + step[0], last[1] + step[1]] : [0, 0];
      if (!cellText(g, i, j)) [i, j] = last ?? [0, 0];
      places.set(svg, [i, j]);
      text = cellText(g, i, j);
      box = frame(g, i, j).getBoundingClientRect();
    } else {
      const marks = $$("[data-tip]", svg).filter((mark) => !mark.closest(".off"));
      if (!marks.length) return;
      const last = places.get(svg) ?? (step[0] + step[1] > 0 ? -1 : 0);
      const n = (last + step[0] + step[1] + marks.length) % marks.length;
      places.set(svg, n);
      text = marks[n].dataset.tip;
      box = marks[n].getBoundingClientRect();
    }
    show(text, box.x + box.width / 2, box.y + box.height / 2);
    live.textContent = text;
  });
  document.addEventListener("focusout", hide);

  // Commands to the clipboard.
  if (navigator.clipboard) {
    $$(".cmd").forEach((cmd) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy the command");
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText($("code", cmd).textContent);
          button.textContent = "Copied";
          live.textContent = "Command copied.";
        } catch {
          getSelection().selectAllChildren($("code", cmd));
          live.textContent = "Command selected.";
        }
      });
      cmd.append(button);
    });
  }

  // A link to details opens them.
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#g"]');
    if (link && link.hash === location.hash) open();
  });
  open();
})();
