package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of workers: the template forks them
// twice, so each is an orphan at birth. Being their parent, the supervisor learns
// from the kernel how they end, whatever becomes of the template, and a pid stays
// theirs until it has been reaped: no signal can reach a stranger.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	return nil
}

// reap returns how the process ended, if it has.
func reap(pid int) (status unix.WaitStatus, ended bool) {
	for {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		return status, err == nil && got == pid
	}
}

// killChild kills a process, if it is a child of this one that still runs.
func killChild(pid int) {
	if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && got == 0 {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// isChild reports whether a process is a child of this one, which may have ended.
func isChild(pid int) bool {
	return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil
}

// parentOf returns the parent of a process, or 0 if that cannot be told.
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	words := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // behind the name, which may hold anything
	if err != nil || len(words) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(string(words[1]))
	return parent
}

// reapStrangers reaps the children that became ours by adoption and are no
// workers: what an app left running when its worker ended. known tells which
// children somebody else waits for.
func reapStrangers(known func(pid int) bool) {
	for {
		pid := firstZombie()
		if pid == 0 || known(pid) {
			return
		}
		reap(pid)
	}
}

// firstZombie is a child that has ended and not been reaped, or 0.
func firstZombie() int {
	// The kernel's siginfo_t for SIGCHLD on 64-bit Linux, up to the pid.
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return 0
	}
	const pidOffset = 16 // si_signo, si_errno, si_code, padding
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), pidOffset)))
}

// describe says how a process ended, in words.
func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		text := fmt.Sprintf("killed by signal %d (%s)", status.Signal(), unix.SignalName(status.Signal()))
		if status.CoreDump() {
			text += ", core dumped"
		}
		return text
	}
	return fmt.Sprintf("exited with status %d", status.ExitStatus())
}
