// Package journal keeps what happens in a run on disk, so that no crash loses or repeats an effect.
//
// A run is one folder below the state folder:
//
//	<state>/runs/<run-id>/journal.jsonl     the events, append only
//	                      playbook.yaml     pinned copies of what the run was started with
//	                      environment.yaml
//	                      inputs.json
//	                      origin.json       where these came from
//	                      owner.json        who has the journal open; a hint, the flock decides
//	                      inbox/            requests of other processes
//	                      logs/ scratch/    the output of steps; files that outlive a process
//
// The journal is a file of JSON lines. One line is one write:
//
//	{"n":1,"format":2,"records":[{"at":…,"event":"run_started",…}],"h":"…"}
//	{"n":2,"synced":1,"records":[…],"h":"…"}
//
// synced is how many lines were on the medium when this one was written.
// h is the SHA-256, in hexadecimal, over the h of the line before and the line's own bytes in front of
// `,"h":`. So jq reads it, and docs/verify-journal.sh checks it with sha256sum alone.
//
// The package guarantees that
//   - an event given to [Journal.Append] with sync is on the medium when Append returns nil;
//   - pinned copies are on the medium BEFORE the first event is;
//   - a journal has one owner at a time, and the kernel ends the ownership with the process;
//   - after a failed write or sync the journal takes nothing more, and a sync is never tried again:
//     the kernel marks pages clean when writing them back failed, so a second sync would lie;
//   - a torn end, which only a write that was never acknowledged can leave, is kept aside and cut off;
//     every other damage is refused with its place.
//
// It never decides anything about a run, never evaluates, never skips a line it cannot read, and never
// writes a secret: events and inputs hold secrets by name only.
package journal
