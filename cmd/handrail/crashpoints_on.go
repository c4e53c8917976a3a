//go:build crashpoints

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/local"
)

// withCrashPoints is for the tests that kill the engine: around every write, sync and effect, and
// around what is done about locks and by prune, there is a numbered point, and the process kills itself with SIGKILL at the one that HANDRAIL_CRASH_POINT
// names. Each point that was passed is a line in the file that HANDRAIL_CRASH_LOG names.
func withCrashPoints(p *points, j local.Journal, x local.Executor) (local.Journal, local.Executor) {
	return crashingJournal{j, p}, crashingExecutor{x, p}
}

// points are those of one process: what the driver does, and what is done about locks and by prune.
type points struct {
	once   sync.Once
	mu     sync.Mutex
	passed int
	deadly int
	log    *os.File
}

func (p *points) begin() {
	p.deadly, _ = strconv.Atoi(os.Getenv("HANDRAIL_CRASH_POINT"))
	name := os.Getenv("HANDRAIL_CRASH_LOG")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	p.log = f
}

func (p *points) at(format string, args ...any) {
	p.once.Do(p.begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed++
	if p.log != nil {
		fmt.Fprintf(p.log, "%d "+format+"\n", append([]any{p.passed}, args...)...)
	}
	if p.passed != p.deadly {
		return
	}
	switch os.Getenv("HANDRAIL_CRASH_BY") {
	case "memory":
		exhaust()
	case "kernel":
		fill()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal arrives
}

// exhaust asks for memory until there is none: from now on the process gets no more than it has. The runtime ends it then, in its own
// way, as it does where a limit is reached from outside.
func exhaust() {
	none := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &none); err != nil {
		panic(err)
	}
	var kept [][]byte
	for {
		kept = append(kept, make([]byte, 16<<20))
	}
}

// fill takes memory until the control group that the process is in has no more, and the kernel ends it.
func fill() {
	var kept [][]byte
	for {
		b := make([]byte, 16<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1 // it is only then that it is taken
		}
		kept = append(kept, b)
	}
}

type crashingJournal struct {
	local.Journal
	p *points
}

func (j crashingJournal) Append(events []engine.Stamped, sync bool) error {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = strings.TrimSpace(engine.EventName(e.Event) + " " + engine.EventStep(e.Event))
	}
	what := strings.Join(names, ", ")
	j.p.at("before writing [%s]", what)
	if err := j.Journal.Append(events, false); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	j.p.at("before syncing [%s]", what)
	err := j.Journal.Append(nil, true)
	j.p.at("after syncing [%s]", what)
	return err
}

type crashingExecutor struct {
	local.Executor
	p *points
}

func (x crashingExecutor) Execute(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome {
	x.p.at("before %s of %s", c.Class, c.Step)
	o := x.Executor.Execute(ctx, c, a)
	x.p.at("after %s of %s", c.Class, c.Step)
	return o
}

func (x crashingExecutor) Settle(ctx context.Context, c engine.Settle, a engine.Attendant) engine.Settlement {
	x.p.at("before settling %s", c.Step)
	s := x.Executor.Settle(ctx, c, a)
	x.p.at("after settling %s", c.Step)
	return s
}

func (x crashingExecutor) Prepare(ctx context.Context, c engine.Prepare) (engine.Preparation, error) {
	p, err := x.Executor.Prepare(ctx, c)
	x.p.at("after preparing %s", c.Step)
	return p, err
}
