
"use strict";
(() => {
const D = JSON.parse(document.getElementById("data").textContent);
const form = document.querySelector(".controls");
if (!form) return;
const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const N = D.treatments.length, C = D.cells.length, NONE = "–";
const unpack = (text, at, width) => {
  let value = 0;
  for (let i = at * width; i < (at + 1) * width; i++) value = value * 64 + DIGITS.indexOf(text[i]);
  return value;
};
const make = (tag, text = "", attributes = {}, namespace) => {
  const element = namespace ? document.createElementNS(namespace, tag) : document.createElement(tag);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const minus = text => text.replace("-", "−");
const signed = (value, digits) => (value > 0 && +value.toFixed(digits) ? "+" : "") +
  minus((+value.toFixed(digits) || 0).toFixed(digits));
// Changes come rounded to the digits they are shown with.
const changeDigits = (...values) => {
  const digits = Math.max(...values) < 100 ? 1 : 0;
  return values.some(value => +value.toFixed(digits) === -100) ? 2 : digits;
};
const change = (value, digits = changeDigits(value)) => value >= 1e9 ? "unbounded" : signed(value, digits);
const changeInterval = (low, high) =>
  "[" + [low, high].map(x => change(x, changeDigits(low, high))).join(", ") + "]";
const pValue = p => p || "< 0.001";
const state = {base: 0, q: "", init: "", rew: "", data: "", arch: "", sort: "", cell: ""};

// Pairs (i, j), i < j, stand in the order of rows of a triangle.
const pairAt = (i, j) => i * N - i * (i + 1) / 2 + j - i - 1;
const difference = (cell, t, base) => {
  if (t === base) return null;
  const [i, j] = t < base ? [t, base] : [base, t];
  const at = pairAt(i, j) * C + cell, packed = unpack(D.differences, at, 3);
  if (!packed) return null;
  const value = Math.floor((packed - 1) / 2) - 10000;
  const half = D.half_widths ? unpack(D.half_widths, at, 2) : 0;
  return {points: (t < base ? value : -value) / 100, marked: (packed - 1) % 2 === 1,
    half: half && half < 4095 ? (half - 1) / 100 : null};
};

// The tables as they came; rows stay, their texts follow the baseline.
const ranking = $(".ranking"), cells = $(".cells");
const rows = table => table ? $$("tbody tr", table) : [];
for (const table of [ranking, cells]) {
  if (!table) continue;
  $$("thead th", table).forEach((th, column) => {
    if ($(".axis", th)) return;
    const button = make("button", "", {type: "button"});
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const key = table.className + "." + column;
      const [now, direction] = state.sort.split(":");
      state.sort = key + ":" + (now === key && direction === "up" ? "down" : "up");
      show();
    });
  });
}
for (const row of rows(cells)) [...row.cells].slice(1).forEach((td, cell) => {
  const button = make("button", td.textContent, {type: "button"});
  td.replaceChildren(button);
  button.addEventListener("click", () => { state.cell = cell + "." + row.dataset.t; show(); });
});

const failuresOf = t => rows(ranking).find(row => +row.dataset.t === t).cells[7].textContent;
const failed = text => text.replaceAll(",", "").split("/").reduce((k, n) => k / n);
const moreFailures = (verdict, own, other) =>
  /^(better|equivalent|identical)/.test(verdict) && failed(own) > failed(other) ? `, diverged ${own} against ${other}` : "";
const drawRanking = () => {
  const found = D.rankings[state.base] || [];
  const ties = {};
  let low = Math.log(0.98), high = Math.log(1.02);
  const log = percent => Math.log(Math.max(1 + percent / 100, 1e-9));
  const most = Math.log(4);
  for (const row of found) if (row) {
    ties[row[0]] = (ties[row[0]] || 0) + 1;
    low = Math.max(Math.min(low, log(row[2])), -most);
    high = Math.min(Math.max(high, log(row[3])), most);
  }
  const at = percent => 100 * (Math.min(Math.max(log(percent), low), high) - low) / (high - low);
  ranking.style.setProperty("--z", at(0));
  for (const row of rows(ranking)) {
    const t = +row.dataset.t, own = found[t];
    const text = (column, value) => { row.cells[column].textContent = value; };
    row.className = "";
    row.cells[4].replaceChildren();
    [0, 2, 3, 5].forEach(column => text(column, NONE));
    text(6, t === state.base ? "baseline" : "unranked");
    if (t === state.base) text(2, "0");
    if (!own) continue;
    text(0, own[0] + (ties[own[0]] > 1 ? "=" : ""));
    text(2, change(own[1]));
    text(3, changeInterval(own[2], own[3]));
    text(5, pValue(own[4]));
    const verdict = D.verdicts[own[5]];
    text(6, verdict + moreFailures(verdict, row.cells[7].textContent, failuresOf(state.base)));
    row.className = verdict.startsWith("better") ? "better" : verdict === "worse" ? "worse" : "";
    const bar = make("i", "", {class: "bar"});
    bar.style.setProperty("--l", at(own[2]));
    bar.style.setProperty("--w", at(own[3]) - at(own[2]));
    bar.style.setProperty("--m", at(own[1]));
    row.cells[4].append(bar);
  }
};

const drawCells = () => {
  const found = [];
  for (const row of rows(cells)) [...row.cells].slice(1).forEach((td, cell) => {
    const own = difference(cell, +row.dataset.t, state.base);
    found.push([td, own]);
  });
  const sizes = found.filter(([, own]) => own).map(([, own]) => Math.abs(own.points)).sort((a, b) => a - b);
  const limit = Math.max(sizes[Math.floor(sizes.length * 0.9)] || 1, 0.01);
  $(".limit").textContent = limit.toFixed(2);
  for (const [td, own] of found) {
    td.firstChild.textContent = own ? signed(own.points, 2) + (own.marked ? "*" : "") : NONE;
    const step = own ? Math.round(5 * Math.sqrt(Math.min(Math.abs(own.points) / limit, 1))) : 0;
    td.className = step ? (own.points > 0 ? "b" : "w") + step : "";
  }
};

const filter = () => {
  const q = state.q.toLowerCase();
  const shown = D.treatments.map((name, t) => name.toLowerCase().includes(q) &&
    (!state.init || D.initializers[t] === state.init) && (!state.rew || D.rewirings[t] === state.rew));
  const columns = D.cells.map(cell => (!state.data || cell[0] === state.data) && (!state.arch || cell[1] === state.arch));
  for (const table of [ranking, cells]) for (const row of rows(table)) row.hidden = !shown[row.dataset.t];
  if (cells) for (const row of $$("tr", cells)) [...row.cells].slice(1).forEach((cell, k) => { cell.hidden = !columns[k]; });
  const parts = [`${shown.filter(Boolean).length} of ${N} treatments`, `${columns.filter(Boolean).length} of ${C} cells shown`];
  $(".status").textContent = parts.join(", ") + (state.data || state.arch ? "; ranks are over all cells" : "");
};

const value = text => {
  const plain = text.replace("−", "-").replace(/[×,*\[=]|[<>] /g, "").trim();
  const ratio = plain.match(/^(\d+)\/(\d+)$/);
  if (ratio) return +ratio[1] / (+ratio[2] || 1);
  const number = parseFloat(plain);
  return plain.startsWith(NONE) || plain === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
const sort = () => {
  const [key, direction] = state.sort.split(":");
  for (const table of [ranking, cells]) {
    if (!table) continue;
    const body = $("tbody", table), mine = key.split(".")[0] === table.className;
    const column = mine ? +key.split(".")[1] : 0;
    $$("thead th", table).forEach((th, k) => {
      if (mine && k === column) th.setAttribute("aria-sort", direction === "down" ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
    const found = D.rankings[state.base] || [];
    const place = row => +row.dataset.t === state.base ? -1 : (found[row.dataset.t] || [1e9])[0];
    const sorted = rows(table).map(row => [row, mine ? value((row.cells[column] || {}).textContent || "") : place(row), place(row)]);
    sorted.sort(([, a, x], [, b, y]) => a === null || b === null ? (a === null) - (b === null) || x - y
      : (direction === "down" && mine ? -1 : 1) * compare(a, b) || x - y);
    // Moving rows would take the focus from a button in them.
    if (sorted.some(([row], k) => row !== body.rows[k])) body.append(...sorted.map(([row]) => row));
  }
};

const SVG = "http://www.w3.org/2000/svg";
const curvesOf = (cell, t) => {
  const epochs = D.curves.epochs[cell];
  return epochs.map((epoch, k) => {
    const at = t * epochs.length + k, mean = unpack(D.curves.means[cell], at, 2), half = unpack(D.curves.half_widths[cell], at, 2);
    return mean ? {epoch, mean: (mean - 1) / 10, half: half ? (half - 1) / 10 : 0} : null;
  }).filter(Boolean);
};
const drawCurves = (cell, t) => {
  const lines = [[curvesOf(cell, t), "k1", D.treatments[t]], [curvesOf(cell, state.base), "k0", D.treatments[state.base]]];
  if (t === state.base) lines.shift();
  const points = lines.flatMap(([line]) => line);
  if (!points.length) return make("p", "No curves: no run of either is ok.", {class: "note"});
  const ends = (values, room) => { const a = Math.min(...values), b = Math.max(...values); return b > a ? [a, b] : [a - room, b + room]; };
  const [x0, x1] = ends(points.map(p => p.epoch), 1);
  const [y0, y1] = ends(points.flatMap(p => [p.mean - p.half, p.mean + p.half]), 1);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find(each => (y1 - y0) / each <= 6) || 20;
  const x = epoch => 46 + 540 * (epoch - x0) / (x1 - x0), y = accuracy => 214 - 190 * (accuracy - y0) / (y1 - y0);
  const names = lines.map(([, , name]) => name).join(" and ");
  const svg = make("svg", "", {viewBox: "0 -8 600 260", role: "img", "aria-label": `Validation accuracy by epoch of ${names}`}, SVG);
  const text = (label, attributes) => svg.append(make("text", label, attributes, SVG));
  for (let k = Math.ceil(y0 / step); k * step <= y1; k++) {
    const accuracy = k * step;
    svg.append(make("path", "", {d: `M46 ${y(accuracy)}H586`, stroke: "var(--line)"}, SVG));
    text(accuracy.toFixed(step < 1 ? 1 : 0), {x: 40, y: y(accuracy) + 4, "text-anchor": "end"});
  }
  for (const epoch of new Set([x0, Math.round((x0 + x1) / 2), x1])) text(String(epoch), {x: x(epoch), y: 230, "text-anchor": "middle"});
  text("validation accuracy, % (band: 95 % interval of the mean)", {x: 46, y: 14});
  text("epoch", {x: 586, y: 246, "text-anchor": "end"});
  for (const [line, style] of lines) {
    if (!line.length) continue;
    const up = line.map(p => `${x(p.epoch)} ${y(p.mean + p.half)}`), down = line.map(p => `${x(p.epoch)} ${y(p.mean - p.half)}`).reverse();
    svg.append(make("path", "", {d: "M" + up.concat(down).join("L") + "Z", class: style, fill: "currentColor", opacity: 0.16, "stroke-width": 0}, SVG));
    svg.append(make("path", "", {d: "M" + line.map(p => `${x(p.epoch)} ${y(p.mean)}`).join("L"), class: style, fill: "none", "stroke-width": 2, "stroke-dasharray": style === "k0" ? "6 4" : "none"}, SVG));
  }
  const figure = make("figure", "", {style: "margin:0"}), caption = make("figcaption", "", {class: "note"});
  for (const [, style, name] of lines) caption.append(make("span", (style === "k0" ? "╍ " : "━ ") + name + "   ", {class: style}));
  figure.append(svg, caption);
  return figure;
};
const runOf = (cell, t, s) => {
  const packed = unpack(D.runs, (cell * N + t) * D.seeds.length + s, 3);
  return !packed ? "no run" : packed < 8 ? D.statuses[packed] : ((packed - 8) / 100).toFixed(2);
};
const trialOf = (cell, t, s) => {
  if (!D.trials || s >= D.named_seeds) return "";
  const at = 2 * ((cell * N + t) * D.named_seeds + s), halves = [unpack(D.trials, at, 6), unpack(D.trials, at + 1, 6)];
  return halves[0] || halves[1] ? halves.map(half => half.toString(16).padStart(8, "0")).join("") : "";
};
const detail = () => {
  const dialog = $("dialog"), box = $(".detail", dialog);
  const [cell, t] = state.cell.split(".").map(Number);
  if (!state.cell || !D.cells[cell] || !D.treatments[t]) { if (dialog.open) dialog.close(); return; }
  const name = D.treatments[t], base = D.treatments[state.base], own = difference(cell, t, state.base);
  box.replaceChildren(make("h2", `${name} on ${D.cells[cell].join(" / ")}`, {id: "detail-title"}));
  box.append(make("p", t === state.base ? "This is the baseline." : !own ? `Fewer than three pairs of runs with ${base}.`
    : `${signed(own.points, 2)} points against ${base}` + (own.half === null ? "" :
      `, 95 % interval [${signed(own.points - own.half, 2)}, ${signed(own.points + own.half, 2)}]`) +
      (own.marked ? "; stands out among its cells (Benjamini-Hochberg, 5 %)." : ".")));
  if (D.curves) box.append(drawCurves(cell, t));
  const shown = D.runs ? D.seeds.map((seed, s) => [seed, runOf(cell, t, s), runOf(cell, state.base, s), s])
    .filter(([, a, b]) => a !== "no run" || b !== "no run") : [];
  if (shown.length) {
    const wrap = make("div", "", {class: "scroll runs", tabindex: 0, role: "region", "aria-label": "Runs"}), table = make("table");
    const row = (texts, tag, scope) => { const tr = make("tr"); texts.forEach((text, k) => tr.append(make(k && !scope ? "td" : tag, String(text), k && !scope ? {} : {scope: scope || "row"}))); return tr; };
    const thead = make("thead"), tbody = make("tbody");
    const others = t === state.base ? 0 : 1;
    thead.append(row(["Seed", name, base].slice(0, 2 + others), "th", "col"));
    for (const [seed, a, b] of shown) tbody.append(row([seed, a, b].slice(0, 2 + others), "th"));
    table.append(make("caption", "Test accuracy in percent, or how the run ended"), thead, tbody);
    wrap.append(table);
    box.append(wrap);
    const trials = shown.map(([, , , s]) => trialOf(cell, t, s)).filter(Boolean);
    const more = trials.length < shown.length ? "; trials.csv names the others" : "";
    box.append(make("p", `To repeat ${trials.length ? "these runs" : "a run"}, in this board's folder${more}:`));
    box.append(make("pre", (trials.length ? trials : ["TRIAL"]).map(trial => `initbench reproduce ${trial} --records .`).join("\n"), {tabindex: 0}));
  } else box.append(make("p", "The runs are in trials.csv.", {class: "note"}));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
};

// The state in the address: names rather than places, so that a link outlives a rebuild.
const write = () => {
  const hash = new URLSearchParams();
  if (state.base) hash.set("base", D.treatments[state.base]);
  for (const key of ["q", "init", "rew", "data", "arch", "sort"]) if (state[key]) hash.set(key, state[key]);
  if (state.cell) { const [cell, t] = state.cell.split("."); hash.set("cell", JSON.stringify([...D.cells[cell], D.treatments[t]])); }
  const text = hash.toString();
  const anchor = location.hash && !location.hash.includes("=");
  if (text !== location.hash.slice(1) && (text || !anchor)) history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
};
const read = () => {
  const hash = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  state.base = Math.max(D.treatments.indexOf(hash.get("base")), 0);
  for (const key of ["q", "init", "rew", "data", "arch"]) state[key] = hash.get(key) || "";
  state.sort = /^(ranking|cells)\.\d+:(up|down)$/.test(hash.get("sort") || "") ? hash.get("sort") : "";
  state.cell = "";
  try {
    const [a, b, c, name] = JSON.parse(hash.get("cell") || "[]");
    const cell = D.cells.findIndex(each => each[0] === a && each[1] === b && each[2] === c), t = D.treatments.indexOf(name);
    if (cell >= 0 && t >= 0) state.cell = cell + "." + t;
  } catch { /* a mangled link opens the plain page */ }
};
const show = () => {
  for (const key of ["q", "init", "rew", "data", "arch"]) form.elements[key].value = state[key];
  form.elements.base.value = state.base;
  for (const name of $$(".base")) name.textContent = D.treatments[state.base];
  if (ranking) drawRanking();
  if (cells) drawCells();
  sort(); filter(); detail(); write();
};
const options = (select, names, all) => {
  if (all) select.append(make("option", all, {value: ""}));
  for (const name of [...new Set(names)].sort()) select.append(make("option", name, {value: name}));
};
D.treatments.forEach((name, t) => { if (D.rankings[t]) form.elements.base.append(make("option", name, {value: t})); });
options(form.elements.init, D.initializers, "all");
options(form.elements.rew, D.rewirings, "all");
options(form.elements.data, D.cells.map(cell => cell[0]), "all");
options(form.elements.arch, D.cells.map(cell => cell[1]), "all");
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("input", () => {
  for (const key of ["q", "init", "rew", "data", "arch"]) state[key] = form.elements[key].value;
  state.base = +form.elements.base.value;
  show();
});
form.addEventListener("reset", event => { event.preventDefault(); Object.assign(state, {base: 0, q: "", init: "", rew: "", data: "", arch: "", sort: ""}); show(); });
$("dialog").addEventListener("close", () => { if (state.cell) { state.cell = ""; write(); } });
addEventListener("hashchange", () => { if (location.hash.includes("=") || !location.hash) { read(); show(); } });
form.hidden = false;
if ($(".hint")) $(".hint").hidden = false;
read();
show();
})();
