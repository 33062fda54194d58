// Copyright 2026 The video-lmms authors.
// SPDX-License-Identifier: Apache-2.0
// Elements and words. Whatever models and data sets wrote becomes text, never markup.

/** An element: `h("a.big", {href: "#", onclick: f}, "text", child, [more])`. Null children are left out. */
export function h(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.entries(value).forEach(([property, given]) => element.style.setProperty(property, given));
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Seconds as a person says them: 4.25 s, 1:02.5, 1:00:02. */
export function clock(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "?";
  if (seconds < 60) return `${trimmed(seconds, 2)} s`;
  const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
  const rest = (seconds % 60).toFixed(seconds < 600 ? 1 : 0).padStart(seconds < 600 ? 4 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** A number with at most so many decimals, none of them a trailing zero. */
export function trimmed(number, decimals = 3) {
  return String(Number(number.toFixed(decimals)));
}

/** Any value of a record as text. */
export function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isInteger(value) ? value.toLocaleString("en") : trimmed(value, 4);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  const parts = Array.isArray(value) ? value : Object.entries(value).filter(([, part]) => part !== null);
  const flat = parts.flat().every((part) => part === null || typeof part !== "object");
  if (!flat) return JSON.stringify(value);
  return (Array.isArray(value) ? value.map(shown) : parts.map(([name, part]) => `${name}: ${shown(part)}`)).join(", ");
}

/** `num_video_tokens` as words. */
export const spaced = (name) => name.replace(/^num_/, "").replaceAll("_", " ");

export const RUN_NAMES = ["A", "B"];

const MARKS = {correct: "✓", wrong: "✗", rated: "●", unjudged: "–", failed: "!"};

/** The verdict on one run's answer: a mark, with words for those who do not see it. */
export function verdictMark(verdict, score, run, runs) {
  const name = runs > 1 ? `${RUN_NAMES[run]}: ` : "";
  const rated = verdict === "rated" && score !== null ? trimmed(score, 2) : MARKS[verdict] ?? "∅";
  const words = `${name}${verdict ?? "not answered"}${score !== null && score !== undefined ? `, score ${trimmed(score)}` : ""}`;
  return h("span.mark", {"data-verdict": verdict ?? "none", title: words}, h("span", {"aria-hidden": "true"}, rated), h("span.unseen", {}, words));
}
