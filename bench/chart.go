package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// charted are the workloads in the chart, if they were measured.
var charted = []string{"hello-32", "hello-32-close", "dancer2", "mojolicious", "post-4k", "mixed"}

// colours of the peers: told apart also by those who see few colours, and on a dark page.
var colours = map[string]color.Color{
	"thralld": color.RGBA{R: 0xd5, G: 0x5e, A: 0xff},
	"starlet": color.RGBA{G: 0x72, B: 0xb2, A: 0xff},
	"starman": color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	"uwsgi":   color.RGBA{G: 0x9e, B: 0x73, A: 0xff},
	"feersum": color.RGBA{R: 0xe6, G: 0x9f, A: 0xff},
}

// writeChart draws, for each workload, how many requests a second each server answers, thralld being 1.
func writeChart(path string, results []*result) error {
	var shown []*result
	var names []string
	for _, name := range charted {
		for _, r := range results {
			if r.workload.name == name && !math.IsNaN(r.median("thralld", rate)) {
				shown = append(shown, r)
				names = append(names, name)
			}
		}
	}
	if len(shown) == 0 {
		return fmt.Errorf("draw the chart: none of %v was measured", charted)
	}
	chart := plot.New()
	chart.BackgroundColor = color.White
	chart.Title.Text = "requests a second, thralld being 1"
	chart.Title.Padding = vg.Points(6)
	chart.Y.Min = 0
	chart.Legend.Top = true
	chart.Legend.ThumbnailWidth = vg.Points(12)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	chart.Add(grid)
	chart.NominalX(names...)

	width := vg.Points(11)
	const legend = 0.9 // the room for it at the right, in groups
	var drawn []*peer
	for _, p := range peers {
		if colours[p.name] != nil {
			drawn = append(drawn, p)
		}
	}
	for at, p := range drawn {
		values := make(plotter.Values, len(shown))
		for group, r := range shown {
			values[group] = 1
			if p.name != "thralld" {
				values[group] = 1 / r.ratio(p.name, rate)
			}
			if math.IsNaN(values[group]) || math.IsInf(values[group], 0) {
				values[group] = 0
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return fmt.Errorf("draw the chart: %w", err)
		}
		bars.Color = colours[p.name]
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(at)-float64(len(drawn)-1)/2)
		chart.Add(bars)
		chart.Legend.Add(p.name, bars)
	}
	chart.X.Min, chart.X.Max = -0.5, float64(len(shown))-0.5+legend
	if err := chart.Save(vg.Length(len(shown)+1)*80, 280, path); err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	return nil
}
