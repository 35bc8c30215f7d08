package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// writeMarkdown writes all that was measured as a document; chart is the path of the chart, empty: none.
func writeMarkdown(path string, b *bench, m machine, results []*result, chart string) error {
	var out bytes.Buffer
	fmt.Fprintln(&out, "# thralld beside other PSGI servers")
	fmt.Fprintln(&out)
	fmt.Fprintln(&out, "Written by `make bench`. The servers took turns on one machine; a figure is the median of the rounds,")
	fmt.Fprintln(&out, "with the least and the greatest. \"thralld/it\" is the median of the ratios of each round.")
	fmt.Fprintln(&out, "Compare figures of one run only, never of two.")
	fmt.Fprintf(&out, "\n%s.\n%d rounds, %d s at most for each load. wrk and the servers shared the cores.\n", m, b.rounds, b.seconds)
	if chart != "" {
		if relative, err := filepath.Rel(filepath.Dir(path), chart); err == nil {
			chart = relative
		}
		fmt.Fprintf(&out, "\n![requests a second, thralld being 1](%s)\n", chart)
	}
	targets := verdicts(results)
	if len(targets.rows) > 1 {
		markdownTable(&out, targets)
	}
	for _, r := range results {
		markdownTable(&out, table(r))
	}
	fmt.Fprint(&out, "\n### The servers\n\n")
	for _, p := range peers {
		fmt.Fprintf(&out, "- %s: %s\n", p.name, p.about)
	}
	fmt.Fprint(&out, "\n### How they were started\n\n```\n")
	for _, command := range b.commands {
		fmt.Fprintln(&out, command.line)
	}
	fmt.Fprintln(&out, "```")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
