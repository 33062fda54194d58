// Copyright 2026 The video-lmms authors.
// SPDX-License-Identifier: Apache-2.0
// A clip with its time line: which frames were sampled when, which of them the model chose, and pictures of them.

import {clock, h, RUN_NAMES, shown, spaced, trimmed} from "./dom.js";

// Below this width a clip is drawn with square pixels rather than blurred.
const TINY_WIDTH = 240;
// Of one sampled frame and the next that is sought: times in files are rounded.
const NEARLY = 0.004;
const CHOSEN = "chosen by the model";

/** A figure for one medium as one or several runs saw it: `views` are {run, medium} with the same clip. */
export function mediumFigure(views, sample, number, compared) {
  const {medium, run} = views[0];
  const address = medium.kind === "link" ? medium.path : `media/${run}/${number}?${new URLSearchParams({of: sample.task, id: sample.id})}`;
  const figure = h("figure.medium", {"data-kind": medium.kind});
  const player = PLAYERS[medium.kind]?.(address, medium) ?? null;
  const problem = h("p.problem", {role: "status", hidden: !medium.problem}, medium.problem);
  figure.append(...[player && h("div.screen", {}, player), problem].filter(Boolean));
  const line = timeLine(views, player, compared);
  if (line) figure.append(line);
  for (const view of views) {
    const strip = frameStrip(view, sample, number, player, compared);
    if (strip) figure.append(strip);
  }
  figure.append(caption(medium, views, compared));
  if (player instanceof HTMLMediaElement) watch(player, medium, problem, address);
  return figure;
}

/** Seeks to the sampled frame before (-1) or after (+1) the present one, or to the first or last. */
export function step(figure, direction) {
  const player = figure?.querySelector("video, audio"), times = figure?.sampledTimes ?? [];
  if (!player || !times.length) return false;
  const now = player.currentTime;
  const target = {
    "-1": times.findLast((time) => time < now - NEARLY) ?? times[0],
    "1": times.find((time) => time > now + NEARLY) ?? times.at(-1),
    first: times[0],
    last: times.at(-1),
  }[direction];
  player.pause();
  seek(player, target);
  return true;
}

const PLAYERS = {
  video: (address) => h("video", {src: address, controls: true, loop: false, preload: "metadata", playsinline: true}),
  link: (address) => h("video", {src: address, controls: true, preload: "none", playsinline: true, referrerpolicy: "no-referrer"}),
  audio: (address) => h("audio", {src: address, controls: true, preload: "metadata"}),
  image: (address, medium) => h("img", {src: address, alt: `Image ${medium.name}`}),
};

function seek(player, time) {
  // A hair after the frame begins: at its very border a player may show the one before.
  player.currentTime = Math.min(time + NEARLY / 2, Number.isFinite(player.duration) ? player.duration : Infinity);
}

/** Plays the part that was asked about, draws tiny clips large, and says why a clip does not play. */
function watch(player, medium, problem, address) {
  const [start, end] = [medium.start ?? 0, medium.end ?? Infinity];
  player.addEventListener("loadedmetadata", () => {
    if (start) seek(player, start);
    player.classList.toggle("tiny", player.videoWidth > 0 && player.videoWidth < TINY_WIDTH);
  });
  let inside = true;
  player.addEventListener("timeupdate", () => {
    if (inside && player.currentTime >= end && !player.paused) player.pause();
    inside = player.currentTime < end;
  });
  player.addEventListener("error", async () => {
    problem.hidden = false;
    player.closest(".screen").hidden = true;
    problem.textContent = medium.kind === "link"
      ? `${medium.path} cannot be played here.`
      : `${await reason(address)} ${medium.strip.length ? "Below are the frames that the model was shown." : ""}`;
  });
}

async function reason(address) {
  try {
    const response = await fetch(address, {headers: {Range: "bytes=0-0"}});
    if (!response.ok) return (await response.json()).error;
    return `This browser does not play ${response.headers.get("Content-Type")} with what is in it.`;
  } catch {
    return "The server does not answer.";
  }
}

/** One lane per run on one axis; clicking or the arrow keys seek. */
function timeLine(views, player, compared) {
  const times = views.flatMap(({medium}) => [...medium.frames, ...medium.chosen].map((frame) => frame.time)).filter((time) => time !== null);
  if (!times.length) return null;
  const sorted = [...new Set(times)].sort((a, b) => a - b);
  // Until the clip says how long it is: one more gap after the last frame.
  const guess = Math.max(sorted.at(-1) + (sorted.length > 1 ? sorted.at(-1) - sorted.at(-2) : 1), ...views.flatMap(({medium}) => medium.spans.map((span) => span.end)));
  const head = h("span.head", {hidden: !(player instanceof HTMLMediaElement)});
  const axis = h("div.axis", {"aria-hidden": "true"});
  const lanes = views.map(({medium, run}) => h("div.lane", {"data-run": run, "data-name": compared ? RUN_NAMES[run] : null}));
  const track = h("div.track", {role: "slider", tabindex: "0", "aria-label": "Time line of sampled frames", "aria-valuemin": "0"}, lanes, head);
  const draw = (duration) => {
    track.duration = duration;
    track.setAttribute("aria-valuemax", trimmed(duration));
    views.forEach(({medium}, place) => lanes[place].replaceChildren(...marks(medium, duration)));
    axis.replaceChildren(...ticks(duration).map((time) => h("span", {style: {left: percent(time, duration)}}, clock(time))));
    place();
  };
  const place = () => {
    const now = player instanceof HTMLMediaElement ? player.currentTime : 0;
    head.style.left = percent(now, track.duration);
    track.setAttribute("aria-valuenow", trimmed(now));
    track.setAttribute("aria-valuetext", `${clock(now)} of ${clock(track.duration)}`);
  };
  draw(guess);
  const figure = h(compared ? "div.timeline.compared" : "div.timeline", {}, track, axis, legend(views));
  if (player instanceof HTMLMediaElement) follow(player, track, place, draw);
  queueMicrotask(() => { figure.closest("figure").sampledTimes = sorted; });
  return figure;
}

function follow(player, track, place, draw) {
  player.addEventListener("loadedmetadata", () => Number.isFinite(player.duration) && draw(player.duration));
  for (const event of ["timeupdate", "seeking", "seeked"]) player.addEventListener(event, place);
  const smoothly = () => {
    place();
    if (!player.paused && player.isConnected) requestAnimationFrame(smoothly);
  };
  player.addEventListener("play", smoothly);
  const toPointer = (event) => {
    const {left, width} = track.getBoundingClientRect();
    player.currentTime = Math.min(Math.max((event.clientX - left) / width, 0), 1) * track.duration;
  };
  track.addEventListener("pointerdown", (event) => {
    track.setPointerCapture(event.pointerId);
    toPointer(event);
  });
  track.addEventListener("pointermove", (event) => track.hasPointerCapture(event.pointerId) && toPointer(event));
}

function marks(medium, duration) {
  const chosen = new Map(medium.chosen.map((frame) => [frame.index, frame.in_full]));
  const outside = [[0, medium.start ?? 0], [medium.end ?? duration, duration]].filter(([from, to]) => to > from);
  return [
    ...outside.map(([from, to]) => h("span.outside", {style: {left: percent(from, duration), width: percent(to - from, duration)}})),
    ...medium.spans.map((span) => h("span.span", {"data-kind": span.kind, title: spanWords(span), style: {left: percent(span.start, duration), width: percent(span.end - span.start, duration)}})),
    ...medium.frames.filter((frame) => frame.time !== null).map((frame) =>
      h(["span.tick", "span.tick.part", "span.tick.chosen"][chosen.has(frame.index) ? 1 + chosen.get(frame.index) : 0], {title: `frame ${frame.index}, ${clock(frame.time)}`, style: {left: percent(frame.time, duration)}})),
  ];
}

const SPANS = {found: "span it found", expected: "expected", answered: "answered"};
const spanWords = (span) => `${SPANS[span.kind]}: ${clock(span.start)} to ${clock(span.end)}${span.scores ? `, scores ${[span.scores].flat().map((score) => trimmed(score)).join(" and ")}` : ""}`;
const percent = (part, whole) => `${(100 * Math.min(Math.max(part / whole, 0), 1)).toFixed(3)}%`;

/** A handful of round times. */
function ticks(duration) {
  const rough = duration / 6, size = 10 ** Math.floor(Math.log10(rough));
  const round = duration > 90 ? [15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((gap) => gap >= rough) ?? 3600 : size * [1, 2, 5, 10].find((factor) => factor * size >= rough);
  return Array.from({length: Math.floor(duration / round) + 1}, (_, place) => Number((place * round).toFixed(6)));
}

function legend(views) {
  const any = (test) => views.some(({medium}) => test(medium));
  return h("p.legend", {},
    h("span", {}, h("i.tick"), "sampled"),
    any((medium) => medium.chosen.some((frame) => frame.in_full)) ? h("span", {}, h("i.tick.chosen"), CHOSEN) : null,
    any((medium) => medium.chosen.some((frame) => !frame.in_full)) ? h("span", {}, h("i.tick.part"), "kept in part") : null,
    Object.entries(SPANS).map(([kind, words]) => any((medium) => medium.spans.some((span) => span.kind === kind)) ? h("span", {}, h("i.span", {"data-kind": kind}), words) : null),
    any((medium) => medium.start !== null || medium.end !== null) ? h("span", {}, h("i.outside"), "not part of the question") : null);
}

/** Pictures of sampled frames, as this package reads them. */
function frameStrip({medium, run}, sample, number, player, compared) {
  if (!medium.strip.length) return null;
  const times = new Map(medium.frames.map((frame) => [frame.index, frame.time]));
  const chosen = new Set(medium.chosen.filter((frame) => frame.in_full).map((frame) => frame.index));
  const name = new URLSearchParams({of: sample.task, id: sample.id});
  const pictures = medium.strip.map((index) => {
    const time = times.get(index), words = time === null ? `frame ${index}` : clock(time);
    const about = `Frame ${index}${time === null ? "" : ` at ${clock(time)}`}${chosen.has(index) ? `, ${CHOSEN}` : ""}`;
    return h("li", {}, h(chosen.has(index) ? "button.chosen" : "button", {
      type: "button",
      title: about,
      disabled: time === null || !(player instanceof HTMLMediaElement),
      onclick: () => { player.pause(); seek(player, time); },
    }, h("img", {src: `frame/${run}/${number}/${index}?${name}`, alt: about, loading: "lazy"}), h("span", {"aria-hidden": "true"}, words)));
  });
  const whole = medium.strip.length === new Set(medium.frames.map((frame) => frame.index)).size;
  const title = `${compared ? `${RUN_NAMES[run]}: ` : ""}${whole ? "" : `${medium.strip.length} of `}${new Set(medium.frames.map((frame) => frame.index)).size} sampled frames`;
  const list = h("ul", {tabindex: "0", "aria-label": title}, pictures);
  // What was chosen comes into view, when the page is laid out.
  requestAnimationFrame(() => { list.scrollLeft = (list.querySelector(".chosen")?.offsetLeft ?? 0) - list.offsetLeft; });
  return h("section.strip", {"aria-label": title, "data-run": run}, h("h3", {}, title), list);
}

function caption(medium, views, compared) {
  const part = medium.start !== null || medium.end !== null ? `${clock(medium.start ?? 0)} to ${medium.end === null ? "the end" : clock(medium.end)}` : null;
  const facts = views.flatMap(({medium: seen, run}) => Object.entries(seen.facts).map(([name, value]) => `${compared ? `${RUN_NAMES[run]} ` : ""}${spaced(name)}: ${shown(value)}`));
  return h("figcaption", {}, h("span", {title: medium.path}, medium.name), [part, ...facts].filter(Boolean).map((text) => [" · ", text]));
}
