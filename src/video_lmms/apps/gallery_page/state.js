// Copyright 2026 The video-lmms authors.
// SPDX-License-Identifier: Apache-2.0
// What is shown is what the address says, so an address can be shared; and how the server is asked.

export const FILTERS = ["q", "task", "subset", "verdict", "differ", "judge"];
const NAMES = [...FILTERS, "page", "of", "id"];

/** The state in the address: filters, page of the list, and the sample (`of` its task, `id`). */
export function current() {
  const parameters = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.filter((name) => parameters.get(name)).map((name) => [name, parameters.get(name)]));
}

/** An address with some of the state changed; an empty value leaves it out. */
export function address(changes, from = current()) {
  const state = {...from, ...changes};
  const parameters = new URLSearchParams(NAMES.filter((name) => state[name]).map((name) => [name, state[name]]));
  return parameters.size ? `?${parameters}` : location.pathname;
}

/** Goes to a changed state. `replace` leaves no trace in the history. */
export function go(changes, {replace = false} = {}) {
  const target = address(changes);
  if (target === (location.search || location.pathname)) return;
  history[replace ? "replaceState" : "pushState"](null, "", target);
  dispatchEvent(new Event("statechange"));
}

/** Only the filters. */
export function filters(state = current()) {
  return Object.fromEntries(FILTERS.filter((name) => state[name]).map((name) => [name, state[name]]));
}

/** JSON from the server; an error carries what the server says. */
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  let response;
  try {
    response = await fetch(query.size ? `${path}?${query}` : path);
  } catch {
    throw new Error("The server does not answer. Is `video-lmms gallery` still running?");
  }
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}
