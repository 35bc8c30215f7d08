// Package stack reads what Perl code another process is running, without that
// process taking part.
//
// # Why from outside
//
// A worker that is slow waits in a sleep, a select or a driver's XS code, or it
// computes. A signal would interrupt the first, and a handler in Perl would not
// run before the last has come back. So the worker is left alone: [Layout.Read]
// reads perl's own structs in the worker's memory, through /proc/PID/mem, while
// the worker runs on. It needs no more rights than a debugger of the same user.
//
// # Where things are
//
// Perl's structs differ between versions and builds, and their addresses between
// processes. A [Layout] holds both as numbers. They are not compiled in: the
// template finds them, in a fork of its own, by looking for what it knows to be
// there (Thralld::Stack, in pkg/psgi), and its workers are forks of it, with
// everything at the same address. The names of the numbers are those of perl's
// headers.
//
// # What is read
//
// PL_curcop is the statement being run: file and line. PL_curstackinfo is the
// innermost of a chain of stacks, as sort, tie and DESTROY run their code on one
// of their own. Each has contexts, of which subs and evals are frames: the
// statement that made the call, and the sub's CV, which leads to its name.
//
// # Traps
//
//   - The worker does not stop. What was changed under our eyes is read again, a
//     few times; the last time counts, and a frame may then be one that was.
//   - Memory can hold anything. Every read is bounded, and one that leads nowhere
//     costs that name or that frame, not more.
//   - Only the interpreter that the process was started with is seen, not ithreads.
package stack
