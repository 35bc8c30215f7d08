// Package psgi is the contract between thralld's two halves: the Go process,
// which speaks HTTP and supervises, and the Perl workers, which run the app.
// Both ends of the contract live here: the Go types below, and the Perl
// runtime under perl/, which is embedded in the binary and handed to the Perl
// interpreter at start.
//
// # The seam
//
// [App] is all that a front end sees of the processes behind it: one call, one
// response, and closing the response's body ends the call. What keeps workers
// alive implements it; what speaks HTTP calls it; neither knows the other.
//
// # The wire
//
// A worker and the Go process talk over a socket pair of type SOCK_SEQPACKET:
// one message is one frame, and the kernel keeps the borders. Each frame starts
// with eight bytes: its type, its flags, two zero bytes, and the number of the
// request it belongs to. Integers are in network order. A list of strings is a
// run of (length, bytes), which is Perl's pack template (N/a*)*, and one built-in
// call turns a response into a frame. The environment of a request brings a template
// of its own (see [Env]), with which one call makes it %env: for thirty strings Perl
// executes 14,000 instructions less than with (N/a*)*, an eighth of hello world.
//
// The same frames run between the Go process and the template, the Perl process
// that forks the workers of a generation; there the number names a slot.
//
// # Invariants
//
//   - A frame is never larger than [MaxFrame], so that it fits a socket's
//     default buffer whole and a write of it succeeds or fails as one.
//   - testdata/frames holds golden frames. The Go tests and the Perl tests read
//     the same files, so the two ends cannot drift apart unseen.
//   - What comes from a worker is not trusted: every parser here returns an
//     error instead of panicking, whatever it is given.
package psgi
