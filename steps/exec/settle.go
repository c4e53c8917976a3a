package exec

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Settle waits for what an attempt has started, as long as anything of it is alive, and says what is
// known of its end. The exit code of a program that outlived its engine is known to nobody.
func (p here) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	// Looked at only: made ready for attempts, the traces of an earlier boot would not be told any more.
	traces, err := host.TracesIn(env.Scratch)
	if err != nil {
		return notAsked(err)
	}
	past, err := traces.Look(env.Call.Token, env.Call.Attempt)
	switch {
	case err != nil:
		return notAsked(err)
	case past.NeverStarted:
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{p.name() + " was never started: it has no lock"}}
	case past.Ended:
		return p.seenToEnd(past.Code)
	}
	if past.Rebooted {
		return engine.Settlement{Dead: true, Evidence: []string{
			"the machine was started anew since; nothing of the program can be alive, and how far it came is not known"}}
	}
	return p.outlived(ctx, env, traces, past)
}

func notAsked(err error) engine.Settlement {
	return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
}

// seenToEnd: the engine was killed between the end of the program and its record in the journal.
func (p here) seenToEnd(code int) engine.Settlement {
	s := engine.Settlement{Dead: true, Evidence: []string{
		fmt.Sprintf("%s ended with code %d; what it wrote is in the step's log, as far as it got there", p.name(), code)}}
	if !slices.Contains(p.Codes, int64(code)) {
		s.Err = fmt.Sprintf("%s exited with code %d", p.name(), code)
		return s
	}
	// stdout and stderr are left out: they were lost, and empty ones would be taken for the truth.
	s.Verdict, s.Result = engine.VerdictDone, engine.Record{"code": int64(code)}
	return s
}

func (p here) outlived(ctx context.Context, env *steps.Env, traces host.Traces, past host.Past) engine.Settlement {
	said := p.listen(env)
	waited := false
	say := p.sayWaiting(env)
	alive, err := traces.Await(ctx, env.Call.Token, past, said.stdout, said.stderr, func(who string) {
		waited = true
		say(who)
	})
	said.flush()
	switch {
	case len(alive) > 0:
		return engine.Settlement{Evidence: []string{fmt.Sprintf("still alive: %s", list(alive))}}
	case err != nil:
		return notAsked(err)
	}
	who := p.name()
	if past.Process != nil {
		who += fmt.Sprintf(" (%s)", past.Process)
	}
	s := engine.Settlement{Dead: true}
	if waited {
		s.Evidence = append(s.Evidence, who+" went on without the engine and has ended; its exit code is not known")
	} else {
		s.Evidence = append(s.Evidence, who+" is not alive any more, nor is anything that it started; how it ended is not known")
	}
	s.Evidence = append(s.Evidence, lastLines(said)...)
	return s
}

// lastLines are the last things that a program has written, as evidence.
func lastLines(said *said) []string {
	tail := said.both.String()
	if tail == "" {
		return nil
	}
	lines := strings.Split(tail, "\n")
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	for i, line := range lines {
		lines[i] = "it wrote: " + line
	}
	return lines
}
