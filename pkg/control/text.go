package control

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// WriteText writes a status for people, as it is at the time now: a few lines on
// the daemon, and a table of its workers with what each is doing.
func (s Status) WriteText(w io.Writer, now time.Time) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "thralld %s, process %d, up %s, %s\n", s.Version, s.PID, age(now.Sub(s.Started)), s.health())
	if s.Problem != "" {
		fmt.Fprintf(&b, "problem%s\n", indented("      ", s.Problem))
	}
	fmt.Fprintf(&b, "app          %s\n", s.App)
	fmt.Fprintf(&b, "listens on   %s\n", strings.Join(s.Listeners, ", "))
	for _, c := range s.Certificates {
		fmt.Fprintf(&b, "certificate  %s\n", c.text(now))
	}
	for _, g := range s.Generations {
		fmt.Fprintf(&b, "generation   %s\n", g.text(now))
	}
	if s.LastReload != nil {
		fmt.Fprintf(&b, "last reload  %s\n", s.LastReload.text(now))
	}
	fmt.Fprintf(&b, "connections  %d of at most %d%s\n", s.Connections, s.MaxConnections, s.slow())
	fmt.Fprintf(&b, "requests     %d waiting\n", s.Waiting)
	if s.AccessLogLost > 0 {
		fmt.Fprintf(&b, "access log   %d lines lost, as they could not be written\n", s.AccessLogLost)
	}
	fmt.Fprintf(&b, "workers      %d of %d ready\n", s.ready(), s.Workers)
	if s.AtOnce > 0 {
		fmt.Fprintf(&b, "             at most %d computing at a time, as the processors can run no more\n", s.AtOnce)
	}
	if len(s.WorkerList) > 0 {
		b.WriteByte('\n')
		s.writeWorkers(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (s Status) health() string {
	switch {
	case !s.Healthy:
		return "not healthy: no worker is ready"
	case s.Problem != "":
		return "serving, but its workers keep failing"
	}
	return "healthy"
}

// slow tells what clients have cost that nobody wants to see in a healthy daemon.
func (s Status) slow() string {
	text := ""
	if s.Refused > 0 {
		text += fmt.Sprintf(", %d refused", s.Refused)
	}
	if s.SpooledBytes > 0 {
		text += fmt.Sprintf(", %s spooled for slow clients", size(s.SpooledBytes))
	}
	if s.Held > 0 {
		text += fmt.Sprintf("\n             %d responses hold their worker, as max_spool is reached; %d since the start", s.Holding, s.Held)
	}
	return text
}

func (s Status) ready() int {
	n := 0
	for _, k := range s.WorkerList {
		if k.State == "ready" {
			n++
		}
	}
	return n
}

// writeWorkers writes a line for each worker, and one more for each further
// request that it runs.
func (s Status) writeWorkers(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "WORKER\tGENERATION\tPID\tSTATE\tAGE\tREQUESTS\tMEMORY\tDOING")
	for _, k := range s.WorkerList {
		fmt.Fprintf(table, "%d\t%d\t%d\t%s\t%s\t%d\t%s\t", k.Worker, k.Generation, k.PID, k.State, age(seconds(k.AgeSeconds)), k.Requests, size(k.MemoryBytes))
		for i, d := range k.Doing {
			if i > 0 {
				fmt.Fprint(table, "\n\t\t\t\t\t\t\t")
			}
			fmt.Fprintf(table, "%s for %s", printable(d.Line), age(seconds(d.Seconds)))
		}
		if len(k.Doing) == 0 {
			fmt.Fprint(table, "-")
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // a buffer takes it
}

func (c Certificate) text(now time.Time) string {
	text := printable(strings.Join(c.Names, ", "))
	switch {
	case now.After(c.NotAfter):
		text += ", expired " + age(now.Sub(c.NotAfter)) + " ago"
	case now.Before(c.NotBefore):
		text += ", becomes valid in " + age(c.NotBefore.Sub(now))
	default:
		text += ", expires in " + age(c.NotAfter.Sub(now))
	}
	return text + " (" + printable(c.File) + ")"
}

func (g Generation) text(now time.Time) string {
	text := fmt.Sprintf("%d, %s, %s old", g.Number, g.Role, age(now.Sub(g.Started)))
	if g.TemplatePID != 0 {
		text += fmt.Sprintf(", template %d", g.TemplatePID)
	}
	return text
}

// text names the generation unless the reload made none.
func (r Reload) text(now time.Time) string {
	text := r.Outcome
	if r.Generation > 0 {
		text = fmt.Sprintf("generation %d, %s", r.Generation, r.Outcome)
	}
	if r.Ended.IsZero() {
		text += " for " + age(now.Sub(r.Started))
	} else {
		text += " " + age(now.Sub(r.Ended)) + " ago"
	}
	if r.Error != "" {
		text += ":" + indented(" ", r.Error)
	}
	return text
}

// indented is a message, which may be of several lines as Perl's are: one stands
// behind what it belongs to, after the gap, several below.
func indented(gap, message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	if len(lines) == 1 {
		return gap + printable(lines[0])
	}
	text := ""
	for _, line := range lines {
		text += "\n    " + printable(strings.ReplaceAll(line, "\t", "    "))
	}
	return text
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// age shows a time by its two largest units: 3d4h, 3m12s, 1.2s.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d >= 10*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
}

func size(bytes int64) string {
	if bytes <= 0 {
		return "-"
	}
	return fmt.Sprintf("%dMiB", (bytes+1<<19)>>20)
}

// readable is printable for several lines: those of Perl's messages, and what an app
// has printed at last, which may be what a client has sent.
func readable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return safe(r)
	}, text)
}

// printable keeps what a client of the app has sent, as a path, and what the app
// has printed, from speaking to the terminal, and in its line.
func printable(line string) string { return strings.Map(safe, line) }

// safe is the rune, or a sign that stands for one that a terminal may heed.
func safe(r rune) rune {
	if !unicode.IsPrint(r) {
		return unicode.ReplacementChar
	}
	return r
}
