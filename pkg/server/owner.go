package server

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portOwner returns the process that listens on a TCP port of this machine, or 0 if
// several do, on different addresses, or if the kernel does not tell: it shows
// other users' processes to root alone.
func portOwner(port uint16) (pid int) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listeningInodes(table, port) {
			owner := socketOwner(inode)
			if pid != 0 && owner != pid {
				return 0
			}
			pid = owner
		}
	}
	return pid
}

// listeningInodes finds the sockets that listen on a port in one of the kernel's
// tables, whose columns are in proc_net_tcp(5).
func listeningInodes(table string, port uint16) (inodes []string) {
	const local, state, inode, listening = 1, 3, 9, "0A"
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) > inode && columns[state] == listening && strings.HasSuffix(columns[local], suffix) {
			inodes = append(inodes, columns[inode])
		}
	}
	return inodes
}

// socketOwner finds a process that has the socket of that inode open.
func socketOwner(inode string) (pid int) {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // an error is of the pattern
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			pid, _ = strconv.Atoi(strings.Split(fd, "/")[2])
			return pid
		}
	}
	return 0
}
