// The button says what it will do: an edited call, or result, is approved as it stands in its fields.
"use strict";

(() => {
  const label = document.querySelector("[data-approve]");
  const fields = document.querySelectorAll("[data-argument]");
  if (!label || !fields.length) return;
  const plain = label.textContent;
  // What comes back with a problem was edited already.
  const begun = Boolean(document.querySelector("details.edit[open], .call > [role=alert]"));

  function say() {
    const edited = begun || [...fields].some((field) => field.value !== field.defaultValue);
    label.textContent = edited ? `${plain} with edits` : plain;
  }
  for (const field of fields) field.addEventListener("input", say);
  addEventListener("pageshow", say);
  say();
})();
