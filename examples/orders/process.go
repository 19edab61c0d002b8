package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	contract "gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// workers is how many customers order at the same time.
const workers = 8

// maxLine bounds a line of the input, in bytes.
const maxLine = 1 << 20

// process places every order of the input as one batch, waits until everything that
// follows from them has happened, and prints the table. An order that is placed in
// two runs is two orders.
func process(ctx context.Context, app *mono.App, input io.Reader, stdout, stderr io.Writer) error {
	began := time.Now()
	batch := began.UTC().Format("20060102-150405.000000000")
	t := newTally()
	lines := make(chan line)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for l := range lines {
				t.add(l, place(ctx, app, batch, l, stderr))
			}
		})
	}
	err := read(ctx, input, lines, progressTo(stderr))
	close(lines)
	wait.Wait()
	if err != nil {
		return err
	}
	heard, err := settle(ctx, app, batch, t)
	if err != nil {
		return err
	}
	return t.print(stdout, heard, time.Since(began))
}

// line is one line of the input.
type line struct {
	number int
	text   []byte
}

// read sends the lines that are not empty, and shows how far it is.
func read(ctx context.Context, input io.Reader, lines chan<- line, progress func(int)) error {
	scanner := bufio.NewScanner(input)
	scanner.Buffer(nil, maxLine)
	n := 0
	for scanner.Scan() {
		n++
		progress(n)
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		select {
		case lines <- line{n, bytes.Clone(text)}:
		case <-ctx.Done():
			return fmt.Errorf("interrupted at line %d", n)
		}
	}
	progress(0)
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("reading the orders after line %d: %w", n, err)
	}
	return nil
}

// place places the order of one line.
func place(ctx context.Context, app *mono.App, batch string, l line, stderr io.Writer) error {
	var o contract.Order
	if err := json.Unmarshal(l.text, &o); err != nil {
		fmt.Fprintf(stderr, "\rline %d is no order: %v\n", l.number, err)
		return errMalformed
	}
	o.Batch = batch
	_, err := contract.Place.Call(ctx, app, o)
	return err
}

// progressTo returns what shows the number of a line on a terminal, and nothing
// elsewhere. 0 wipes it out.
func progressTo(w io.Writer) func(int) {
	f, ok := w.(*os.File)
	if !ok {
		return func(int) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int) {}
	}
	return func(n int) {
		if n == 0 {
			fmt.Fprint(f, "\r\x1b[K")
		} else if n%10 == 0 {
			fmt.Fprintf(f, "\rorder %d", n)
		}
	}
}
