// Usage: node tool.mjs URL STORE write|read|watch [NAME]
//
// write writes the objects of the test; read prints all objects; watch prints names until it
// has printed the given one. A line of read is JSON: name, size, description, headers, metadata,
// content. The content is empty for a name outside ASCII, which nats.js cannot look up.
import { connect, headers } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";

const [url, store, action, name] = process.argv.slice(2);
const nc = await connect({ servers: url });
const objm = new Objm(jetstream(nc));
const bytes = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder().decode(bytes);

async function write() {
  const os = await objm.create(store, { storage: "memory" });
  await os.putBlob({ name: "text" }, bytes("hello"));
  const h = headers();
  h.set("X-Kind", "test");
  h.set("Content-Type", "text/plain");
  await os.putBlob({
    name: "dir/several chunks.txt", description: "described", headers: h, metadata: { team: "a" },
    options: { max_chunk_size: 10 },
  }, bytes("0123456789abcdefghijABCDEFGHIJ!"));
  await os.putBlob({ name: "empty" }, bytes(""));
  await os.putBlob({ name: "odd \"name\" *.>" }, bytes("odd"));
  await os.putBlob({ name: "replaced" }, bytes("old"));
  await os.putBlob({ name: "replaced" }, bytes("new"));
  await os.putBlob({ name: "deleted" }, bytes("x"));
  await os.delete("deleted");
  const others = await objm.create("others", { storage: "memory" });
  const far = await others.putBlob({ name: "far" }, bytes("far away"));
  await os.link("link", await os.info("text"));
  await os.link("link to far", far);
  await os.linkStore("link to others", others);
}

async function read() {
  const os = await objm.open(store);
  for (const is of await os.list()) {
    const content = /^[ -~]*$/.test(is.name) ? text(await os.getBlob(is.name)) : "";
    console.log(JSON.stringify([is.name, is.size, is.description ?? "", is.headers ?? {}, is.metadata ?? {}, content]));
  }
}

async function watch() {
  const os = await objm.open(store);
  for await (const is of await os.watch()) {
    console.log(is.name);
    if (is.name === name) break;
  }
}

await { write, read, watch }[action]();
await nc.close();
