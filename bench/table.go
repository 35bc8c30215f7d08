package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// grid is a table for people; its first row is the heading.
type grid struct {
	title string
	rows  [][]string
	words int // how many columns after the first one are text, too
	notes []string
}

// table shows a workload: of the first metric the median, the least and the greatest value, and how
// thralld compares; of the others the median.
func table(r *result) grid {
	w := r.workload
	heading := []string{"", columns[w.metrics[0]].title, "from", "to", "thralld/it"}
	for _, m := range w.metrics[1:] {
		heading = append(heading, columns[m].title)
	}
	g := grid{title: w.name + ": " + w.about, rows: [][]string{heading}}
	for _, o := range r.outcomes {
		main := w.metrics[0]
		values := o.known(main)
		least, greatest := spread(values)
		row := []string{o.peer.name, main.text(median(values)), main.text(least), main.text(greatest), "-"}
		if quotient := r.ratio(o.peer.name, main); !math.IsNaN(quotient) && o.peer.name != "thralld" {
			row[4] = fmt.Sprintf("%.2f", quotient)
		}
		for _, m := range w.metrics[1:] {
			row = append(row, m.text(median(o.known(m))))
		}
		g.rows = append(g.rows, row)
		if o.note != "" {
			g.notes = append(g.notes, o.peer.name+": "+o.note)
		}
	}
	return g
}

// printTable lines the columns up.
func printTable(out io.Writer, g grid) {
	fmt.Fprintf(out, "\n%s\n\n", g.title)
	widths := make([]int, len(g.rows[0]))
	for _, row := range g.rows {
		for at, cell := range row {
			widths[at] = max(widths[at], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range g.rows {
		line := ""
		for at, cell := range row {
			space := strings.Repeat(" ", widths[at]-utf8.RuneCountInString(cell))
			if at <= g.words {
				line += "  " + cell + space
			} else {
				line += "  " + space + cell
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
	for _, note := range g.notes {
		fmt.Fprintf(out, "  %s\n", note)
	}
	fmt.Fprintln(out)
}

// markdownTable is the same for a document.
func markdownTable(out io.Writer, g grid) {
	fmt.Fprintf(out, "\n### %s\n\n", g.title)
	for at, row := range g.rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
		if at == 0 {
			numbers := len(row) - 1 - g.words
			fmt.Fprintf(out, "| ---%s%s |\n", strings.Repeat(" | ---", g.words), strings.Repeat(" | ---:", numbers))
		}
	}
	for _, note := range g.notes {
		fmt.Fprintf(out, "\n%s\n", oneLine(note))
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
