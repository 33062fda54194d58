// Copyright 2026 The video-lmms authors.
// SPDX-License-Identifier: Apache-2.0
// The page as a whole: what the runs are, keys, colours, and following the address and the runs as they change.

import {byId, h, RUN_NAMES, shown, spaced, trimmed} from "./dom.js";
import {showNothing, showSample} from "./detail.js";
import {buildFilters, markCurrent, showList} from "./list.js";
import {step} from "./media.js";
import {address, ask, current, filters, go} from "./state.js";

// Milliseconds between looks at whether a run has grown.
const WATCH = 5000;

let known, shownList = "", shownSample = "", sample = null, turn = 0;

async function start() {
  showTheme();
  known = await attempt(() => ask("api/runs"));
  if (!known) return;
  showRuns();
  buildFilters(known);
  addEventListener("popstate", () => attempt(show));
  addEventListener("statechange", () => attempt(show));
  addEventListener("keydown", onKey);
  addEventListener("pointerdown", ({target}) => {
    if (!target.closest("#results")) byId("results").open = false;
  });
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("theme").addEventListener("click", nextTheme);
  setInterval(() => document.hidden || follow(), WATCH);
  attempt(show);
}

/** Brings the page to what the address says. Of several changes in a row only the last is shown. */
async function show() {
  const mine = ++turn, state = current(), chosen = filters(state), before = sample;
  if (!state.id) {
    // A page without a sample shows the first one.
    const found = await ask("api/samples", {...chosen, ...(state.page ? {page: state.page} : {})});
    if (mine !== turn) return;
    drawList(found, state.page);
    if (found.samples.length) go({of: found.samples[0].task, id: found.samples[0].id}, {replace: true});
    else showNothing("No sample passes these filters.");
    return;
  }
  const next = await ask("api/sample", {...chosen, of: state.of ?? "", id: state.id});
  const page = state.page ?? String(next.page ?? 0), wanted = JSON.stringify([chosen, page, known.version]);
  const found = wanted === shownList ? null : await ask("api/samples", {...chosen, page});
  if (mine !== turn) return;
  if (found) drawList(found, page);
  else markCurrent();
  drawSample(next);
  // Filters that the sample on the page no longer passes lead to one that does; an address that was opened is kept.
  if (next.place === null && before && found?.samples.length) {
    go({of: found.samples[0].task, id: found.samples[0].id}, {replace: true});
  }
}

function drawList(found, page) {
  shownList = JSON.stringify([filters(), String(page ?? found.page), known.version]);
  showList(found, known);
}

function drawSample(next) {
  sample = next;
  // The clip of a sample that has not changed goes on playing.
  const content = JSON.stringify([next.answers, next.task, next.id]);
  const place = JSON.stringify([next.place, next.total, next.next, next.previous]);
  if (content + place === shownSample) return;
  const moved = !shownSample.startsWith(JSON.stringify([next.answers, next.task, next.id]));
  shownSample = content + place;
  showSample(next, known);
  if (moved) byId("detail").scrollTop = 0;
}

/** Reads the runs again when they have changed. */
async function follow() {
  await attempt(async () => {
    const now = await ask("api/runs");
    if (now.version === known.version) return;
    known = now;
    showRuns();
    await show();
  });
}

async function attempt(action) {
  try {
    const result = await action();
    byId("alert").hidden = true;
    return result;
  } catch (error) {
    byId("alert").textContent = error.message;
    byId("alert").hidden = false;
    return null;
  }
}

// What the runs are

function showRuns() {
  const opened = byId("results")?.open;
  byId("runs").replaceChildren(
    h("ul", {}, known.runs.map((run, place) => h("li", {"data-run": place, title: run.folder},
      known.runs.length > 1 ? h("b", {}, RUN_NAMES[place]) : null, h("strong", {}, run.name), model(run), h("span.quiet", {}, `${run.num_samples.toLocaleString("en")} answers`)))),
    h("details", {id: "results", open: opened, ontoggle: () => attempt(compare)}, h("summary", {}, "Results"), h("div.sheet", {}, results(), h("div.infos", {}, known.runs.map(infoTable)))));
}

function model(run) {
  const name = run.info.model;
  return name ? h("span", {}, typeof name === "string" ? name.split("/").at(-1) : shown(name.name ?? name)) : null;
}

function results() {
  const tasks = [...new Set(known.runs.flatMap((run) => Object.keys(run.results.tasks ?? {})))];
  if (!tasks.length) return h("p.quiet", {}, "Not scored yet: there is no results.json.");
  const two = known.runs.length > 1;
  const row = (name, entries, link, depth, unit) => h(depth ? "tr.subset" : "tr", {},
    h("th", {scope: "row"}, h("a", {href: link, onclick: (event) => { event.preventDefault(); history.pushState(null, "", link); byId("results").open = false; dispatchEvent(new Event("statechange")); }}, name)),
    h("td", {}, depth ? "" : metric(entries.find(Boolean))),
    entries.map((entry) => h("td.number", {}, value(entry, unit), h("span.quiet", {}, entry?.n ? ` n = ${entry.n}` : ""))),
    two ? h("td.number", depth ? {} : {"data-difference": name, "data-unit": unit}, difference(entries, unit)) : null);
  const rows = tasks.flatMap((task) => {
    const entries = known.runs.map((run) => run.results.tasks?.[task]);
    const subsets = [...new Set(entries.flatMap((entry) => Object.keys(entry?.subsets ?? {})))];
    const link = (subset) => address({task, subset, page: "", of: "", id: ""}, {});
    const unit = entries.find(Boolean).unit ?? "";
    return [row(task, entries, link(""), 0, unit), ...subsets.map((subset) => row(subset, entries.map((entry) => entry?.subsets?.[subset]), link(subset), 1, unit))];
  });
  return h("table.results", {},
    h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "Task"), h("th", {scope: "col"}, "Metric"),
      known.runs.map((run, place) => h("th.number", {scope: "col", "data-run": place}, two ? `${RUN_NAMES[place]} · ${run.name}` : run.name)), two ? h("th.number", {scope: "col"}, "B − A") : null)),
    h("tbody", {}, rows));
}

const metric = (entry) => `${spaced(entry?.metric ?? "")}${entry?.unit ? ` (${entry.unit})` : ""}`;
/** Tenths of a per cent, hundredths of a point, thousandths of what has no unit. */
const rounded = (number, unit) => number.toFixed(unit === "%" ? 1 : unit ? 2 : 3);
const signed = (number, unit) => (number === 0 ? "0" : `${number > 0 ? "+" : "−"}${rounded(Math.abs(number), unit)}`);

function value(entry, unit) {
  if (typeof entry?.value !== "number") return "–";
  return rounded(entry.value, unit) + (typeof entry.error === "number" ? ` ± ${rounded(entry.error, unit)}` : "");
}

function difference(entries, unit) {
  const [first, second] = entries.map((entry) => entry?.value);
  return typeof first === "number" && typeof second === "number" ? signed(second - first, unit) : "";
}

const chance = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`);

/** Puts the paired comparison in place of the plain difference, when somebody looks. */
async function compare() {
  if (known.runs.length < 2 || !byId("results").open) return;
  const {tasks} = await ask("api/comparison", current().judge ? {judge: current().judge} : {});
  for (const cell of document.querySelectorAll("[data-difference]")) {
    const found = tasks[cell.dataset.difference];
    if (!found) continue;
    cell.title = found.problem ?? `On ${found.n} samples that both answered: ${found.better} better, ${found.worse} worse. Brackets: 95 % interval; p: of a permutation test, both by video.`;
    if (found.problem) continue;
    const {unit} = cell.dataset;
    cell.replaceChildren(h("b", {}, signed(found.value, unit)), h("span.quiet", {}, ` [${signed(found.low, unit)}, ${signed(found.high, unit)}], ${chance(found.p_value)}`));
  }
}

function infoTable(run, place) {
  const rows = Object.entries(run.info).map(([name, given]) => h("div", {}, h("dt", {}, spaced(name)), h("dd", {}, shown(given))));
  return h("section", {"data-run": place}, h("h3", {}, known.runs.length > 1 ? `${RUN_NAMES[place]} · ${run.folder}` : run.folder), h("dl.facts", {}, rows));
}

// Keys

function onKey(event) {
  const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action?.(event)) event.preventDefault();
}

const toSample = (other) => {
  if (other) go({of: other.task, id: other.id, page: ""});
  return true;
};
const figure = () => document.activeElement?.closest("figure.medium") ?? document.querySelector("figure.medium");
const onPlayer = (event) => event.target instanceof HTMLMediaElement;
const toggle = (name, wanted) => {
  go({[name]: current()[name] === wanted ? "" : wanted, page: ""});
  return true;
};

const KEYS = {
  j: () => toSample(sample?.next),
  k: () => toSample(sample?.previous),
  " ": (event) => {
    const player = figure()?.querySelector("video, audio");
    if (!player || onPlayer(event) || event.target.closest("button, a, summary")) return false;
    if (player.paused) player.play().catch(() => {});
    else player.pause();
    return true;
  },
  ArrowLeft: () => step(figure(), -1),
  ArrowRight: () => step(figure(), 1),
  Home: () => step(figure(), "first"),
  End: () => step(figure(), "last"),
  w: () => toggle("verdict", "wrong"),
  d: () => toggle("differ", known.runs.length > 1 ? "verdict" : "judges"),
  Escape: () => {
    byId("results").open = false;
    return false;
  },
  r: () => {
    byId("results").open = !byId("results").open;
    return true;
  },
  "/": () => {
    byId("filters").q.focus();
    return true;
  },
  "?": () => {
    byId("keys").showModal();
    return true;
  },
};

// Colours

const THEMES = {auto: "◐", light: "☀", dark: "☾"};

function showTheme() {
  const theme = localStorage.getItem("theme") ?? "auto";
  document.documentElement.dataset.theme = theme;
  byId("theme").replaceChildren(h("span", {"aria-hidden": "true"}, THEMES[theme]), h("span.unseen", {}, `Colours: ${theme}`));
}

function nextTheme() {
  const names = Object.keys(THEMES);
  localStorage.setItem("theme", names[(names.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % names.length]);
  showTheme();
}

start();
