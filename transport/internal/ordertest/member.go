//go:build unix

// Package ordertest tests the order of keys over processes. Members of an ordered group join,
// leave, are killed and are paused at random. Each writes when its handlers begin and end, and
// afterwards the order of every key is checked.
package ordertest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// memberOf is the environment variable of a member: the addresses, the replicas, and the path of
// its record.
const memberOf = "MONO_ORDERTEST_MEMBER"

const (
	keys       = 10_000
	busyKeys   = 50 // half of the messages are for them, and wait for each other
	partitions = 16
	ackWait    = 2 * time.Second
	longest    = 20 * time.Millisecond // of a handler
)

func config() transport.LogConfig {
	return transport.LogConfig{
		Name: "orders", Subjects: []string{"orders.*"}, Partitions: partitions, Storage: transport.MemoryStorage,
		Groups: []transport.GroupConfig{{Name: "g", Ordered: true, AckWait: ackWait}},
	}
}

// Main runs the program of a member if the process was started as one. TestMain calls it first.
func Main() (member bool) {
	args := strings.Fields(os.Getenv(memberOf))
	if len(args) == 0 {
		return false
	}
	replicas, _ := strconv.Atoi(args[1]) // as start wrote it
	if err := live(natsx.Options{URLs: strings.Split(args[0], ","), Replicas: replicas, Logger: slog.New(slog.DiscardHandler)}, args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// live is a member until its standard input is closed.
func live(o natsx.Options, path string) error {
	record, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	tr, err := natsx.Connect(context.Background(), o)
	if err != nil {
		return err
	}
	defer func() { _ = tr.Close(context.Background()) }()
	l, err := tr.Log(context.Background(), config())
	if err != nil {
		return err
	}
	m, err := l.Consume(context.Background(), transport.ConsumeConfig{Group: config().Groups[0], MaxInFlight: 64}, func(d *transport.Delivery) transport.Work {
		return transport.WorkFunc(func() { handle(record, d) })
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the input, whatever the error
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stuck := time.AfterFunc(15*time.Second, func() { _ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) })
	defer stuck.Stop()
	return m.Drain(ctx)
}

// handle works for a random time, and fails sometimes.
func handle(record io.Writer, d *transport.Delivery) {
	note := func(what string) {
		fmt.Fprintln(record, what, time.Now().UnixNano(), d.Sequence, d.Subject, d.FencingToken)
	}
	note("begin")
	<-time.After(rand.N(longest))
	if rand.IntN(20) == 0 {
		note("fail")
		_ = d.Nak(context.Background(), rand.N(300*time.Millisecond)) // a lost one is a death of the member
		return
	}
	note("done")
	_ = d.Ack(context.Background())
}
