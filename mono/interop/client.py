# Usage: python3 client.py URL TASK [ARGUMENT]...
#
# A client in Python of the App in clients_test.go. docs/clients.md shows its functions.
# Each prints what it gets, one JSON value a line.
import asyncio
import json
import re
import sys
from urllib.parse import quote, unquote
from uuid import uuid4

import nats
from nats.errors import TimeoutError
from nats.js.api import ConsumerConfig


async def call(nc, product):
    request = json.dumps({"product": product}).encode()
    headers = {"Mono-Id": uuid4().hex, "Mono-Timeout-Ms": "2000"}
    reply = await nc.request("services.stock.check", request, headers=headers, timeout=3)
    h = reply.headers or {}
    if "Mono-Code" not in h:
        return show(json.loads(reply.data))
    error = {"code": h["Mono-Code"], "text": unquote(h["Mono-Message"]), "outcome": h.get("Mono-Outcome", "")}
    if "Mono-Failure" in h:
        error |= {"failure": h["Mono-Failure"], "status": h.get("Mono-Failure-Status", "")}
        if reply.data:  # it was not too large
            error["value"] = json.loads(reply.data)
    show(error)


async def provide(nc):
    calls = await nc.subscribe("services.shipping.quote", queue="q")
    async for m in calls.messages:
        country = json.loads(m.data)["country"]
        if country != "xx":
            await nc.publish(m.reply, json.dumps({"cents": 490}).encode())
            continue
        h = {"Mono-Code": "not_found", "Mono-Message": quote("no courier"), "Mono-Failure": "shipping.no-courier"}
        await nc.publish(m.reply, json.dumps({"country": country}).encode(), headers=h)


async def publish(nc, order):
    event = json.dumps({"order": order}).encode()
    await nc.publish("events.orders.placed", event)
    await nc.publish(f"events.orders.moved._k.{order}", event)  # with a key
    await nc.flush()


async def subscribe(nc):
    events = await nc.subscribe("events.orders.placed", queue="billing")
    async for m in events.messages:
        show({"tenant": (m.headers or {}).get("Tenant", ""), "event": json.loads(m.data)})


async def enqueue(nc, order):
    job = json.dumps({"order": order}).encode()
    headers = {"Nats-Msg-Id": f"receipt-{order}"}
    stored = await nc.jetstream().publish("queues.mail.receipts", job, headers=headers)
    show({"sequence": stored.seq, "duplicate": bool(stored.duplicate)})


async def enqueue_later(nc, order, time):
    headers = {
        "Nats-Schedule": f"@at {time}",
        "Nats-Schedule-Target": "_later.queues_mail_receipts.due.queues.mail.receipts",
        "Nats-Msg-Id": f"receipt-{order}",
        "Nats-Mono-Id": f"receipt-{order}",
    }
    subject = f"_later.queues_mail_receipts.at.{uuid4().hex}"
    await nc.jetstream().publish(subject, json.dumps({"order": order}).encode(), headers=headers)


async def work(nc):
    group = await nc.jetstream().pull_subscribe_bind("workers", stream="queues_mail_receipts")
    while True:
        try:
            [m] = await group.fetch()  # one at a time: those that wait in the client would be attempts too
        except TimeoutError:
            continue
        extending = asyncio.create_task(extend(m))
        try:
            if is_for_group(m, "workers"):
                await send(json.loads(m.data), m.metadata.num_delivered)
            await m.ack()
        except Exception as error:
            if m.metadata.num_delivered < 3:
                await m.nak(delay=0.1)  # the next attempt in 100 ms
            else:
                await give_up(nc, m, error)
        finally:
            extending.cancel()


# extend keeps a delivery of a job that takes longer than AckWait, 30 seconds.
async def extend(m):
    while True:
        await asyncio.sleep(10)
        await m.in_progress()


# is_for_group reports whether a message is for all groups, or for this one only.
def is_for_group(m, group):
    to = re.search(r"\._to\.([^.]+)", m.subject)
    return to is None or to[1] == group


async def give_up(nc, m, error):
    info, old = m.metadata, m.headers or {}
    headers = {name: value for name, value in old.items() if not name.startswith("Nats-")}
    ids = [old.get(name) for name in ("Mono-Id", "Nats-Msg-Id", "Nats-Mono-Id")]
    headers["Mono-Id"] = next(filter(None, ids), f"{info.stream}-{info.sequence.stream}")
    dead = {
        "Reason": "attempts",
        "Group": info.consumer,
        "Attempts": str(info.num_delivered),
        "Code": "unknown",
        "Error": quote(str(error)),
        "Sequence": str(info.sequence.stream),
        "Stored": info.timestamp.isoformat(),
        "Subject": m.subject,
    }
    headers |= {f"Mono-Dead-Letter-{name}": value for name, value in dead.items()}
    subject = f"_dead.queues.mail.receipts.workers.{info.sequence.stream}"
    await nc.jetstream().publish(subject, m.data, headers=headers)
    await m.term()


async def append(nc, account, cents, last=None):
    entry = json.dumps({"account": account, "cents": int(cents)}).encode()
    headers = {"Nats-Msg-Id": uuid4().hex}
    if last is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = last
    stored = await nc.jetstream().publish(f"streams.bank.ledger._k.{account}", entry, headers=headers)
    show({"sequence": stored.seq})


async def read(nc, account="*"):
    subject = f"_partition.*.streams.bank.ledger._k.{account}"
    entries = await nc.jetstream().pull_subscribe(
        subject, stream="streams_bank_ledger", config=ConsumerConfig(ack_policy="none")
    )
    pending = (await entries.consumer_info()).num_pending
    while pending > 0:
        for m in await entries.fetch(100):
            show({"sequence": m.metadata.sequence.stream, "entry": json.loads(m.data)})
            pending = m.metadata.num_pending


async def follow(nc):
    group = await nc.jetstream().pull_subscribe(
        "events.orders.paid", durable="billing", stream="events_orders_paid"
    )
    while True:
        try:
            messages = await group.fetch(100)
        except TimeoutError:
            continue
        for m in messages:
            show({"sequence": m.metadata.sequence.stream, "event": json.loads(m.data)})
            await m.ack()


async def bucket(nc):
    prices = await nc.jetstream().key_value("prices")
    book = await prices.get("book")
    cents = json.loads(book.value)["cents"]
    await prices.update("book", json.dumps({"cents": cents + 100}).encode(), book.revision)
    await prices.put("pen", json.dumps({"cents": 250}).encode())
    for key in await prices.keys():
        show({"key": key, "value": json.loads((await prices.get(key)).value)})


async def objects(nc):
    uploads = await nc.jetstream().object_store("uploads")
    await uploads.put("theirs.txt", b"from Python")
    show((await uploads.get("ours.txt")).data.decode())


async def thumbnail(nc, order):
    job = json.dumps({"order": order}).encode()
    await nc.request("queues.images.thumbnails._ask.workers", job, timeout=2)  # accepted


async def thumbnails(nc):
    jobs = await nc.subscribe("queues.images.thumbnails._ask.workers", queue="workers")
    async for m in jobs.messages:
        await nc.publish(m.reply)  # accepted: the reply is empty
        show(json.loads(m.data))


async def discover(nc):
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    await nc.publish("$SRV.INFO", reply=inbox)
    while True:
        try:
            info = json.loads((await replies.next_msg(timeout=0.5)).data)
        except TimeoutError:
            return
        for e in info["endpoints"]:
            schema = json.loads(e["metadata"].get("request-schema", "{}"))  # the JSON Schema of the request
            show({"module": info["name"], "subject": e["subject"], "request": e["metadata"]["request"], "schema": schema})


# send stands for the work on a job. It fails on request.
async def send(job, attempt):
    show({"job": job, "attempt": attempt})
    if job["order"].startswith("bad"):
        raise RuntimeError("no such mailbox: ö")


def show(value):
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)


async def main(url, task, *args):
    nc = await nats.connect(url)
    await tasks[task](nc, *args)
    await nc.close()


tasks = {
    "call": call, "provide": provide, "publish": publish, "subscribe": subscribe, "enqueue": enqueue,
    "enqueueLater": enqueue_later, "work": work, "append": append, "read": read, "follow": follow, "bucket": bucket,
    "objects": objects, "thumbnail": thumbnail, "thumbnails": thumbnails, "discover": discover,
}
asyncio.run(main(*sys.argv[1:]))
