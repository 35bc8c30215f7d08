package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// errCannot is what a server is not made for, as measured: no failure of the benchmark.
var errCannot = errors.New("cannot")

// bench is one run of the benchmark.
type bench struct {
	rounds    int
	seconds   int
	workloads []*workload
	only      []string // the peers that take part; empty: all of the workload
	guarded   bool     // only the peers that the check is about
	firstPort int
	folder    string // for what has to be on disk; removed in the end
	out       io.Writer

	port     int
	commands []commandLine
	broken   int // runs that failed
}

// commandLine is how a peer was started.
type commandLine struct{ peer, line string }

// takesPart lists the peers of a workload, thralld always among them: the ratios are its.
func (b *bench) takesPart(w *workload) []*peer {
	names := w.peers
	if b.guarded {
		names = w.guard
	}
	var chosen []*peer
	for _, p := range peers {
		asked := len(b.only) == 0 || slices.Contains(b.only, p.name) || p.name == "thralld"
		if slices.Contains(names, p.name) && asked {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// estimate is how long the run will take, about.
func (b *bench) estimate() time.Duration {
	total := time.Duration(0)
	for _, w := range b.workloads {
		one := w.costs + time.Duration(w.lasts(b.seconds))*time.Second
		runs := w.rounds(b.rounds) * len(b.takesPart(w))
		total += time.Duration(runs) * one
		if slices.Contains(w.metrics, starved) {
			total += time.Duration(len(b.takesPart(w))) * 2300 * time.Millisecond
		}
	}
	return total.Round(time.Second)
}

// measure runs all workloads, one after the other.
func (b *bench) measure(ctx context.Context) ([]*result, error) {
	var results []*result
	for _, w := range b.workloads {
		r, err := b.measureOne(ctx, w)
		if err != nil {
			return results, err
		}
		results = append(results, r)
		printTable(b.out, table(r))
	}
	return results, nil
}

// measureOne has the peers take turns at one workload.
func (b *bench) measureOne(ctx context.Context, w *workload) (*result, error) {
	r := &result{workload: w}
	for _, p := range b.takesPart(w) {
		r.outcomes = append(r.outcomes, &outcome{peer: p})
	}
	rounds := w.rounds(b.rounds)
	for round := range rounds {
		for _, o := range r.outcomes {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			j := &job{bench: b, workload: w, peer: o.peer, seconds: w.lasts(b.seconds), last: round == rounds-1}
			seen, err := w.run(ctx, j)
			switch {
			case errors.Is(err, errCannot):
				o.note = err.Error()
			case err != nil && ctx.Err() == nil:
				fmt.Fprintf(b.out, "  %s %s failed: %v\n", w.name, o.peer.name, err)
				o.note = "failed: " + brief(err)
				b.broken++
			}
			o.rounds = append(o.rounds, seen)
			fmt.Fprintf(b.out, "  %s %d/%d  %-10s  %s\n", w.name, round+1, rounds, o.peer.name, o.line(w))
		}
	}
	return r, ctx.Err()
}

// line is what the last round came to.
func (o *outcome) line(w *workload) string {
	text := ""
	for _, m := range w.metrics {
		if value, ok := o.rounds[len(o.rounds)-1][m]; ok {
			text += fmt.Sprintf("%s %s  ", columns[m].title, m.text(value))
		}
	}
	if text == "" {
		return o.note
	}
	return text
}

// noteCommand keeps, and prints when it is new, how a peer is started: once for each way.
func (b *bench) noteCommand(p *peer, at place) {
	at.port, at.app, at.folder = 5000, "app.psgi", "/tmp/bench" // these differ each time, and the app with the workload
	if at.control != "" {
		at.control = "control"
	}
	if p.name == "go" {
		return // it is no command that one would type
	}
	line := commandLine{p.name, shown(p.command(at))}
	if slices.Contains(b.commands, line) {
		return
	}
	b.commands = append(b.commands, line)
	fmt.Fprintf(b.out, "  $ %s\n", line.line)
}

// brief is the beginning of an error, whose whole text has been printed.
func brief(err error) string {
	const most = 120
	text := []rune(oneLine(err.Error()))
	if len(text) <= most {
		return string(text)
	}
	return string(text[:most]) + "…"
}
