// Django's tables of related rows leave the header above each row's name empty.
"use strict";
for (const header of document.querySelectorAll("th.original:empty")) {
  const words = document.createElement("span");
  words.className = "unseen";
  words.textContent = "Row";
  header.append(words);
}
