// Package remote runs commands on another machine over ssh, so that neither they nor their effect get lost
// when the connection or the engine does.
//
// A [Command] is kept by a small shell script on the other machine. That holds a lock and writes down who
// it is, what the command writes and how it ends, in a folder of the attempt. So a connection that breaks
// is made again and the rest of the output taken up where it stood, and AFTER a crash of the engine the
// command is found, waited for, and its exit code and output are known. A host.Job is the other way: it
// streams, and ends with its connection.
//
// The package guarantees that
//   - nothing is sent to a server whose host key is not known, and none is ever taken on trust;
//   - a command is started at most once for its attempt, and never beside a live one of its token: what
//     claims the start is one mkdir, which an attempt that is being settled takes away from one that may
//     still be on its way;
//   - no argument, variable or input passes through the login shell or the command line of any program
//     but the command's own: scripts and values go through the connection's input, and half of a script
//     does nothing;
//   - a read-only connection opens no session, so it starts nothing.
//
// The other machine needs a POSIX shell as /bin/sh. With /proc, setsid and flock, as on any Linux, all that
// a command has started is found; without them, only the command and its keeper.
package remote
