// One review at a time, by the keyboard: keys, the document beside the result, the time on screen,
// and letting go of a review when its page is left. Every page works without this file.
"use strict";

(() => {
  // How long a page must have been in sight before a key or a form of it does anything.
  const SEEN_AFTER = 400;
  const IDLE_AFTER = 120_000;
  const desk = document.getElementById("desk");
  const verbs = document.getElementById("verbs");
  const sheet = document.getElementById("keys");
  const said = document.getElementById("desk-said");

  function say(text) {
    if (said) said.textContent = text;
  }

  // Nothing is decided unseen: asleep until the page was in sight for a moment, and again from the
  // moment when a form is sent.
  let awake = false;
  let left = false;
  let alarm = 0;
  function wakeSoon() {
    clearTimeout(alarm);
    if (!document.hidden) alarm = setTimeout(() => { awake = true; }, SEEN_AFTER);
  }
  function sleep() {
    clearTimeout(alarm);
    awake = false;
  }
  wakeSoon();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) sleep();
    else wakeSoon();
  });
  // Whoever writes or chooses something has seen the page.
  document.addEventListener("input", () => { if (!left) awake = true; });
  // The second click of a double click, or a key that was held, must not decide what came next.
  const cameFromHere = document.referrer.startsWith(`${location.origin}/jobs/`);
  document.addEventListener("submit", (event) => {
    if (event.target !== verbs) return;
    if (left || (cameFromHere && !awake)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);
  addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    left = true;
    sleep();
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    left = false;
    wakeSoon();
    const claim = document.getElementById("claim");
    if (claim && window.htmx) htmx.trigger(claim, "look");
  });

  // Time on screen: while the page is in sight, and somebody is there.
  const clock = document.querySelector("[data-seconds]") || document.querySelector("input[name=seconds]");
  let seconds = clock ? Number(clock.value) || 0 : 0;
  let lastSign = performance.now();
  for (const name of ["pointermove", "pointerdown", "keydown", "scroll", "wheel", "touchstart"]) {
    addEventListener(name, () => { lastSign = performance.now(); }, { passive: true, capture: true });
  }
  if (clock) {
    setInterval(() => {
      if (document.hidden || performance.now() - lastSign > IDLE_AFTER) return;
      seconds += 1;
      clock.value = String(seconds);
    }, 1000);
  }

  // Leaving lets go of the review; going to another page of the same job does not.
  if (desk && desk.dataset.release) {
    let stays = false;
    const within = (url) => {
      const path = new URL(url, location.href).pathname;
      return path.startsWith(desk.dataset.path) && !path.endsWith("/review/next/");
    };
    addEventListener("click", (event) => {
      const link = event.target.closest && event.target.closest("a[href]");
      if (link && !event.defaultPrevented) stays = within(link.href);
    });
    addEventListener("submit", (event) => {
      if (event.defaultPrevented) return;
      const button = event.submitter;
      stays = within(button && button.hasAttribute("formaction") ? button.formAction : event.target.action);
    });
    addEventListener("pagehide", () => {
      const form = document.querySelector("#claim form");
      if (stays || !form || form.dataset.claim !== "mine") return;
      const sent = new FormData();
      sent.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      navigator.sendBeacon(desk.dataset.release, sent);
    });
    addEventListener("pageshow", () => { stays = false; });
  }

  // What is focused is never under the bar of verbs, however high that has become.
  if (verbs && verbs.classList.contains("verbs") && window.ResizeObserver) {
    new ResizeObserver(() => {
      document.documentElement.style.setProperty("--verbs", `${verbs.offsetHeight}px`);
    }).observe(verbs);
  }

  // Rows of evidence.
  const reader = document.getElementById("reader");
  let current = null;
  const rows = () => [...document.querySelectorAll("[data-row]")];
  function here() {
    const focused = document.activeElement.closest && document.activeElement.closest("[data-row]");
    const id = focused ? focused.id : current;
    return id && document.getElementById(id);
  }
  function step(by) {
    const all = rows();
    if (!all.length) return say("There is no evidence.");
    const at = all.indexOf(here());
    const to = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
    const jump = all[to].querySelector("[data-jump]");
    const reading = reader && reader.classList.contains("open");
    if (!reading) return jump.focus();
    // The document may cover the rows: it follows, from quote to quote.
    if (to === at) return say(by > 0 ? "That is the last row." : "That is the first row.");
    current = all[to].id;
    if (!jump.matches("[data-beside]")) close();
    else jump.click();
  }
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row]");
    if (!row) return;
    for (const one of document.querySelectorAll(".evidence-here")) one.classList.remove("evidence-here");
    row.classList.add("evidence-here");
    current = row.id;
  });
  function tick() {
    const row = here();
    const button = row && row.querySelector(".tick");
    if (button) button.click();
    else say(row ? "Only people who can decide this review can tick evidence." : "Choose a row first, with j or k.");
  }
  // A tick gives its button another name: the focus stays on its row.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "evidence" && !event.target.closest("#evidence")) return;
    const row = current && document.getElementById(current);
    if (row && document.activeElement === document.body) row.querySelector("[data-jump]").focus();
  });
  // Whoever took a review over used a button that is gone then.
  let claiming = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    claiming = event.target.id === "claim" && Boolean(event.target.querySelector("button:focus"));
  });
  document.addEventListener("htmx:afterSettle", () => {
    const status = document.getElementById("claim-said");
    if (claiming && status && document.activeElement === document.body) status.focus();
    claiming = false;
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-jump]");
    if (!link || event.defaultPrevented || !link.hash || link.pathname !== location.pathname) return;
    const place = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!place) return;
    const folded = place.querySelector(":scope > details");
    if (folded) folded.open = true;
    const target = (folded && folded.querySelector("summary")) || place;
    if (target === place && !place.hasAttribute("tabindex")) place.tabIndex = -1;
    event.preventDefault();
    target.focus({ preventScroll: true });
    place.scrollIntoView({ block: "center" });
    place.classList.add("arrived");
    setTimeout(() => place.classList.remove("arrived"), 1600);
  });

  // A document beside the result.
  const body = document.getElementById("reader-body");
  let opener = null;
  function read(url, title, from) {
    const address = new URL(url, location.href);
    address.hash = "";
    opener = from || opener;
    body.setAttribute("aria-busy", "true");
    const heading = document.getElementById("reader-title");
    if (title) heading.textContent = title;
    const whole = document.getElementById("reader-whole");
    whole.href = url;
    whole.hidden = false;
    document.getElementById("reader-close").hidden = false;
    reader.classList.add("open");
    const wanted = "#main > .stack, #main > .empty, #main > .document-image";
    htmx.ajax("GET", address.href, { target: body, swap: "innerHTML", select: wanted }).then(() => {
      body.removeAttribute("aria-busy");
      for (const link of body.querySelectorAll('a[href^="?"]')) {
        link.href = new URL(link.getAttribute("href"), address).href;
        link.dataset.beside = "";
      }
      const mark = body.querySelector("mark");
      body.scrollTop = 0;
      if (mark) body.scrollTop = mark.getBoundingClientRect().top - body.getBoundingClientRect().top - body.clientHeight / 3;
      // It may have been closed before it came.
      if (reader.classList.contains("open")) heading.focus({ preventScroll: true });
    });
  }
  function close() {
    if (!reader || !reader.classList.contains("open")) return false;
    reader.classList.remove("open");
    document.getElementById("reader-close").hidden = true;
    const beyond = opener && opener.isConnected && !opener.closest("[data-row]");
    const row = beyond ? opener : document.getElementById(current);
    if (row) (row.matches("[data-row]") ? row.querySelector("[data-jump]") : row).focus();
    return true;
  }
  if (reader && window.htmx) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("[data-beside]");
      if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      read(link.href, link.dataset.title, body.contains(link) ? null : link);
    });
    document.getElementById("reader-close").addEventListener("click", close);
  }

  // A claim that cannot be renewed lapses: that must be seen.
  const away = document.getElementById("away");
  const ours = (event) => event.target.closest && event.target.closest("#claim, #evidence, #reader-body");
  // Who was logged out is not led away from what they are typing.
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (!ours(event) || !event.detail.xhr.getResponseHeader("HX-Refresh")) return;
    event.preventDefault();
    window.saysLoggedOut();
    away.textContent = "You are logged out. Log in in another tab to go on here: what you typed stays.";
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (ours(event)) away.textContent = "Jobsite cannot be reached. Somebody else may take this review over. Trying again.";
    });
  }
  // Logging in made this page's tokens worthless.
  let renewing = false;
  document.addEventListener("htmx:responseError", async (event) => {
    if (ours(event) && event.detail.xhr.status === 403 && !renewing) {
      renewing = true;
      const again = await window.renewTokens();
      if (again) htmx.trigger("#claim", "look");
      setTimeout(() => { renewing = false; }, 1000);
      if (again) return;
    }
    if (ours(event)) away.textContent = "That was refused. Load this page again to see how the review stands.";
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (ours(event)) away.textContent = "";
  });

  // Keys.
  function typing(element) {
    return element.isContentEditable || element.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=submit], [type=button])");
  }
  function chord(from) {
    const notes = from.closest && from.closest("form[data-chords]");
    if (notes) return notes.requestSubmit();
    const button = document.querySelector("[data-chord]:not([disabled])");
    if (!button) return say((document.getElementById("hold") || verbs || document.body).textContent.trim());
    if (button.form) button.form.requestSubmit(button);
    else button.click();
  }
  function go(selector) {
    const element = document.querySelector(selector);
    if (!element) return;
    if (element.matches("a[href]")) sleep();
    if (element.matches("a[href]")) element.click();
    else element.focus();
  }
  const keys = {
    "?": () => sheet && !sheet.open && sheet.showModal(),
    j: () => step(1),
    k: () => step(-1),
    o: () => here() && here().querySelector("[data-jump]").click(),
    x: tick,
    a: () => go("[data-letter=a]"),
    s: () => go("[data-letter=s]"),
    b: () => go("[data-letter=b]"),
    u: () => go("[data-letter=u]"),
    n: () => go("#verbs-note"),
    m: () => go("form[data-chords] textarea"),
    e: () => {
      const field = document.querySelector("[data-edit], [data-argument]");
      if (!field) return say("Nothing of this can be edited.");
      for (let folded = field.closest("details"); folded; folded = folded.parentElement.closest("details")) folded.open = true;
      if (field.matches("button")) field.click();
      else field.focus();
    },
    c: () => {
      if (!desk || !navigator.clipboard) return;
      const { ref } = desk.dataset;
      navigator.clipboard.writeText(ref).then(() => say(`Copied ${ref}.`), () => say("It could not be copied."));
    },
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.keyCode === 229) return;
    const { target } = event;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      if (awake && !event.repeat && !(sheet && sheet.open)) chord(target);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || (sheet && sheet.open)) return;
    if (event.key === "Escape") {
      if (typing(target)) target.blur();
      else close();
      return;
    }
    if (typing(target)) return;
    const inRow = target.closest && target.closest("[data-row]");
    let act = keys[event.key];
    if (inRow && event.key === "ArrowDown") act = keys.j;
    if (inRow && event.key === "ArrowUp") act = keys.k;
    if (inRow && event.key === " " && !target.matches("button")) act = tick;
    if (!act) return;
    event.preventDefault();
    const moves = act === keys.j || act === keys.k;
    if (awake && (moves || !event.repeat)) act();
  });
  const opens = document.querySelector("[data-keys]");
  if (opens && sheet) {
    opens.addEventListener("click", () => sheet.showModal());
    sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
  }
})();
