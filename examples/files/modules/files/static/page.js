"use strict";

// The page speaks the tus protocol 1.0 (https://tus.io): POST begins an upload and gets its
// URL, PATCH sends bytes, and HEAD tells how many have arrived. The URL is kept in
// localStorage, so an upload continues even if the page was closed: choose the file again.

const tus = { "Tus-Resumable": "1.0.0" };
const pauses = [0, 1000, 3000, 10000]; // before each attempt without progress, in milliseconds

const element = (id) => document.getElementById(id);
const urlOf = (name) => "/files/" + name.split("/").map(encodeURIComponent).join("/");
const base64 = (text) => btoa(String.fromCodePoint(...new TextEncoder().encode(text)));

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let i = 0;
  for (; bytes >= 1024 && i < units.length - 1; i++) bytes /= 1024;
  return bytes.toFixed(i ? 1 : 0) + " " + units[i];
}

function button(text, onclick) {
  const b = document.createElement("button");
  b.type = "button";
  b.textContent = text;
  b.onclick = onclick;
  return b;
}

// Refusal is the server's final answer.
class Refusal extends Error {}

function check(status) {
  if (status < 300) return;
  const reasons = {
    404: "this upload has ended",
    412: "a file of this name exists: delete it first",
    413: "it is too large",
    507: "the store is full",
  };
  if (status < 500 && status !== 409 && status !== 408 || status === 507) {
    throw new Refusal(reasons[status] ?? `the server refuses it (${status})`);
  }
  throw new Error(`the server failed (${status})`);
}

// Upload is one file on its way.
class Upload {
  constructor(file) {
    this.file = file;
    this.key = ["upload", file.name, file.size, file.lastModified].join(" ");
    this.url = localStorage.getItem(this.key);
    this.cancelled = new AbortController();
    this.row = document.createElement("li");
    this.progress = document.createElement("progress");
    this.progress.max = Math.max(file.size, 1);
    this.text = document.createElement("span");
    const name = document.createElement("span");
    name.textContent = file.name;
    this.row.append(name, this.progress, this.text, button("Cancel", () => this.cancel()));
    element("uploads").append(this.row);
  }

  show(bytes) {
    this.progress.value = this.file.size ? bytes : 1;
    this.text.textContent = `${size(bytes)} of ${size(this.file.size)}`;
  }

  // run sends the file. It waits and goes on if the connection or the server is lost.
  async run() {
    for (let attempt = 0, arrived = -1; ; attempt++) {
      try {
        await this.send((offset) => {
          if (offset > arrived) attempt = 0;
          arrived = offset;
        });
        this.end();
        return;
      } catch (error) {
        if (this.cancelled.signal.aborted) return;
        if (error instanceof Refusal || attempt + 1 === pauses.length) {
          if (error instanceof Refusal) localStorage.removeItem(this.key);
          this.fail(error);
          return;
        }
        this.text.textContent = `${error.message}: trying again`;
        await new Promise((done) => setTimeout(done, pauses[attempt + 1]));
      }
    }
  }

  async send(progressed) {
    const signal = this.cancelled.signal;
    let offset = 0;
    if (this.url) {
      const answer = await fetch(this.url, { method: "HEAD", headers: tus, signal });
      if (answer.status === 404 || answer.status === 410) {
        this.url = null; // it has expired
      } else {
        check(answer.status);
        offset = Number(answer.headers.get("Upload-Offset"));
      }
    }
    if (!this.url) {
      const metadata = `filename ${base64(this.file.name)},filetype ${base64(this.file.type || "application/octet-stream")}`;
      const headers = { ...tus, "Upload-Length": this.file.size, "Upload-Metadata": metadata, "If-None-Match": "*" };
      const answer = await fetch("/files/", { method: "POST", headers, signal });
      check(answer.status);
      this.url = new URL(answer.headers.get("Location"), answer.url).href;
      localStorage.setItem(this.key, this.url);
    }
    progressed(offset);
    this.show(offset);
    if (offset < this.file.size) await this.patch(offset);
  }

  // patch sends the bytes from an offset. XMLHttpRequest knows their number on the way.
  patch(offset) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.upload.onprogress = (event) => this.show(offset + event.loaded);
      request.onload = () => {
        try {
          check(request.status);
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      request.onerror = () => reject(new Error("the connection was lost"));
      this.cancelled.signal.addEventListener("abort", () => {
        request.abort();
        reject(new Error("cancelled"));
      });
      request.open("PATCH", this.url);
      const headers = { ...tus, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      for (const name in headers) request.setRequestHeader(name, headers[name]);
      request.send(this.file.slice(offset));
    });
  }

  end() {
    localStorage.removeItem(this.key);
    this.row.remove();
    list();
  }

  fail(error) {
    this.progress.remove();
    this.text.textContent = error.message;
    const retry = button("Try again", () => {
      this.row.remove();
      new Upload(this.file).run();
    });
    this.row.append(retry);
  }

  async cancel() {
    this.cancelled.abort();
    localStorage.removeItem(this.key);
    this.row.remove();
    if (this.url) await fetch(this.url, { method: "DELETE", headers: tus }).catch(() => {});
  }
}

let listed = 0;

async function list() {
  const turn = ++listed;
  let answer;
  try {
    const response = await fetch("/list?" + new URLSearchParams({ prefix: element("prefix").value }));
    if (!response.ok) throw new Error(await response.text());
    answer = await response.json();
  } catch (error) {
    element("message").textContent = error.message;
    return;
  }
  if (turn !== listed) return; // a newer one is on its way
  element("files").hidden = answer.files.length === 0;
  element("files").tBodies[0].replaceChildren(...answer.files.map(row));
  element("message").textContent = answer.more ? "There are more files: narrow them down." : "";
}

function row(file) {
  const tr = document.createElement("tr");
  const link = document.createElement("a");
  link.href = urlOf(file.name);
  link.textContent = file.name;
  const kind = file.type.split("/")[0];
  if (["image", "video", "audio"].includes(kind) && !file.type.includes("svg")) {
    link.onclick = (event) => {
      event.preventDefault();
      view(file, kind);
    };
  }
  for (const content of [link, size(file.size), new Date(file.modified).toLocaleString(), button("Delete", () => remove(file))]) {
    tr.insertCell().append(content);
  }
  return tr;
}

// view shows an image, or plays a video or sound. The browser reads ranges as it needs them.
function view(file, kind) {
  const media = document.createElement(kind === "image" ? "img" : kind);
  media.src = urlOf(file.name);
  if (kind === "image") media.alt = file.name;
  else media.controls = true;
  const caption = document.createElement("figcaption");
  caption.append(file.name, " ", button("Close", () => (element("view").hidden = true)));
  element("view").replaceChildren(media, caption);
  element("view").dataset.name = file.name;
  element("view").hidden = false;
}

async function remove(file) {
  try {
    const answer = await fetch(urlOf(file.name), { method: "DELETE" });
    if (answer.status !== 404) check(answer.status);
  } catch (error) {
    element("message").textContent = `${file.name}: ${error.message}`;
    return;
  }
  if (element("view").dataset.name === file.name) element("view").hidden = true;
  list();
}

element("choose").onchange = (event) => {
  for (const file of event.target.files) new Upload(file).run();
  event.target.value = "";
};
element("prefix").oninput = list;
element("choose").form.onsubmit = (event) => event.preventDefault();
list();
