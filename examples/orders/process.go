package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"time"

	contract "gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// workers is the number of customers who order at the same time.
const workers = 8

// maxLine bounds a line of the input, in bytes.
const maxLine = 1 << 20

// process places every order of the input as one batch, waits until all effects of the orders
// have happened, and prints the table. An order that is placed in two runs is two orders.
func process(ctx context.Context, app *mono.App, input io.Reader, stdout, stderr io.Writer) error {
	began := time.Now()
	batch := began.UTC().Format("20060102-150405.000000000")
	t := newTally()
	lines, end := make(chan line), make(chan error, 1)
	go func() { // left behind if it is interrupted while it waits for input
		defer close(lines)
		end <- read(ctx, input, lines, progressTo(stderr), func(n int, err error) {
			fmt.Fprintf(stderr, "\rline %d is not an order: %v\n", n, err)
			t.add(err)
		})
	}()
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for l := range until(ctx, lines) {
				l.order.Batch = batch
				_, err := contract.Place.Call(ctx, app, l.order)
				t.add(err)
			}
		})
	}
	wait.Wait()
	select {
	case err := <-end:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return errors.New("interrupted before all orders were read")
	}
	found, err := settle(ctx, app, batch, t)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted before all effects of the orders were seen")
	}
	if err != nil {
		return err
	}
	return t.print(stdout, found, time.Since(began))
}

// until receives lines until there are no more, or ctx ends.
func until(ctx context.Context, lines <-chan line) iter.Seq[line] {
	return func(yield func(line) bool) {
		for {
			select {
			case l, ok := <-lines:
				if !ok || !yield(l) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// line is one line of the input.
type line struct {
	number int
	order  contract.Order
}

// read sends the lines that are orders, reports the others, and shows the progress. Empty lines
// are ignored.
func read(ctx context.Context, input io.Reader, lines chan<- line, progress func(int), report func(int, error)) error {
	in := bufio.NewReader(input)
	seen := make(map[string]int) // the line of each id
	for n := 1; ; n++ {
		text, end := readLine(in)
		if end != nil && end != io.EOF {
			return fmt.Errorf("reading the orders at line %d: %w", n, end)
		}
		progress(n)
		if text = bytes.TrimSpace(text); len(text) > 0 {
			o, err := parseOrder(text, n, seen)
			if err != nil {
				report(n, err)
			} else if err := send(ctx, lines, line{n, o}); err != nil {
				return err
			}
		}
		if end != nil {
			progress(0)
			return nil
		}
	}
}

// readLine returns the next line. Of a line that is too long it returns one byte too many.
func readLine(in *bufio.Reader) (text []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		text = append(text, part[:min(len(part), maxLine+1-len(text))]...)
		if err != bufio.ErrBufferFull {
			return text, err
		}
	}
}

func parseOrder(text []byte, n int, seen map[string]int) (o contract.Order, err error) {
	if len(text) > maxLine {
		return o, fmt.Errorf("%w: it is longer than %d bytes", errMalformed, maxLine)
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if first := seen[o.ID]; first > 0 {
		return o, fmt.Errorf("%w: line %d has the same id", errRepeated, first)
	}
	if o.ID != "" {
		seen[o.ID] = n
	}
	return o, nil
}

func send(ctx context.Context, lines chan<- line, l line) error {
	select {
	case lines <- l:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interrupted at line %d", l.number)
	}
}

// progressTo returns a function that shows the number of a line on a terminal, and does nothing
// elsewhere. 0 clears it.
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
