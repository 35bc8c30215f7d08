package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// process is one process, told apart from a later one with the same pid by when it began.
type process struct {
	pid   int
	began string // in clock ticks since the machine started
}

// alive tells whether the process is there and is no zombie.
func (p process) alive() bool {
	now, _, state, ok := look(p.pid)
	return ok && now == p && state != "Z"
}

// tree is the process with this pid and all that descend from it, the first one foremost.
func tree(pid int) []process {
	children := map[int][]process{}
	var root []process
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		number, _ := strconv.Atoi(filepath.Base(folder))
		found, parent, _, ok := look(number)
		switch {
		case !ok: // has ended meanwhile
		case number == pid:
			root = append(root, found)
		default:
			children[parent] = append(children[parent], found)
		}
	}
	for at := 0; at < len(root); at++ {
		root = append(root, children[root[at].pid]...)
	}
	return root
}

func look(pid int) (found process, parent int, state string, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, 0, "", false
	}
	// The name in parentheses may have spaces and parentheses of its own.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return process{}, 0, "", false
	}
	parent, _ = strconv.Atoi(fields[1])
	return process{pid, fields[19]}, parent, fields[0], true
}

// memory is what the processes use together, in bytes: their proportional shares (PSS), so that what
// they share counts once.
func memory(processes []process) (float64, error) {
	total := 0.0
	for _, p := range processes {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if err != nil {
			if !p.alive() || errors.Is(err, syscall.ESRCH) { // it has ended, and perhaps nobody has reaped it
				continue
			}
			return 0, fmt.Errorf("read the memory of a server: %w", err)
		}
		share, err := parsePSS(rollup)
		if err != nil {
			return 0, err
		}
		total += share
	}
	return total, nil
}

func parsePSS(rollup []byte) (float64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(rollup)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "Pss:" && fields[2] == "kB" {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss in %q", rollup)
}
