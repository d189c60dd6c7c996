// The live part of a page: by server-sent events, or else by polling.
"use strict";

const POLL_MS = 2000;
const POLLS_TO_TRY_AGAIN = 5;

function watch(part) {
  const state = document.querySelector("[data-live-state]");
  const pause = document.querySelector("[data-pause]");
  const url = new URL(part.dataset.live, location.href);
  let source = null;
  let timer = 0;
  let polls = 0;

  function show(html) {
    const open = new Set([...part.querySelectorAll("details[open]")].map((details) => details.id));
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && { id: focused.id, at: [...part.querySelectorAll("*")].indexOf(focused) };
    part.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (place) (document.getElementById(place.id) || part.querySelectorAll("*")[place.at])?.focus();
  }

  function stop() {
    source?.close();
    source = null;
    clearTimeout(timer);
  }

  function stream() {
    stop();
    if (!window.EventSource) return poll();
    const streamed = new URL(url);
    streamed.searchParams.set("stream", "1");
    source = new EventSource(streamed);
    source.onopen = () => say("live");
    source.onmessage = (event) => { say("live"); show(event.data); };
    source.addEventListener("full", later);
    source.onerror = () => {
      say("connection lost; trying again");
      if (source?.readyState === EventSource.CLOSED) later();
    };
  }

  function later() {
    stop();
    timer = setTimeout(poll, POLL_MS);
  }

  async function poll() {
    polls += 1;
    try {
      const answer = await fetch(url);
      if (answer.redirected) return say("logged out: load the page again");
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      if (isPaused()) return;
      show(html);
      say("every two seconds");
      if (polls % POLLS_TO_TRY_AGAIN === 0) return stream();
    } catch {
      say("connection lost; trying again");
    }
    if (!isPaused()) later();
  }

  function isPaused() {
    return pause.getAttribute("aria-pressed") === "true";
  }

  function say(text) {
    if (state.textContent !== text) state.textContent = text;
  }

  pause.addEventListener("click", () => {
    const paused = !isPaused();
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) { stop(); say("paused"); } else stream();
  });
  document.addEventListener("visibilitychange", () => {
    if (isPaused()) return;
    if (document.hidden) stop(); else stream();
  });
  addEventListener("pagehide", stop);
  stream();
}

for (const part of document.querySelectorAll("[data-live]")) watch(part);
