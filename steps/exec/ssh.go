package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/internal/remote"
)

// onSSH is a program that runs on another machine.
type onSSH struct{ *program }

func (p onSSH) conn(ctx context.Context, env *steps.Env) (*remote.Conn, error) {
	conn, err := env.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := conn.(*remote.Conn)
	if !ok {
		return nil, fmt.Errorf("target %s is not reached over ssh", env.Target.Name)
	}
	return c, nil
}

// failure left no effect; what a moment may mend is transient.
func failure(err error) engine.Outcome {
	return engine.Outcome{Err: err.Error(), Transient: errors.Is(err, remote.ErrUnreachable)}
}

// where is the folder in which a command left its traces, as it is noted BEFORE it is started.
func (onSSH) where(env *steps.Env) (remote.Trace, bool) {
	r, ok := env.Call.Note.(engine.Record)
	if !ok {
		return remote.Trace{}, false
	}
	folder, _ := r["folder"].(string)
	return remote.Trace{Folder: folder, Token: env.Call.Token}, folder != ""
}

// Execute runs the program to its end. A connection that breaks meanwhile is made again.
func (p onSSH) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := p.conn(ctx, env)
	if err != nil {
		return failure(err)
	}
	if env.Call.Class == engine.ClassRead {
		return p.probe(ctx, env, c)
	}
	if err := p.awaitEarlier(ctx, env, c); err != nil {
		return failure(err)
	}
	said := p.listen(env)
	ended, err := c.Run(ctx, remote.Command{
		Argv: p.argv(), Dir: string(p.Dir), Env: p.handedOver(), Stdin: p.Stdin.Reveal(), Stdout: said.stdout, Stderr: said.stderr,
		KillAfter: *p.KillAfter, Token: env.Call.Token,
		Noted:   func(t remote.Trace) error { return env.Note(engine.Record{"folder": t.Folder, "machine": c.Address()}) },
		Waiting: p.sayLost(env),
	})
	return p.concluded(ctx, env, ended, said, err)
}

func (p *program) sayLost(env *steps.Env) func(string) {
	before := ""
	return func(what string) {
		if what != before {
			fmt.Fprintf(env.Output(), "handrail: %s\n", what)
		}
		before = what
	}
}

// probe runs a program of which the author says that it only reads: it leaves no trace.
func (p onSSH) probe(ctx context.Context, env *steps.Env, c *remote.Conn) engine.Outcome {
	said := p.listen(env)
	ended, err := remote.Jobs{Conn: c}.Run(ctx, host.Job{
		Argv: p.argv(), Dir: string(p.Dir), Env: p.handedOver(), Stdin: strings.NewReader(p.Stdin.Reveal()),
		Stdout: said.stdout, Stderr: said.stderr, KillAfter: *p.KillAfter, Token: env.Call.Token,
	})
	return p.concluded(ctx, env, ended, said, err)
}

// awaitEarlier waits for what an attempt before has started, when the author says that the program may
// be run again. Nothing is started beside it.
func (p onSSH) awaitEarlier(ctx context.Context, env *steps.Env, c *remote.Conn) error {
	t, ok := p.where(env)
	if !env.Again || !ok {
		return nil
	}
	said := p.listen(env)
	defer said.flush()
	past, err := c.Settle(ctx, t, tailBytes, said.stdout, said.stderr, p.sayLost(env))
	switch {
	case len(past.Alive) > 0:
		return fmt.Errorf("still alive of an earlier attempt, and nothing is started beside it: %s", strings.Join(past.Alive, ", "))
	case err != nil:
		return fmt.Errorf("ask what became of an earlier attempt: %w", err)
	}
	return nil
}

// Settle finds the program of an attempt by its traces, waits for it if it lives, and goes by its exit
// code. All that it wrote is there, so its result is whole.
func (p onSSH) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	t, ok := p.where(env)
	if !ok {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{p.name() + " was never started: it is started only AFTER the folder of its traces is recorded"}}
	}
	c, err := p.conn(ctx, env)
	if err != nil {
		return notAsked(err)
	}
	said := p.listen(env)
	past, err := c.Settle(ctx, t, keptBytes, said.stdout, said.stderr, p.sayLost(env))
	said.flush()
	switch {
	case len(past.Alive) > 0:
		return engine.Settlement{Evidence: []string{"still alive: " + strings.Join(past.Alive, ", ")}}
	case err != nil:
		return notAsked(err)
	}
	s := engine.Settlement{Dead: past.Dead, Evidence: []string{p.name() + " on " + c.Address() + ": " + past.Evidence}}
	switch {
	case past.NeverStarted:
		s.Verdict = engine.VerdictNotDone
	case !past.Ended:
		s.Evidence = append(s.Evidence, lastLines(said)...)
	case slices.Contains(p.Codes, int64(past.Code)):
		s.Verdict = engine.VerdictDone
		s.Result = said.result(past.Code)
		s.Result["truncated"] = past.Size[0] > keptBytes || past.Size[1] > keptBytes
	default:
		s.Err = fmt.Sprintf("%s exited with code %d", p.name(), past.Code)
		s.Evidence = append(s.Evidence, lastLines(said)...)
	}
	return s
}

// Preview logs in and asks nothing: whatever could be asked for would start something there.
func (p onSSH) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	impact := p.wouldRun("on " + env.Target.Name + ", ")
	c, err := p.conn(ctx, env)
	if err != nil {
		impact.Standing, impact.Why = engine.StandingUnknown, strings.TrimPrefix(impact.Why+"; "+err.Error(), "; ")
		impact.Warnings = append(impact.Warnings, "as things are, the run would fail here")
		return impact, nil
	}
	impact.Facts = append(impact.Facts,
		engine.Fact{Name: "machine", Value: c.Address() + ", which lets us in"},
		engine.Fact{Name: "program", Value: "not looked for: a dry-run starts nothing on another machine"})
	p.addShown(&impact, env)
	return impact, nil
}
