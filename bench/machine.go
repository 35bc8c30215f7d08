package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// packages are those whose version says what was measured.
var packages = []string{
	"perl", "starlet", "starman", "uwsgi-plugin-psgi", "feersum", "twiggy", "libdancer2-perl", "libmojolicious-perl",
	"nginx-light",
}

// machine says on what the figures were taken: text, as nothing is computed from it.
type machine struct {
	Date     string `json:"date"`
	Cores    int    `json:"cores"`
	Model    string `json:"processor"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Thralld  string `json:"thralld"`
	Packages string `json:"packages"`
}

// thisMachine leaves empty what it cannot find out.
func thisMachine(ctx context.Context) machine {
	m := machine{
		Date:  time.Now().UTC().Format(time.DateOnly),
		Cores: runtime.NumCPU(),
		Go:    runtime.Version(),
		Model: model(),
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(kernel))
	}
	if output, err := exec.CommandContext(ctx, thralld(), "--version").Output(); err == nil {
		m.Thralld = strings.TrimSpace(string(output))
	}
	ask := append([]string{"-W", "-f", "${Package} ${Version}, "}, packages...)
	if output, err := exec.CommandContext(ctx, "dpkg-query", ask...).Output(); err == nil {
		m.Packages = strings.TrimSuffix(string(output), ", ")
	}
	return m
}

func model() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores (%s), Linux %s, %s, %s; %s",
		m.Date, m.Cores, m.Model, m.Kernel, m.Go, m.Thralld, m.Packages)
}
