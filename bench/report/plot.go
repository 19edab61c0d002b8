package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// bar is a line of the plot.
type bar struct {
	label string
	ns    float64
	ours  bool
}

// Sizes of the plot, in pixels.
const (
	width, labels = 860, 190
	lineHeight    = 22
	top           = 34
)

// plot draws time by path, on a logarithmic scale.
func (r *report) plot() string {
	var b strings.Builder
	groups := []struct {
		title string
		bars  []bar
	}{
		{"a request and its reply, 256 B", r.bars("Service/256B/", servicePaths)},
		{"an event, 256 B", r.bars("Event/256B/", eventPaths)},
		{"an order through four modules", r.bars("OrderFlow/", []path{{"function", ""}, {"local", ""}, {"inproc", ""}, {"raw-in-process", ""}, {"nats-in-process", ""}})},
	}
	height := 0
	for _, g := range groups {
		height += top + len(g.bars)*lineHeight
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height+10)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height+10)
	y := 0
	for _, g := range groups {
		fmt.Fprintf(&b, `<text x="8" y="%d" font-weight="bold">%s (logarithmic)</text>`+"\n", y+22, html.EscapeString(g.title))
		y += top
		for _, bar := range g.bars {
			bar.draw(&b, y)
			y += lineHeight
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r *report) bars(prefix string, paths []path) (bars []bar) {
	for _, p := range paths {
		if ns, ok := r.found.get(prefix+p.name, nanoseconds); ok {
			ours := p.name == "local" || p.name == "inproc" || strings.HasPrefix(p.name, "nats-")
			bars = append(bars, bar{p.name, ns, ours})
		}
	}
	return bars
}

// draw writes one bar: from 1 ns at the left to 1 ms at the right.
func (bar bar) draw(b *strings.Builder, y int) {
	const decades = 6
	length := max(math.Log10(max(bar.ns, 1))/decades*(width-labels-110), 1)
	color := "#9aa5b1"
	if bar.ours {
		color = "#2b6cb0"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labels-8, y+14, html.EscapeString(bar.label))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, labels, y+2, length, lineHeight-6, color)
	fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", labels+length+6, y+14, duration(bar.ns))
}
