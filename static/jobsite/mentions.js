// Names of colleagues, offered while one types an @ in a note. Without it they are typed in full.
"use strict";

(() => {
  const known = document.getElementById("people");
  if (!known) return;
  const people = [...known.options].map((option) => ({ name: option.value, full: option.textContent }));
  const MOST = 6;

  function offer(field, number) {
    const list = document.createElement("ul");
    list.className = "names";
    list.id = `names-${number}`;
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Colleagues");
    field.parentElement.classList.add("has-names");
    field.after(list);
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", list.id);
    let chosen = -1;

    const begun = () => /(?:^|[^\w.@+-])@([\w.+-]*)$/.exec(field.value.slice(0, field.selectionStart));
    function close() {
      list.hidden = true;
      chosen = -1;
      field.removeAttribute("aria-activedescendant");
    }
    function choose(at) {
      chosen = at;
      [...list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
      field.setAttribute("aria-activedescendant", list.children[at].id);
    }
    function take(name) {
      const end = field.selectionStart;
      const start = end - begun()[1].length;
      field.setRangeText(`${name} `, start, end, "end");
      close();
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    function look() {
      const found = begun();
      if (!found) return close();
      const typed = found[1].toLowerCase();
      const fits = people.filter(({ name, full }) => name.toLowerCase().startsWith(typed) || (typed && full.toLowerCase().includes(typed)));
      if (!fits.length || (fits.length === 1 && fits[0].name.toLowerCase() === typed)) return close();
      list.replaceChildren(...fits.slice(0, MOST).map(({ name, full }, index) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${index}`;
        item.setAttribute("role", "option");
        item.dataset.name = name;
        const strong = document.createElement("strong");
        strong.textContent = `@${name}`;
        item.append(strong, full && full !== name ? ` ${full}` : "");
        return item;
      }));
      list.hidden = false;
      choose(0);
    }

    field.addEventListener("input", (event) => { if (!event.isComposing) look(); });
    field.addEventListener("blur", close);
    list.addEventListener("pointerdown", (event) => {
      const item = event.target.closest("[data-name]");
      event.preventDefault();
      if (item) take(item.dataset.name);
    });
    field.addEventListener("keydown", (event) => {
      if (list.hidden || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
      const last = list.children.length - 1;
      if (event.key === "ArrowDown") choose(chosen === last ? 0 : chosen + 1);
      else if (event.key === "ArrowUp") choose(chosen ? chosen - 1 : last);
      else if (event.key === "Enter" || event.key === "Tab") take(list.children[chosen].dataset.name);
      else if (event.key === "Escape") close();
      else return;
      event.preventDefault();
    });
  }
  document.querySelectorAll("form[data-chords] textarea, #verbs-note, form[data-names] textarea").forEach(offer);
})();
