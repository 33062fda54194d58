// Copyright 2026 The video-lmms authors.
// SPDX-License-Identifier: Apache-2.0
// The left column: filters and the samples that pass them.

import {byId, h, RUN_NAMES, verdictMark} from "./dom.js";
import {address, current, FILTERS, go} from "./state.js";

const TYPING_PAUSE = 200;

const DIFFERENCES = {
  judges: "judges disagree",
  verdict: "runs disagree",
  answer: "answers differ",
  first: "only A is right",
  second: "only B is right",
  neither: "both are wrong",
  missing: "answered by one run only",
};

/** Builds the filters once; `showList` fills them in. */
export function buildFilters(known) {
  const selects = {task: "Task", subset: "Subset", verdict: "Verdict", differ: known.runs.length > 1 ? "Difference" : "Judges", judge: "Judge"};
  const form = byId("filters");
  form.replaceChildren(
    h("label.search", {}, h("span.unseen", {}, "Search"), h("input", {type: "search", name: "q", placeholder: "Search  /", autocomplete: "off", spellcheck: "false"})),
    ...Object.entries(selects).map(([name, label]) => h("label", {"data-filter": name}, h("span", {}, label), h("select", {name}))),
    h("button", {type: "reset"}, "Clear filters"),
  );
  let pause;
  form.q.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => go({q: form.q.value.trim(), page: ""}, {replace: true}), TYPING_PAUSE);
  });
  form.addEventListener("change", ({target}) => {
    if (target === form.q) return;
    go({[target.name]: target.value, page: "", ...(target.name === "task" ? {subset: ""} : {})});
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    form.q.value = "";
    go(Object.fromEntries([...FILTERS, "page"].map((name) => [name, ""])));
  });
}

/** Shows a page of the list, and how many samples each filter would let pass. */
export function showList(found, known) {
  showFilters(found.counts, known);
  const state = current();
  byId("count").textContent = found.total === found.all ? `${count(found.all)}` : `${found.total} of ${count(found.all)}`;
  byId("list").replaceChildren(...found.samples.map((sample) => line(sample, known.runs.length, state)));
  if (!found.total) byId("list").append(h("li.nothing", {}, "No sample passes these filters."));
  showPager(found);
  markCurrent();
}

/** Marks the sample that is shown, and brings it into view. */
export function markCurrent() {
  const {of, id} = current();
  for (const link of byId("list").querySelectorAll("a")) {
    const is = link.dataset.of === of && link.dataset.id === id;
    if (is) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    if (is) link.scrollIntoView({block: "nearest"});
  }
}

const count = (number) => `${number.toLocaleString("en")} ${number === 1 ? "sample" : "samples"}`;

function line(sample, runs, state) {
  const target = {of: sample.task, id: sample.id};
  const answers = sample.answers.map((answer, run) =>
    h("span.answer", {}, runs > 1 ? h("b", {"data-run": run}, RUN_NAMES[run]) : null, answer === null ? h("i", {}, "not answered") : answer || "…"),
  );
  return h("li", {}, h("a", {
    href: address({...target, page: ""}, state),
    "data-of": sample.task,
    "data-id": sample.id,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go(target);
    },
  },
  h("span.marks", {}, sample.verdicts.map((verdict, run) => verdictMark(verdict, sample.scores[run], run, runs))),
  h("span.what", {}, h("span.question", {}, sample.question || sample.id), answers, h("span.where", {}, [sample.task, sample.subset, sample.id].filter(Boolean).join(" · ")))));
}

function showFilters(counts, known) {
  const form = byId("filters"), state = current(), runs = known.runs;
  const tasks = [...new Set(runs.flatMap((run) => Object.keys(run.tasks)))];
  const subsets = [...new Set(runs.flatMap((run) => Object.entries(run.tasks)
    .flatMap(([task, names]) => (!state.task || task === state.task ? names : []))))].filter(Boolean).sort();
  const differences = known.differences.filter((name) => (name === "judges" ? known.judges.length > 1 : runs.length > 1));
  fill(form.task, tasks.map((name) => [name, name, counts.task[name]]), "All tasks");
  fill(form.subset, subsets.map((name) => [name, name, counts.subset[name]]), "All subsets");
  fill(form.verdict, known.verdicts.map((name) => [name, name, counts.verdict[name]]), "Any verdict");
  fill(form.differ, differences.map((name) => [name, DIFFERENCES[name], counts.differ[name]]), runs.length > 1 ? "Same or not" : "Agree or not");
  fill(form.judge, known.judges.map((name) => [name, name, null]), runs.map((run) => run.judge).filter(Boolean)[0] ? "The run's own" : "None");
  for (const select of [form.task, form.subset, form.differ, form.judge]) {
    // What offers no choice is no filter, unless the address already asks for it.
    select.closest("label").hidden = select.options.length < (select === form.differ ? 2 : 3) && !state[select.name];
  }
  for (const name of FILTERS) {
    if (form[name] !== document.activeElement || name !== "q") form[name].value = state[name] ?? "";
  }
  form.querySelector("[type=reset]").hidden = !FILTERS.some((name) => state[name]);
}

function fill(select, choices, all) {
  select.replaceChildren(
    h("option", {value: ""}, all),
    ...choices.map(([value, label, number]) => h("option", {value}, number === null ? label : `${label} (${number ?? 0})`)),
  );
}

function showPager({page, pages}) {
  const button = (to, label) => h("button", {type: "button", disabled: to < 0 || to >= pages, onclick: () => go({page: String(to)}, {replace: true})}, label);
  byId("pager").replaceChildren(...(pages > 1 ? [button(page - 1, "← Earlier"), h("span", {}, `${page + 1} / ${pages}`), button(page + 1, "Later →")] : []));
}
