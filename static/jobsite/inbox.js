// The inbox by keyboard, and ticks that outlast the renewing of the rows. Everything that this does
// can be done without it.
"use strict";

(() => {
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const boxes = () => [...document.querySelectorAll("[data-tick]")];
  const every = () => document.querySelector("[data-tick-all]");
  /** What is ticked: a job's reference, and the content that it was ticked with. */
  const ticked = new Map();
  let everything = false;
  let gone = 0;
  const named = (box) => box.value.split(".")[0];
  // A box that has the focus keeps its old value when rows are renewed; its row does not.
  const shows = (box) => `${named(box)}.${box.closest("[data-row]").dataset.content}`;

  function say() {
    const all = everything && every();
    const number = ticked.size;
    const words = document.querySelector("[data-ticked]");
    if (words) {
      let said = all ? "All that match" : number ? `${number} ticked` : "Nothing is ticked";
      if (gone) said += `, ${gone} changed and no longer ticked`;
      if (words.textContent !== said) words.textContent = said;
    }
    for (const button of document.querySelectorAll("[data-bulk]")) button.disabled = !all && !number;
    const page = document.querySelector("[data-tick-page]");
    if (page) {
      const on = boxes().filter((box) => box.checked).length;
      page.checked = on > 0 && on === boxes().length;
      page.indeterminate = on > 0 && on < boxes().length;
    }
  }

  function note(box) {
    if (box.checked) ticked.set(named(box), shows(box));
    else ticked.delete(named(box));
  }

  // Rows come anew: what was ticked is ticked again, unless it shows something else by now.
  function restore() {
    const here = new Map(boxes().map((box) => [named(box), box]));
    for (const [ref, value] of [...ticked]) {
      const box = here.get(ref);
      if (box && shows(box) === value) continue;
      ticked.delete(ref);
      gone += 1;
    }
    for (const [ref, box] of here) {
      box.checked = ticked.has(ref);
      box.value = shows(box);
    }
    if (every()) every().checked = everything;
    say();
  }

  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches("[data-tick]")) note(box);
    else if (box.matches("[data-tick-all]")) everything = box.checked;
    else if (box.matches("[data-tick-page]")) {
      for (const each of boxes()) {
        each.checked = box.checked;
        note(each);
      }
    } else return;
    gone = 0;
    say();
  });
  document.addEventListener("htmx:afterSettle", restore);
  addEventListener("pageshow", () => {
    ticked.clear();
    for (const box of boxes()) note(box);
    everything = Boolean(every()?.checked);
    say();
  });

  function at() {
    return document.activeElement?.closest("[data-row]") || null;
  }
  function move(by) {
    const list = rows();
    if (!list.length) return;
    const from = list.indexOf(at());
    const to = from < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, from + by));
    list[to].querySelector("[data-open]").focus();
    list[to].scrollIntoView({ block: "nearest" });
  }
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => at()?.querySelector("[data-tick]")?.click(),
    "/": () => {
      const search = document.querySelector("#filters [type=search], #filters input:not([type=hidden])");
      search?.focus();
      search?.select();
    },
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) {
      const form = document.querySelector("form[data-chord]");
      if (!form) return;
      event.preventDefault();
      form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    const act = keys[event.key];
    if (typing || !act || !document.getElementById("waiting")) return;
    event.preventDefault();
    act();
  });
  say();
})();
