// Package control is how somebody talks to a daemon that runs: thralld reload,
// status, stop and trace, over a unix socket.
//
// # Story
//
// The daemon calls [Listen] and [Serve], and implements [Daemon]. A client calls
// [Dial] and then one method of [Client]: one connection is one request. The
// request is a line of JSON, and so is each line of the answer: how far the work
// has come, any number of times, and at last the outcome.
//
//	→ {"do":"reload"}
//	← {"progress":{"generation":2,"phase":"loading","replaced":0,"workers":10}}
//	← {"progress":{"generation":2,"phase":"rolling","replaced":3,"workers":10}}
//	← {"done":true}
//
//	→ {"do":"trace","pid":4711}
//	← {"done":true,"error":"process 4711 is no worker"}
//
// A stop is answered by the end of the connection: when the daemon has ended, the
// kernel closes it.
//
// # Invariants
//
//   - Only root and the user that the daemon runs as are heard. The socket's mode
//     says so from its first moment, and the kernel is asked who connects.
//   - A client cannot hold up the daemon: its request is short and comes soon, or
//     it is dropped; what it does not read it does not get; and there is a bound
//     on how many there are.
//   - A reload belongs to the daemon: it goes on when its client has left.
package control
