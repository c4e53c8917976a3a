// Command handrail runs disaster-recovery and maintenance playbooks.
//
// Rules of output: the answer of a command goes to stdout, everything else to stderr. A mistake in a file
// is reported as file:line:column. Exit codes are in exit.go. No secret reaches either stream: one
// masker stands before both.
//
// The command wires the packages together and decides nothing that they could: what is due next is the
// engine's, what is recorded the journal's, what an operation does its kind's.
package main

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // the zones of playbooks, on machines that have none
)

// version is set by the linker.
var version = "dev"

// softMemory is where the garbage collector begins to work harder. It is no bound: a run that needs more
// gets more. It keeps a run of ten thousand steps small on a host that is in trouble as it is.
const softMemory = 46 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	signals := make(chan os.Signal, 8)
	// SIGHUP is caught so that a run goes on when its terminal is gone, and SIGPIPE so that it goes on
	// when nobody reads what it says. Neither is ignored, because a child would inherit that.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	os.Exit(run(context.Background(), os.Args[1:], surroundings{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv,
		signals: signals, now: time.Now, random: rand.Reader, leave: os.Exit,
	}))
}

// surroundings are what a command acts through.
type surroundings struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	signals        <-chan os.Signal
	now            func() time.Time
	random         io.Reader
	leave          func(code int) // ends the process where it stands; nil: never
}

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, s surroundings) int {
	a := newApp(s)
	ctx, stop := a.listen(ctx)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.report(root.ExecuteContext(ctx))
}
