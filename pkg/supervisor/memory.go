package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Memory is what a process uses, in bytes: its proportional set size (PSS), in which
// a page that n processes share counts one n-th, so that the workers' memory adds up
// to what they use together. Where the kernel does not tell it (before Linux 4.14),
// it is what the process has for itself: resident pages without those of files.
func Memory(pid int) (int64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err == nil {
		if kib, ok := field(rollup, "Pss:"); ok {
			return kib << 10, nil
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	kib, ok := field(status, "RssAnon:")
	if !ok {
		return 0, fmt.Errorf("/proc/%d/status does not tell the memory in use", pid)
	}
	return kib << 10, nil
}

// field finds "Name:   123 kB" in one of the kernel's lists.
func field(list []byte, name string) (kib int64, ok bool) {
	for line := range bytes.Lines(list) {
		words := bytes.Fields(line)
		if len(words) < 2 || string(words[0]) != name {
			continue
		}
		n, err := strconv.ParseInt(string(words[1]), 10, 64)
		return n, err == nil
	}
	return 0, false
}
