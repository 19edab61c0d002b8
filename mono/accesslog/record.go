package accesslog

import (
	"log/slog"
	"strconv"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
)

// names are the attributes of the fields.
var names = [numberOfFields]string{
	Module:    "mono.module",
	Kind:      "mono.kind",
	Handle:    "messaging.destination.name",
	Group:     "messaging.consumer.group.name",
	ID:        "messaging.message.id",
	RequestID: requestid.LogKey,
	Sender:    "mono.sender",
	Local:     "mono.local",
	Partition: "messaging.destination.partition.id",
	Attempt:   "mono.attempt",
	Count:     "messaging.batch.message_count",
	Outcome:   "mono.outcome",
	Code:      "error.type",
	Error:     "error.message",
	Duration:  "mono.duration",
	Wait:      "mono.wait",
	Size:      "messaging.message.body.size",
	ReplySize: "mono.reply.size",
}

// String returns the name of the attribute. Handle has another name for a service: rpc.method.
func (f Field) String() string {
	if f >= numberOfFields {
		return "Field(" + strconv.Itoa(int(f)) + ")"
	}
	return names[f]
}

// attrs are the attributes of a record. Its memory is used again.
type attrs struct {
	fields fieldSet
	n      int
	all    [numberOfFields]slog.Attr
}

// reset begins a record with some of the fields.
func (a *attrs) reset(fields fieldSet) { a.fields, a.n = fields, 0 }

// add adds a field, unless it is not wanted.
func (a *attrs) add(f Field, applies bool, v slog.Value) {
	if applies && a.fields.has(f) {
		a.all[a.n] = slog.Attr{Key: names[f], Value: v}
		a.n++
	}
}

// attrs returns the attributes that all records of a site have.
func (s *site) attrs() []slog.Attr {
	a := attrs{fields: s.fields}
	a.add(Module, s.module != "", slog.StringValue(s.module))
	a.add(Kind, true, slog.StringValue(string(s.handle.Kind())))
	a.add(Handle, true, slog.StringValue(s.handle.Name()))
	if s.handle.Kind() == mono.KindService && a.fields.has(Handle) {
		a.all[a.n-1].Key = "rpc.method"
	}
	a.add(Group, s.group != "" && s.handle.Kind() != mono.KindService, slog.StringValue(s.group))
	return a.all[:a.n]
}

// record returns the record of an entry, without the attributes of its site. It uses the memory
// of a.
func (e *entry) record(at time.Time, a *attrs) slog.Record {
	text := "handled"
	if e.site.side == mono.SideSender {
		text = "sent"
	}
	a.reset(e.site.fields)
	a.add(ID, true, slog.StringValue(e.id))
	a.add(RequestID, e.request != "", slog.StringValue(e.request))
	a.add(Sender, e.sender != "", slog.StringValue(e.sender))
	a.add(Local, e.local, slog.BoolValue(true))
	if e.partition >= 0 {
		a.add(Partition, true, slog.StringValue(strconv.Itoa(int(e.partition))))
	}
	a.add(Attempt, e.attempt > 0, slog.IntValue(int(e.attempt)))
	a.add(Count, e.count > 1, slog.IntValue(int(e.count)))
	if f := e.failure; f == nil {
		a.add(Outcome, true, slog.StringValue("success"))
	} else {
		a.add(Outcome, true, slog.StringValue(f.outcome))
		a.add(Code, f.code != "", slog.StringValue(f.code))
		a.add(Error, f.text != "", slog.StringValue(f.text))
	}
	a.add(Duration, true, slog.Float64Value(e.took.Seconds()))
	a.add(Wait, e.wait >= 0, slog.Float64Value(e.wait.Seconds()))
	a.add(Size, e.size >= 0, slog.IntValue(e.size))
	a.add(ReplySize, e.replySize >= 0, slog.IntValue(e.replySize))
	r := slog.NewRecord(at, e.level, text, 0)
	r.AddAttrs(a.all[:a.n]...)
	r.AddAttrs(e.attrs...)
	return r
}
