// Package redis is the step kind that acts on a Redis server.
//
// It reads (do, info, count), sends single commands (do), runs several commands as one (transaction,
// script), makes the server write its files (snapshot, rewrite_aof), and removes keys in bulk (sweep).
//
// What it guarantees:
//   - A transaction or script is executed exactly once. It is ONE Lua script that first writes a
//     marker into the data's own hash tag, then acts, then completes the marker. The marker is asked
//     after a lost answer or a crash, and an attempt that could still arrive is fenced off first.
//   - Redis rolls nothing back. An error in the middle leaves the marker at `begun`, and the step is in
//     doubt with the number of commands that were applied; nothing is guessed.
//   - A marker that is absent proves nothing where the server may have evicted or outlived it. Then the
//     step is in doubt, too.
//   - A single command that must not be repeated is sent at most once. Its connection's id is noted
//     BEFORE, so that after a crash the server itself can say whether it could still arrive.
//   - sweep checks and removes each key inside one script, so a key that was given a time to live
//     meanwhile survives.
//   - Under steps.ReadOnly the connection refuses whatever is not known to read, below the operations.
//
// What it never does: it never splices a value into Lua, never sends KEYS in a dry-run, never writes to a
// replica, and never takes "could not ask" for an answer.
package redis
