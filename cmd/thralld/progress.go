package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/thralld/thralld/pkg/control"
)

// barWidth is how many columns the bar of a reload has; with the text behind it
// there is room for it in any terminal.
const barWidth = 30

// A progressMeter shows how far a reload has come: a line for each step or, on a
// terminal, one line with a bar that is written over and over.
type progressMeter struct {
	w    io.Writer
	bar  bool
	last string
}

// show shows a step, unless it is shown already. Whoever does not want to see it
// may have closed the stream: that is no reason not to wait for the reload.
func (m *progressMeter) show(p control.Progress) {
	text := fmt.Sprintf("%d of %d workers replaced", p.Replaced, p.Workers)
	if p.Phase == "loading" {
		text = "loading the app"
	}
	if text == m.last {
		return
	}
	m.last = text
	if !m.bar {
		fmt.Fprintln(m.w, text)
		return
	}
	full := 0
	if p.Workers > 0 {
		full = barWidth * min(max(p.Replaced, 0), p.Workers) / p.Workers
	}
	fmt.Fprintf(m.w, "\r[%s%s] %s\x1b[K", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), text)
}

// end leaves the line of the bar, so that what comes next has its own.
func (m *progressMeter) end() {
	if m.bar && m.last != "" {
		fmt.Fprintln(m.w)
	}
}
