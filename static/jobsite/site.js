// What pages do beyond HTML and htmx: moments that go on counting, forms that are sent once, menus
// that close, and polling that rests while nobody looks. Every page works without this file.
"use strict";

(() => {
  // As jobs/templatetags/jobsite.py says it.
  function duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) {
      const minutes = Math.floor(whole / 60), rest = whole % 60;
      return minutes < 10 && rest ? `${minutes} min ${rest} s` : `${minutes} min`;
    }
    if (whole < 86400) {
      const minutes = Math.floor((whole % 3600) / 60);
      return `${Math.floor(whole / 3600)} h` + (minutes ? ` ${minutes} min` : "");
    }
    const days = Math.floor(whole / 86400), hours = Math.floor((whole % 86400) / 3600);
    return (days === 1 ? "1 day" : `${days} days`) + (days < 3 && hours ? ` ${hours} h` : "");
  }

  // The server's clock counts, not this machine's.
  const sentAt = Date.parse(document.documentElement.dataset.now);
  const skew = Number.isNaN(sentAt) ? 0 : sentAt - Date.now() + performance.now();

  function tick() {
    const now = Date.now() + skew;
    for (const element of document.querySelectorAll("time[data-moment]")) {
      const at = Date.parse(element.dateTime);
      let said;
      if (element.dataset.moment === "clock") {
        const day = new Date(at).toDateString() === new Date(now).toDateString();
        const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
        said = new Date(at).toLocaleString("en-GB", day ? clock : { day: "2-digit", month: "short", ...clock });
      } else if (element.dataset.moment === "elapsed") {
        said = duration((now - at) / 1000);
      } else {
        const seconds = (at - now) / 1000;
        const past = element.dataset.moment === "coming" ? "now" : `${duration(-seconds)} ago`;
        said = seconds > 0.5 ? `in ${duration(seconds)}` : past;
      }
      if (element.textContent !== said) element.textContent = said;
    }
  }
  tick();
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSettle", tick);

  // A form is sent once. Coming back to the page (bfcache) makes it usable again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.classList.contains("sending")) {
      event.preventDefault();
      return;
    }
    form.classList.add("sending");
    form.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form.sending")) {
      form.classList.remove("sending");
      form.removeAttribute("aria-busy");
    }
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.target.closest && event.target.closest("form.sending");
    if (form) {
      form.classList.remove("sending");
      form.removeAttribute("aria-busy");
    }
  });

  // Menus close on Escape and on a click elsewhere.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // Polling rests while the tab is hidden, and looks at once when it is seen again.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[data-live], #bell")) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !window.htmx) return;
    for (const element of document.querySelectorAll("[data-live]")) htmx.trigger(element, "look");
  });

  // Whoever was logged out and logs in in another tab gets new tokens there: those in this page's forms
  // are worth nothing any more, and scripts cannot read the cookie. So the page is asked for new ones.
  let loggedOut = false;
  window.saysLoggedOut = () => { loggedOut = true; };
  window.renewTokens = async () => {
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (!answer.ok || new URL(answer.url).pathname !== location.pathname) return false;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("input[name=csrfmiddlewaretoken]");
      if (!fresh) return false;
      for (const input of document.querySelectorAll("input[name=csrfmiddlewaretoken]")) input.value = fresh.value;
      loggedOut = false;
      return true;
    } catch {
      return false;
    }
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && loggedOut) window.renewTokens();
  });

  // A page that cannot be renewed says so, until it can.
  const away = document.getElementById("away");
  function reached(event, whether) {
    if (away && event.target.matches("[data-live]")) {
      away.textContent = whether ? "" : "Jobsite cannot be reached. What you see may be out of date. Trying again.";
    }
  }
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(name, (event) => reached(event, false));
  }
  document.addEventListener("htmx:afterOnLoad", (event) => reached(event, true));

  // What a person has opened stays open, and what they typed stays, when a fragment is renewed.
  if (window.Idiomorph) {
    Idiomorph.defaults.ignoreActiveValue = true;
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
      !(name === "open" && node.tagName === "DETAILS");
    // A moment is said by this clock: said anew by the server's, it would be read out again.
    const same = (old, fresh) => old.matches("time[data-moment]") && fresh.matches?.("time[data-moment]")
      && old.dateTime === fresh.dateTime && old.dataset.moment === fresh.dataset.moment;
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) =>
      !(old.nodeType === Node.ELEMENT_NODE && (old.hasAttribute("data-keep") || same(old, fresh)));
  }
})();
