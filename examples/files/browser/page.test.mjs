// Tests of the page in a browser, against the program with its store on disk.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, beforeEach, test } from "node:test";
import puppeteer from "puppeteer-core";

let browser, page, folder, site;
const problems = []; // that the page has logged

// Site is a running program.
class Site {
  static async start(listen = "127.0.0.1:0") {
    const s = new Site();
    s.process = spawn("./files", ["-listen", listen, "-store", join(folder, "store")], { stdio: ["ignore", "pipe", "inherit"] });
    s.ended = once(s.process, "exit");
    for await (const line of createInterface(s.process.stdout)) {
      s.url = line.replace("serving on ", "");
      return s;
    }
    throw new Error("the program ended");
  }
  get address() { return new URL(this.url).host; }
  async kill(signal = "SIGKILL") {
    this.process.kill(signal);
    return (await this.ended)[0];
  }
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "files-"));
  site = await Site.start();
  browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM,
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [], // root has no sandbox
  });
});

after(async () => {
  await browser?.close();
  if (site) assert.equal(await site.kill("SIGTERM"), 0, "the status of the program at its end");
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const old of await browser.pages()) if (old !== (await browser.pages())[0]) await old.close();
  page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("dialog", (dialog) => { problems.push("a dialog: " + dialog.message()); dialog.dismiss(); });
  await page.goto(site.url);
});

const digest = (content) => createHash("sha256").update(content).digest("hex");

async function file(name, content) {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function choose(...paths) {
  await (await page.$("#choose")).uploadFile(...paths);
}

const names = () => page.$$eval("#files tbody tr td:first-child", (all) => all.map((td) => td.textContent));
const listed = (name) => page.waitForFunction(
  (name) => [...document.querySelectorAll("#files tbody tr td:first-child")].some((td) => td.textContent === name), {}, name);
const gone = (name) => page.waitForFunction(
  (name) => ![...document.querySelectorAll("#files tbody tr td:first-child")].some((td) => td.textContent === name), {}, name);
const status = (text) => page.waitForFunction((text) => document.getElementById("uploads").textContent.includes(text), {}, text);

// press clicks the button of a file.
const press = (name) => page.$$eval("#files tbody tr", (all, name) =>
  all.find((tr) => tr.cells[0].textContent === name).querySelector("button").click(), name);
const follow = (name) => page.$$eval("#files a", (all, name) => all.find((a) => a.textContent === name).click(), name);

async function stored(name) {
  const answer = await fetch(site.url + "/files/" + name.split("/").map(encodeURIComponent).join("/"));
  return { status: answer.status, headers: answer.headers, digest: digest(Buffer.from(await answer.arrayBuffer())) };
}

// slow limits the bytes that the page sends in a second; -1: no limit.
async function slow(bytes) {
  const session = await page.createCDPSession();
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
}

test("a file is uploaded, listed, read and deleted", async () => {
  const content = randomBytes(3 << 20);
  await choose(await file("first.bin", content));
  await listed("first.bin");
  const is = await stored("first.bin");
  assert.equal(is.digest, digest(content));
  assert.equal(is.headers.get("content-disposition")?.split(";")[0], "attachment");
  await press("first.bin");
  await gone("first.bin");
  assert.equal((await stored("first.bin")).status, 404);
});

test("a bar shows the progress", async () => {
  const content = randomBytes(4 << 20);
  await page.evaluate(() => {
    window.values = [];
    new MutationObserver(() => {
      for (const bar of document.querySelectorAll("progress")) {
        if (values.at(-1) !== bar.position) values.push(bar.position);
      }
    }).observe(document.getElementById("uploads"), { subtree: true, childList: true, attributes: true, characterData: true });
  });
  await slow(2 << 20);
  await choose(await file("slow.bin", content));
  await listed("slow.bin");
  const values = await page.evaluate(() => values);
  assert.ok(values.length >= 4, `only ${values.length} different positions`);
  assert.deepEqual(values, values.toSorted((a, b) => a - b), "the bar goes back");
  assert.equal(digest(content), (await stored("slow.bin")).digest);
  assert.equal(await page.$$eval("progress", (all) => all.length), 0);
});

test("an upload goes on when the program was killed", async () => {
  const content = randomBytes(6 << 20);
  const offsets = [];
  page.on("request", (r) => { if (r.method() === "PATCH") offsets.push(Number(r.headers()["upload-offset"])); });
  await slow(1 << 20);
  await choose(await file("killed.bin", content));
  await page.waitForFunction(() => document.querySelector("progress")?.position > 0.5);
  const address = site.address;
  await site.kill();
  await status("trying again");
  site = await Site.start(address);
  await slow(-1);
  await listed("killed.bin");
  assert.equal(digest(content), (await stored("killed.bin")).digest);
  assert.ok(offsets.length >= 2 && offsets.at(-1) > 0, `the parts began at ${offsets}`);
});

test("an upload goes on when the page was closed", async () => {
  const content = randomBytes(6 << 20);
  const path = await file("closed.bin", content);
  await slow(1 << 20);
  await choose(path);
  await page.waitForFunction(() => document.querySelector("progress")?.position > 0.5);
  await page.close();
  page = await browser.newPage();
  await page.goto(site.url);
  assert.ok(!(await names()).includes("closed.bin"), "a part of a file is listed");
  const offsets = [];
  page.on("request", (r) => { if (r.method() === "PATCH") offsets.push(Number(r.headers()["upload-offset"])); });
  await choose(path);
  await listed("closed.bin");
  assert.equal(digest(content), (await stored("closed.bin")).digest);
  assert.ok(offsets[0] > 0, `the second part began at ${offsets}`);
});

test("a cancelled upload leaves nothing", async () => {
  await slow(1 << 20);
  await choose(await file("cancelled.bin", randomBytes(4 << 20)));
  await page.waitForFunction(() => document.querySelector("progress")?.position > 0.3);
  await slow(-1);
  const deleted = page.waitForResponse((r) => r.request().method() === "DELETE");
  await page.$eval("#uploads button", (b) => b.click());
  assert.equal((await deleted).status(), 204);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.equal((await stored("cancelled.bin")).status, 404);
});

test("a file is not replaced by accident", async () => {
  const path = await file("twice.txt", "one");
  await choose(path);
  await listed("twice.txt");
  await writeFile(path, "another");
  await choose(path);
  await status("a file of this name exists");
  assert.equal((await stored("twice.txt")).digest, digest("one"));
});

test("an image is shown", async () => {
  await choose(await file("dot.png", Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64")));
  await listed("dot.png");
  await follow("dot.png");
  await page.waitForFunction(() => document.querySelector("#view img")?.naturalWidth === 1);
});

// sound returns a WAV file: a media element can seek in it without an index.
function sound(seconds) {
  const rate = 48000, bytes = seconds * rate * 2;
  const head = Buffer.alloc(44);
  head.write("RIFF"); head.writeUInt32LE(36 + bytes, 4); head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16); head.writeUInt16LE(1, 20); head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24); head.writeUInt32LE(rate * 2, 28); head.writeUInt16LE(2, 32); head.writeUInt16LE(16, 34);
  head.write("data", 36); head.writeUInt32LE(bytes, 40);
  return Buffer.concat([head, Buffer.alloc(bytes)]);
}

test("media are read in ranges", async () => {
  await choose(await file("long.wav", sound(600)));
  await listed("long.wav");
  const ranges = [];
  page.on("response", (r) => {
    if (r.url().endsWith("/files/long.wav")) ranges.push([r.status(), Number(/bytes (\d+)-/.exec(r.headers()["content-range"])?.[1])]);
  });
  await follow("long.wav");
  await page.waitForFunction(() => document.querySelector("#view audio")?.duration > 599);
  await page.$eval("#view audio", (a) => { a.currentTime = 500; });
  await page.waitForFunction(() => {
    const a = document.querySelector("#view audio");
    return !a.seeking && a.readyState >= 2 && a.currentTime === 500;
  });
  assert.ok(ranges.every(([status]) => status === 206 || status === 304), `statuses and starts: ${JSON.stringify(ranges)}`);
  assert.ok(ranges.some(([, start]) => start > 40e6), `statuses and starts: ${JSON.stringify(ranges)}`);
});

test("names and contents are data", async () => {
  const all = ["<img src=x onerror=alert(1)>.txt", "ä #b?%41&c.txt", "a:b.txt"];
  for (const name of all) await choose(await file(name, "text of " + name));
  for (const name of all) {
    await listed(name);
    assert.equal((await stored(name)).digest, digest("text of " + name), name);
  }
  await choose(await file("page.html", "<script>alert(2)</script>"));
  await listed("page.html");
  const is = await stored("page.html");
  assert.match(is.headers.get("content-disposition"), /^attachment/);
  assert.equal(is.headers.get("x-content-type-options"), "nosniff");
  await press(all[0]);
  await gone(all[0]);
  assert.deepEqual(problems, []);
});

test("a prefix narrows the list", async () => {
  for (const name of ["p-1.txt", "p-2.txt", "q-1.txt"]) await choose(await file(name, name));
  for (const name of ["p-1.txt", "p-2.txt", "q-1.txt"]) await listed(name);
  await page.type("#prefix", "p-");
  await gone("q-1.txt");
  assert.deepEqual(await names(), ["p-1.txt", "p-2.txt"]);
});

test("a page of another origin cannot change files", async () => {
  await choose(await file("kept.txt", "kept"));
  await listed("kept.txt");
  await page.goto("data:text/html,<p>another origin</p>");
  const answers = await page.evaluate(async (url) => {
    const tried = [["DELETE", "/files/kept.txt"], ["POST", "/files/forged.txt"]].map(([method, path]) =>
      fetch(url + path, { method, mode: method === "POST" ? "no-cors" : "cors" }).then(() => "sent", () => "refused"));
    return Promise.all(tried);
  }, site.url);
  assert.equal(answers[0], "refused");
  assert.equal((await stored("kept.txt")).digest, digest("kept"));
  assert.equal((await stored("forged.txt")).status, 404);
});
