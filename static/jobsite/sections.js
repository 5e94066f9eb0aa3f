// Marks, in the contents of a long result, the section that is being read. Links work without it.
"use strict";

(() => {
  let watched = null;
  let headings = [];
  let asked = false;

  function look() {
    asked = false;
    if (!watched || !watched.isConnected) return;
    // The last heading above the upper third of the window; before the first, none.
    const line = innerHeight / 3;
    let low = 0, high = headings.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (headings[middle].heading.getBoundingClientRect().top <= line) low = middle + 1;
      else high = middle;
    }
    const now = low ? headings[low - 1].link : null;
    const before = watched.querySelector("[aria-current]");
    if (now === before) return;
    if (before) before.removeAttribute("aria-current");
    if (!now) return;
    now.setAttribute("aria-current", "true");
    // Within the list alone, which is positioned: the page must not jump.
    const top = now.offsetTop;
    if (top < watched.scrollTop || top + now.offsetHeight > watched.scrollTop + watched.clientHeight) {
      watched.scrollTop = top - watched.clientHeight / 2;
    }
  }

  function soon() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(look);
  }

  function find() {
    const contents = document.querySelector("[data-contents]");
    if (contents === watched) return;
    watched = contents;
    headings = [];
    for (const link of contents ? contents.querySelectorAll("a") : []) {
      const heading = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      if (heading) headings.push({ link, heading });
    }
    soon();
  }

  find();
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  document.addEventListener("htmx:afterSettle", find);
})();
