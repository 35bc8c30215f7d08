package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	list       bool
	rounds     int
	seconds    int
	peers      string
	port       int
	markdown   string
	svg        string
	record     string
	check      string
	counts     bool
	serveHello string
	names      []string
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench/run", flag.ContinueOnError)
	flags.BoolVar(&o.list, "list", false, "list the workloads and the peers, and measure nothing")
	flags.IntVar(&o.rounds, "rounds", 3, "how many `rounds` each workload gets")
	flags.IntVar(&o.seconds, "seconds", 2, "how many `seconds` a load lasts at most")
	flags.StringVar(&o.peers, "peers", "", "the peers that take part, after commas; thralld always does")
	flags.IntVar(&o.port, "port", 5700, "the first of 100 `ports` that the servers take in turn")
	flags.StringVar(&o.markdown, "markdown", "", "write all tables to this `file`")
	flags.StringVar(&o.svg, "svg", "", "draw a chart into this `file`")
	flags.StringVar(&o.record, "record", "", "measure what the check is about, and record it in this `file`")
	flags.StringVar(&o.check, "check", "", "measure it, and compare it with what this `file` has recorded")
	flags.BoolVar(&o.counts, "counts", false, "with --record and --check: only what is counted, no workload")
	flags.StringVar(&o.serveHello, "serve-hello", "", "be the server without Perl, at this `address`")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "bench/run [OPTION...] [WORKLOAD...]: all workloads when none is named\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	o.names = flags.Args()
	guarding := o.record != "" || o.check != ""
	switch {
	case o.rounds < 1 || o.seconds < 1:
		return o, fmt.Errorf("--rounds and --seconds want a number from 1")
	case o.record != "" && o.check != "":
		return o, fmt.Errorf("--record and --check exclude each other")
	case o.counts && (!guarding || len(o.names) > 0):
		return o, fmt.Errorf("--counts goes with --record or --check, and without workloads")
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench/run: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = do(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench/run: %v\n", err)
		os.Exit(1)
	}
}

// do is all that the command does.
func do(ctx context.Context, o options) error {
	switch {
	case o.serveHello != "":
		return serveHello(o.serveHello)
	case o.list:
		list()
		return nil
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.folder)
	var recorded *record
	if o.check != "" {
		if recorded, err = readRecord(o.check); err != nil {
			return err
		}
	}
	began := time.Now()
	m := thisMachine(ctx)
	fmt.Printf("%s\nThis takes about %s.\n", m, b.estimate())

	results, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if targets := verdicts(results); len(targets.rows) > 1 {
		printTable(b.out, targets)
	}
	if o.svg != "" {
		if err := writeChart(o.svg, results); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		if err := writeMarkdown(o.markdown, b, m, results, o.svg); err != nil {
			return err
		}
	}
	if o.record != "" || o.check != "" {
		counts, err := b.count(ctx)
		if err != nil {
			return err
		}
		now := newRecord(m, results, counts)
		if o.record != "" {
			err = now.write(o.record)
		} else {
			err = compare(b.out, recorded.about(b.workloads), now)
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("It took %s.\n", time.Since(began).Round(time.Second))
	if b.broken > 0 {
		return fmt.Errorf("%d runs failed, see above", b.broken)
	}
	return nil
}

func newBench(o options) (*bench, error) {
	b := &bench{
		rounds: o.rounds, seconds: o.seconds, firstPort: o.port, port: o.port - 1, out: os.Stdout,
		guarded: o.record != "" || o.check != "",
	}
	for _, name := range o.names {
		w := workloadNamed(name)
		if w == nil {
			return nil, fmt.Errorf("there is no workload %q: see bench/run --list", name)
		}
		b.workloads = append(b.workloads, w)
	}
	if len(o.names) == 0 && !o.counts {
		for _, w := range workloads {
			if !b.guarded || w.guard != nil {
				b.workloads = append(b.workloads, w)
			}
		}
	}
	if o.peers != "" {
		b.only = strings.Split(o.peers, ",")
	}
	for _, name := range b.only {
		if peerNamed(name) == nil {
			return nil, fmt.Errorf("there is no peer %q: see bench/run --list", name)
		}
	}
	if err := raiseLimit(); err != nil {
		return nil, err
	}
	var err error
	if b.folder, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	return b, nil
}

func list() {
	fmt.Println("workloads:")
	for _, w := range workloads {
		fmt.Printf("  %-16s %s\n", w.name, w.about)
	}
	fmt.Println("peers:")
	for _, p := range peers {
		fmt.Printf("  %-16s %s\n", p.name, p.about)
	}
}

// serveHello is the hello app on net/http, until a signal ends the process.
func serveHello(address string) error {
	body := []byte("Hello, World!")
	hello := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "13")
		_, _ = w.Write(body) // a client that has left is none of our business
	}
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(hello), IdleTimeout: time.Minute}
	return server.ListenAndServe()
}
