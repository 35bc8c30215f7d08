// Package watch tells when files have really changed.
//
// # Story
//
// [File] watches one file, thrall.toml, for a reload in production: it reports
// only when the bytes are others than before, however they came there. [Tree]
// watches files and folders with all that is in them, for a reload while somebody
// edits: it reports within a blink of a save. Both gather what happens until it
// has been quiet for a while, and then report once.
//
// The kernel watches folders for us (inotify, by fsnotify). A path is followed
// link by link, and the folder of every name on the way is watched: so it is seen
// when an editor renames a new file over the old one, when a link is turned to
// another release, when Kubernetes swaps the ..data of a ConfigMap, and when a
// folder is moved away and another one takes its place.
//
// # Words
//
//   - way: the names that a path leads over, those of links and of their targets
//     included, each as the path that has no link in its folder
//   - survey: to walk the ways and put the watches where they lead now
//   - dropping: a file that an editor leaves for itself, beside what it edits
//
// # Invariants
//
//   - A watch is there before what it watches is looked at: a change is either in
//     what was found or an event.
//   - One goroutine has all state. Whoever is slow to read [Watcher.Changes] gets
//     one change that sums up what has happened meanwhile.
//
// # Traps
//
// A folder that is moved keeps its watch, under a name that is not its own any
// more. So whatever happens to the name of a watched folder, its watch and those
// below it are dropped, and put again where a survey finds them.
package watch
