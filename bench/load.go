package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// shape is what a load consists of.
type shape struct {
	connections int
	closing     bool   // a connection for each request
	old         bool   // HTTP/1.0, for a server that closes without saying so
	method      string // empty: GET
	body        int    // bytes of the request's body
}

// wrkReport is the line of JSON that load.lua prints.
type wrkReport struct {
	Duration int `json:"duration_us"`
	Requests int `json:"requests"`
	P50      int `json:"p50_us"`
	P99      int `json:"p99_us"`
	Connect  int `json:"connect"`
	Read     int `json:"read"`
	Write    int `json:"write"`
	Status   int `json:"status"`
	Timeout  int `json:"timeout"`
}

// wrk loads a server, for whole seconds, and says what came of it.
func wrk(ctx context.Context, address string, load shape, seconds int) (figures, error) {
	command := []string{
		"wrk", "-t1", fmt.Sprintf("-c%d", load.connections), fmt.Sprintf("-d%d", seconds), "--timeout=5s",
		"-s", "bench/load.lua",
	}
	if load.closing {
		command = append(command, "-H", "Connection: close")
	}
	method, version := "GET", "1.1"
	if load.method != "" {
		method = load.method
	}
	if load.old {
		version = "1.0" // or wrk counts each end of a connection as an error
	}
	command = append(command, "http://"+address+"/", "--", method, strconv.Itoa(load.body), version)
	output, err := run(ctx, time.Duration(seconds)*time.Second+30*time.Second, command...)
	if err != nil {
		return nil, err
	}
	return parseWrk(output)
}

func parseWrk(output []byte) (figures, error) {
	at := bytes.LastIndex(output, []byte("\n{"))
	if at < 0 {
		return nil, fmt.Errorf("wrk printed no report but %q", output)
	}
	var report wrkReport
	if err := json.Unmarshal(output[at:], &report); err != nil {
		return nil, fmt.Errorf("wrk printed a broken report: %v", err)
	}
	if report.Requests == 0 || report.Duration == 0 {
		return nil, fmt.Errorf("no request was answered: %s", bytes.TrimSpace(output[at:]))
	}
	return figures{
		rate:     float64(report.Requests-report.Status) / (float64(report.Duration) / 1e6),
		p50:      float64(report.P50) / 1000,
		p99:      float64(report.P99) / 1000,
		failures: float64(report.Connect + report.Read + report.Write + report.Status + report.Timeout),
	}, nil
}

// served tells whether each of so many kept connections got an answer within two seconds. wrk does not
// know: what is never answered is in none of its figures.
func served(ctx context.Context, address string, connections int) (bool, error) {
	output, err := run(ctx, 30*time.Second, "h2load", "--h1", "-t1", fmt.Sprintf("-c%d", connections),
		"-D2", "http://"+address+"/")
	if err != nil {
		return false, err
	}
	return parseH2load(output)
}

// The slowest connection comes first in h2load's line about requests a second of each of them.
var h2loadSlowest = regexp.MustCompile(`(?m)^req/s\s*:\s*([0-9.]+)`)

func parseH2load(output []byte) (bool, error) {
	match := h2loadSlowest.FindSubmatch(output)
	if match == nil {
		return false, fmt.Errorf("h2load printed no rates but %q", output)
	}
	slowest, err := strconv.ParseFloat(string(match[1]), 64)
	return slowest > 0, err
}

// run runs a command to its end, and returns what it printed.
func run(ctx context.Context, limit time.Duration, command ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %v: %s", command[0], err, bytes.TrimSpace(output))
	}
	return output, nil
}
