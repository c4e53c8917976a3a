// Package host runs commands on this machine so that neither they nor their effect get lost when the
// engine dies.
//
// A command runs in a process group of its own. It inherits a locked file, which says that it is alive
// even AFTER the engine was killed, and the reading ends of its own output, so that it is not killed by
// a broken pipe: it writes on, or waits until [Traces.Await] takes its output up again. Its identity
// is written into the locked file right after it started.
//
// The package guarantees that a command for which a lock is wanted is started only with the lock held,
// that two commands never hold the same lock, and that what it says of an earlier attempt ("never
// started", "ended with code 3") is proved. It never ends a process that it did not start, and never binds
// the life of a command to a thread of the engine.
//
// A [Job] is the other way: a command whose input and output are streams of the engine's, on any machine
// for which there is a [Runner]. It does not outlive the engine.
//
// It needs Linux: /proc, flock, memfd, pidfd.
package host
