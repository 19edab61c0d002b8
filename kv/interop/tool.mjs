// Usage: node tool.mjs URL BUCKET write|read|watch [ENTRIES]
//
// write writes the entries of the test; read prints all keys with their values; watch prints
// entries until it has printed the given number. A line is JSON: key, operation, value.
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";

const [url, bucket, action, count] = process.argv.slice(2);
const nc = await connect({ servers: url });
const kvm = new Kvm(jetstream(nc));
const show = (e) => console.log(JSON.stringify([e.key, e.operation, e.operation === "PUT" ? e.string() : ""]));

switch (action) {
  case "write": {
    const kv = await kvm.create(bucket, { history: 3, markerTTL: 60_000, storage: "memory" });
    await kv.put("text", "hello");
    await kv.put("user.1", '{"name":"Ada"}');
    await kv.put("user.1", '{"name":"Grace"}');
    await kv.create("user.2", '{"name":"Edsger"}', "1h");
    await kv.put("deleted", "x");
    await kv.delete("deleted");
    await kv.put("purged", "x");
    await kv.purge("purged");
    await kv.put("odd=key", '{"name":"odd"}');
    break;
  }
  case "read": {
    const kv = await kvm.open(bucket);
    for await (const key of await kv.keys()) {
      show(await kv.get(key));
    }
    break;
  }
  case "watch": {
    const kv = await kvm.open(bucket);
    let left = Number(count);
    for await (const e of await kv.watch()) {
      show(e);
      if (--left === 0) break;
    }
    break;
  }
}
await nc.close();
