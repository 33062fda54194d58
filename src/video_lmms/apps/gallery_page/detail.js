// Copyright 2026 The video-lmms authors.
// SPDX-License-Identifier: Apache-2.0
// The right column: one sample, with what each run answered and how it was judged.

import {byId, clock, h, RUN_NAMES, shown, spaced, trimmed, verdictMark} from "./dom.js";
import {mediumFigure} from "./media.js";
import {go} from "./state.js";

// Facts of a record that have a place of their own on the page.
const PLACED = ["task", "id", "subset", "question", "choices", "prompt", "answer", "expected", "media", "frames", "times", "chosen", "timing", "versions", "details", "error"];

/** Shows a sample. */
export function showSample(sample, known) {
  const answers = sample.answers.map((answer, run) => answer && {...answer, run}).filter(Boolean);
  const record = answers[0].record, compared = known.runs.length > 1;
  document.title = `${record.question || sample.id} · Gallery`;
  byId("detail").replaceChildren(
    heading(sample, record),
    h("div.body", {},
      mediaOf(sample, answers, compared),
      h("div.words", {},
        choicesOf(record),
        h("dl.expected", {}, h("dt", {}, "Expected"), h("dd", {}, shown(record.expected) || h("i", {}, "not stated"))),
        h("div.answers", {}, sample.answers.map((answer, run) => answerCard(answer, run, known))))),
  );
}

/** Shows that there is nothing to show, or why. */
export function showNothing(words) {
  byId("detail").replaceChildren(h("p.nothing", {}, words));
  document.title = "Gallery · video-lmms";
}

function heading(sample, record) {
  const to = (other) => ({type: "button", disabled: !other, onclick: () => go({of: other.task, id: other.id})});
  const place = sample.place === null ? "filtered out" : `${sample.place + 1} of ${sample.total}`;
  return h("header.sample", {},
    h("p.where", {}, h("span", {}, [sample.task, sample.subset, sample.id].filter(Boolean).join(" · ")),
      h("span.turn", {},
        h("button", {...to(sample.previous), title: "Previous sample (K)", "aria-label": "Previous sample"}, "↑"),
        h("span", {}, place),
        h("button", {...to(sample.next), title: "Next sample (J)", "aria-label": "Next sample"}, "↓"))),
    h("h2", {}, record.question || record.prompt || sample.id));
}

/** A clip that both runs saw is shown once, with a lane of the time line for each. */
function mediaOf(sample, answers, compared) {
  const groups = new Map();
  for (const answer of answers) {
    answer.media.forEach((medium, number) => {
      const key = JSON.stringify([number, medium.path, medium.start, medium.end]);
      if (!groups.has(key)) groups.set(key, {number, views: []});
      groups.get(key).views.push({medium, run: answer.run});
    });
  }
  return h("div.media", {}, [...groups.values()].map(({number, views}) => mediumFigure(views, sample, number, compared)));
}

function choicesOf(record) {
  if (!record.choices?.length) return null;
  return h("ol.choices", {"aria-label": "Choices"}, record.choices.map((choice, place) => {
    const right = isExpected(choice, place, record.expected);
    return h(right ? "li.right" : "li", {}, shown(choice), right ? h("span.unseen", {}, " (expected)") : null);
  }));
}

/** Whether a choice is the expected one, which benchmarks name by its text, its letter, both, or its number. */
function isExpected(choice, place, expected) {
  if (typeof expected === "number") return expected === place;
  const letter = String.fromCharCode(65 + place), text = String(choice).trim(), wanted = String(expected ?? "").trim();
  const bare = text.replace(/^\(?[A-Z][).:]\s*/, "");
  return [text, letter, `(${letter})`, bare, `(${letter}) ${text}`, `${letter}. ${text}`, `${letter}: ${text}`].includes(wanted);
}

function answerCard(answer, run, known) {
  const compared = known.runs.length > 1, title = compared ? `${RUN_NAMES[run]} · ${known.runs[run].name}` : "Answer";
  if (!answer) return h("section.card", {"data-run": run}, h("h3", {}, title), h("p.nothing", {}, "This run has no answer."));
  const {record} = answer;
  return h("section.card", {"data-run": run, "aria-label": title},
    h("h3", {}, title, verdictMark(answer.verdict, answer.score, run, 1)),
    h("p.said", {}, record.answer || h("i", {}, record.error ? "no answer" : "an empty answer")),
    record.error ? h("p.problem", {}, record.error) : null,
    judges(answer),
    folded("Prompt", record.prompt),
    facts(record));
}

function judges(answer) {
  if (!answer.scores.length) return h("p.quiet", {}, "Not judged.");
  const aspects = answer.scores.some((score) => score.aspect), columns = ["Judge", aspects && "Aspect", "Score"].filter(Boolean);
  return h("table.judges", {},
    h("caption.unseen", {}, "Judgements"),
    h("thead", {}, h("tr", {}, columns.map((name) => h("th", {scope: "col"}, name)))),
    h("tbody", {}, answer.scores.flatMap((score) => [
      h("tr", {},
        h("th", {scope: "row"}, score.judge),
        aspects ? h("td", {}, score.aspect ?? "") : null,
        h("td.score", {}, verdictOf(score), score.score === null || score.score === undefined ? "" : ` ${trimmed(score.score, 3)}`)),
      score.reason ? h("tr.reason", {}, h("td", {colSpan: columns.length}, shown(score.reason))) : null,
    ])));
}

function verdictOf(score) {
  if (score.correct === null || score.correct === undefined) return null;
  return verdictMark(score.correct ? "correct" : "wrong", null, 0, 1);
}

function facts(record) {
  const timing = Object.entries(record.timing ?? {}).map(([name, value]) => [spaced(name.replace(/_s$/, "")), typeof value === "number" ? clock(value) : shown(value)]);
  const versions = Object.entries(record.versions ?? {}).map(([name, value]) => [`${spaced(name)} version`, shown(value)]);
  const others = Object.entries({...record, ...record.details}).filter(([name]) => !PLACED.includes(name)).map(([name, value]) => [spaced(name), shown(value)]);
  const rows = [...others, ...timing, ...versions].filter(([, value]) => value !== "");
  return rows.length ? h("dl.facts", {}, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))) : null;
}

function folded(title, text) {
  return text ? h("details", {}, h("summary", {}, title), h("pre", {tabindex: "0"}, text)) : null;
}

