// Package supervisor keeps enough healthy workers alive, hands requests to them,
// and ends them well. It implements psgi.App.
//
// # The processes
//
// Prepare makes a generation: slots, which are socket pairs and log pipes, and a
// template, a Perl process that inherits the workers' ends of all slots. Told to
// spawn a worker for a slot, the template forks twice, so that the worker is an
// orphan and is adopted by this process, which thus is its parent: the kernel
// tells how it ended, whatever becomes of the template, and its pid is not used
// again before it has been reaped here.
//
// # Generations
//
// A generation begins as a candidate, with one worker that takes no requests. Commit
// makes it the target, and the roll replaces the workers of all others, until it is
// the stable one. Of each worker decide knows its generation, its state and a few
// times; it says what to do next, and nothing else decides. A generation without
// workers that is neither target, stable nor candidate is dismissed.
//
// # The owners
//
//   - The goroutine of Supervisor.run owns workers, template and timers. All
//     others send it functions (post). After each event it looks at the whole
//     (reconcile); what to do is decided by pure functions: decide, next, backoff.
//   - The dispatcher's mutex guards queues and what is known of each slot's
//     requests. It is held for decisions, never while waiting for somebody.
//   - Each slot has one goroutine that reads what its workers send, and one that
//     reads what they print.
//
// # Traps
//
//   - A worker's exit may be known before its last frames have been read. So a
//     worker is buried in two steps: the kernel reports it (bury), and then its
//     slot's reader, which is woken, takes in what is left (drained).
//   - The worker's end of a slot is shared with the worker, also its file status
//     flags: it must stay blocking, and is only read with MSG_DONTWAIT.
//   - A worker with threads has no first request: what is known of its requests
//     is kept for each call, and only what may still be unread for the slot.
//   - PR_SET_CHILD_SUBREAPER is a property of the process: two supervisors in one
//     process share it.
package supervisor
