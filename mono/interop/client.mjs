// Usage: node client.mjs URL TASK [ARGUMENT]...
//
// A client in JavaScript of the App in clients_test.go. docs/clients.md shows its functions.
// Each prints what it gets, one JSON value a line.
import { unescape } from "node:querystring"; // decodeURIComponent refuses a text that is not UTF-8
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connect, headers, nuid } from "@nats-io/transport-node";

async function call(nc, product) {
  const h = headers();
  h.set("Mono-Id", nuid.next());
  h.set("Mono-Timeout-Ms", "2000");
  const reply = await nc.request("services.stock.check", JSON.stringify({ product }), { headers: h, timeout: 3000 });
  const is = (name) => reply.headers?.get(name);
  if (!is("Mono-Code")) return show(reply.json());
  const error = { code: is("Mono-Code"), text: unescape(is("Mono-Message")), outcome: is("Mono-Outcome") };
  if (is("Mono-Failure")) {
    Object.assign(error, { failure: is("Mono-Failure"), status: is("Mono-Failure-Status") });
    if (reply.data.length > 0) error.value = reply.json(); // it was not too large
  }
  show(error);
}

async function provide(nc) {
  for await (const m of nc.subscribe("services.shipping.quote", { queue: "q" })) {
    const { country } = m.json();
    if (country !== "xx") {
      m.respond(JSON.stringify({ cents: 490 }));
      continue;
    }
    const h = headers();
    h.set("Mono-Code", "not_found");
    h.set("Mono-Message", encodeURIComponent("no courier"));
    h.set("Mono-Failure", "shipping.no-courier");
    m.respond(JSON.stringify({ country }), { headers: h });
  }
}

async function publish(nc, order) {
  nc.publish("events.orders.placed", JSON.stringify({ order }));
  nc.publish("events.orders.moved._k." + order, JSON.stringify({ order })); // with a key
  await nc.flush();
}

async function subscribe(nc) {
  for await (const m of nc.subscribe("events.orders.placed", { queue: "billing" })) {
    show({ tenant: m.headers?.get("Tenant"), event: m.json() });
  }
}

async function enqueue(nc, order) {
  const stored = await jetstream(nc).publish("queues.mail.receipts", JSON.stringify({ order }), { msgID: "receipt-" + order });
  show({ sequence: stored.seq, duplicate: stored.duplicate });
}

async function enqueueLater(nc, order, time) {
  const h = headers(), id = "receipt-" + order;
  h.set("Nats-Schedule", "@at " + time);
  h.set("Nats-Schedule-Target", "_later.queues_mail_receipts.due.queues.mail.receipts");
  h.set("Nats-Mono-Id", id);
  const subject = "_later.queues_mail_receipts.at." + nuid.next();
  await jetstream(nc).publish(subject, JSON.stringify({ order }), { msgID: id, headers: h });
}

async function work(nc) {
  const group = await jetstream(nc).consumers.get("queues_mail_receipts", "workers");
  for (;;) {
    const m = await group.next(); // one at a time: those that wait in the client would be attempts too
    if (m === null) continue;
    const extend = setInterval(() => m.working(), 10_000); // AckWait is 30 seconds
    try {
      if (isForGroup(m, "workers")) await send(m.json(), m.info.deliveryCount);
      m.ack();
    } catch (error) {
      if (m.info.deliveryCount < 3) m.nak(100); // the next attempt in 100 ms
      else await giveUp(nc, m, error);
    } finally {
      clearInterval(extend);
    }
  }
}

// isForGroup reports whether a message is for all groups, or for this one only.
function isForGroup(m, group) {
  const [, to] = m.subject.match(/\._to\.([^.]+)/) ?? [];
  return !to || to === group;
}

async function giveUp(nc, m, error) {
  const h = headers(), set = (name, value) => h.set("Mono-Dead-Letter-" + name, value);
  for (const [name, values] of m.headers ?? []) if (!name.startsWith("Nats-")) h.set(name, values[0]);
  const ids = ["Mono-Id", "Nats-Msg-Id", "Nats-Mono-Id"].map((name) => m.headers?.get(name));
  h.set("Mono-Id", ids.find(Boolean) ?? m.info.stream + "-" + m.seq);
  set("Reason", "attempts");
  set("Group", m.info.consumer);
  set("Attempts", String(m.info.deliveryCount));
  set("Code", "unknown");
  set("Error", encodeURIComponent(error.message));
  set("Sequence", String(m.seq));
  set("Stored", m.time.toISOString());
  set("Subject", m.subject);
  await jetstream(nc).publish(`_dead.queues.mail.receipts.workers.${m.seq}`, m.data, { headers: h });
  m.term("attempts");
}

async function append(nc, account, cents, last) {
  const stored = await jetstream(nc).publish("streams.bank.ledger._k." + account, JSON.stringify({ account, cents: Number(cents) }), {
    msgID: nuid.next(),
    expect: last ? { lastSubjectSequence: Number(last) } : {},
  });
  show({ sequence: stored.seq });
}

async function read(nc, account = "*") {
  const entries = await jetstream(nc).consumers.get("streams_bank_ledger", {
    filter_subjects: "_partition.*.streams.bank.ledger._k." + account,
  });
  if ((await entries.info()).num_pending === 0) return;
  for await (const m of await entries.consume()) {
    show({ sequence: m.seq, entry: m.json() });
    if (m.info.pending === 0) break;
  }
}

async function follow(nc) {
  const jsm = await jetstreamManager(nc);
  await jsm.consumers.add("events_orders_paid", {
    durable_name: "billing", ack_policy: "explicit", filter_subject: "events.orders.paid",
  });
  const group = await jetstream(nc).consumers.get("events_orders_paid", "billing");
  for await (const m of await group.consume()) {
    show({ sequence: m.seq, event: m.json() });
    m.ack();
  }
}

async function bucket(nc) {
  const prices = await new Kvm(jetstream(nc)).open("prices");
  const book = await prices.get("book");
  await prices.update("book", JSON.stringify({ cents: book.json().cents + 100 }), book.revision);
  await prices.put("pen", JSON.stringify({ cents: 250 }));
  for await (const key of await prices.keys()) show({ key, value: (await prices.get(key)).json() });
}

async function objects(nc) {
  const uploads = await new Objm(jetstream(nc)).open("uploads");
  await uploads.putBlob({ name: "theirs.txt" }, new TextEncoder().encode("from Node"));
  show(new TextDecoder().decode(await uploads.getBlob("ours.txt")));
}

async function thumbnail(nc, order) {
  await nc.request("queues.images.thumbnails._ask.workers", JSON.stringify({ order })); // accepted
}

async function thumbnails(nc) {
  for await (const m of nc.subscribe("queues.images.thumbnails._ask.workers", { queue: "workers" })) {
    m.respond(); // accepted: the reply is empty
    show(m.json());
  }
}

async function discover(nc) {
  for await (const m of await nc.requestMany("$SRV.INFO", "", { strategy: "stall", maxWait: 2000 })) {
    const { name, endpoints } = m.json();
    for (const e of endpoints) {
      const schema = JSON.parse(e.metadata["request-schema"] ?? "{}"); // the JSON Schema of the request
      show({ module: name, subject: e.subject, request: e.metadata.request, schema });
    }
  }
}

// send stands for the work on a job. It fails on request.
async function send(job, attempt) {
  show({ job, attempt });
  if (job.order.startsWith("bad")) throw new Error("no such mailbox: ö");
}

function show(value) {
  console.log(JSON.stringify(value));
}

const tasks = {
  call, provide, publish, subscribe, enqueue, enqueueLater, work, append, read, follow, bucket, objects, thumbnail, thumbnails, discover,
};
const [url, task, ...args] = process.argv.slice(2);
const nc = await connect({ servers: url });
await tasks[task](nc, ...args);
await nc.close();
