// The submit form beyond HTML: files are sent as they are chosen or dropped, one after the other,
// each with its progress. Without this file they go along with the form.
"use strict";

(() => {
  const form = document.getElementById("submit");
  const area = document.getElementById("files");
  if (!form || !area) return;

  const input = document.getElementById("id_files");
  const drop = document.getElementById("drop");
  const list = document.getElementById("uploads");
  const said = document.getElementById("uploads-said");
  const wait = document.getElementById("submit-wait");
  const url = form.dataset.filesUrl;
  const queue = [];
  let sending = null, submitter = null, waiting = false;

  area.classList.add("taken-over");

  // As documents.py and Django's filesizeformat say it.
  function sized(bytes) {
    if (bytes < 1024) return `${bytes} bytes`;
    if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KB`;
    return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
  }

  function button(text, name, action) {
    const element = document.createElement("button");
    element.type = "button";
    element.className = "btn btn-quiet btn-small";
    element.textContent = text;
    element.setAttribute("aria-label", `${text} ${name}`);
    element.addEventListener("click", action);
    return element;
  }

  // What the server keeps for this form. Without scripts it is a box to untick instead.
  function keep(row, id) {
    const hidden = document.createElement("input");
    hidden.type = "hidden";
    hidden.name = "upload";
    hidden.value = id;
    row.append(hidden);
  }

  function prepare(row, name) {
    const kept = row.querySelector(".upload-keep");
    const id = kept.querySelector("input").value;
    const actions = document.createElement("span");
    actions.className = "row";
    actions.append(button("Remove", name, () => remove(row, name)));
    kept.replaceWith(actions);
    if (id) keep(row, id);
  }

  for (const row of list.children) prepare(row, row.querySelector(".upload-name").textContent);

  function remove(row, name) {
    const next = row.nextElementSibling || row.previousElementSibling;
    const at = queue.findIndex((entry) => entry.row === row);
    if (at >= 0) queue.splice(at, 1);
    if (sending && sending.row === row) sending.request.abort();
    const kept = row.querySelector("input[name=upload]");
    if (kept) {
      const body = new FormData();
      body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      fetch(`${url}${kept.value}/remove/`, { method: "POST", body, keepalive: true }).catch(() => {});
    }
    row.remove();
    wait.textContent = "";
    said.textContent = `${name} removed.`;
    (next ? next.querySelector("button") : input).focus();
    settle();
  }

  function add(files) {
    for (const file of files) {
      const row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
      row.querySelector(".upload-name").textContent = file.name;
      row.querySelector(".upload-size").textContent = sized(file.size);
      row.querySelector(".upload-keep input").value = "";
      prepare(row, file.name);
      list.append(row);
      enqueue({ row, file });
    }
    next();
  }

  function enqueue(entry) {
    const { row, file } = entry;
    row.classList.remove("upload-bad");
    for (const old of row.querySelectorAll(".field-error, .again, progress")) old.remove();
    const most = Number(form.dataset.mostBytes);
    if (file.size > most) {
      fail(entry, `${file.name} is ${sized(file.size)}; a file can be ${sized(most)} at most.`, false);
      return;
    }
    entry.progress = document.createElement("progress");
    entry.progress.max = 1;
    entry.progress.value = 0;
    entry.progress.setAttribute("aria-label", `Adding ${file.name}`);
    row.append(entry.progress);
    queue.push(entry);
  }

  function fail(entry, text, again) {
    const { row, file } = entry;
    if (entry.progress) entry.progress.remove();
    const error = document.getElementById("upload-error").content.firstElementChild.cloneNode(true);
    error.querySelector("span").textContent = text;
    row.append(error);
    row.classList.add("upload-bad");
    if (again) {
      const retry = button("Try again", file.name, () => {
        row.querySelector(".row button:last-child").focus();
        enqueue(entry);
        next();
      });
      retry.classList.add("again");
      row.querySelector(".row").prepend(retry);
    }
    said.textContent = `Not added: ${text}`;
  }

  // One at a time: the server counts what a form has already.
  function next() {
    if (sending || !queue.length) return;
    sending = queue.shift();
    const { row, file, progress } = sending;
    const body = new FormData();
    body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    for (const kept of list.querySelectorAll("input[name=upload]")) body.append("upload", kept.value);
    body.append("file", file);
    const request = (sending.request = new XMLHttpRequest());
    request.open("POST", url);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      // All sent is not all done: the server still reads it.
      if (event.lengthComputable && event.loaded < event.total) progress.value = event.loaded / event.total;
      else progress.removeAttribute("value");
    });
    request.addEventListener("load", () => answered(sending, request));
    request.addEventListener("error", () => {
      fail(sending, `${file.name} could not be sent: Jobsite cannot be reached.`, true);
    });
    request.addEventListener("loadend", () => {
      sending = null;
      next();
      settle();
    });
    said.textContent = `Adding ${file.name}.`;
    request.send(body);
  }

  function answered(entry, request) {
    const { row, file } = entry;
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      answer = null;
    }
    if (request.status === 201 && answer) {
      entry.progress.remove();
      row.querySelector(".upload-name").textContent = answer.name;
      row.querySelector(".upload-size").textContent = answer.size;
      keep(row, answer.id);
      input.removeAttribute("aria-invalid");
      const old = document.getElementById("id_files_error");
      if (old) old.remove();
      said.textContent = `${answer.name} added.`;
    } else if (answer && answer.error) {
      fail(entry, answer.error, false);
    } else if (request.status === 200 || request.status === 403) {
      window.saysLoggedOut();
      fail(entry, "You are no longer logged in, or may no longer submit here. Log in in another tab, then try again.", true);
    } else {
      fail(entry, `${file.name} could not be added. Try again in a moment.`, true);
    }
  }

  // A job is submitted once its files are in, and not without one that was meant to be.
  form.addEventListener("submit", (event) => {
    if (!sending && !queue.length && !list.querySelector(".upload-bad")) return;
    event.preventDefault();
    event.stopPropagation();
    submitter = event.submitter;
    waiting = true;
    settle();
  });

  function settle() {
    if (!waiting) return;
    if (sending || queue.length) {
      wait.textContent = "Your files are still being added. The job is submitted as soon as they are in.";
      return;
    }
    waiting = false;
    const bad = list.querySelector(".upload-bad");
    if (bad) {
      wait.textContent = "Not submitted yet: a file was not added. Remove it or try again, then submit.";
      bad.querySelector("button").focus();
      return;
    }
    wait.textContent = "";
    form.requestSubmit(submitter);
  }

  function takeOver() {
    add([...input.files]);
    input.value = "";
  }
  input.addEventListener("change", takeOver);
  // Chosen before this file was here.
  if (input.files.length) takeOver();

  // A file that is dropped beside the box must not replace the page, and all that was typed.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      if (event.dataTransfer && event.dataTransfer.types.includes("Files")) event.preventDefault();
    });
  }
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, () => drop.classList.remove("over"));
  }
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    add(input.multiple ? files : files.slice(0, 1));
  });
})();
