// Bench measures thralld beside the PSGI servers that Debian packages, on this machine, in one run.
//
// A machine's speed drifts by more than servers differ, so figures of two runs say nothing. Here the
// servers take turns: in each round every peer is started, warmed up, loaded and stopped, one after
// the other. A ratio is taken within each round, between runs that are seconds apart, and the median
// over the rounds is what counts; figures are given as the median with the least and the greatest.
//
// What is measured is one table, [workloads]; how each peer is started, in its best documented
// configuration, is another, [peers]; what thralld wants to reach is the third, [targets]. wrk and
// h2load load the servers where a rate is asked for. Where each request has to be looked at (the
// quick ones among slow ones, a reload, idle connections) a small client of our own does it.
//
// The check (check.go) compares ratios with those recorded in the repository. What no noisy machine
// can decide is counted instead: allocations, system calls and instructions for one request.
package main
