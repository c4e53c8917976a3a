package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Execute runs the program to its end.
func (p here) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	cmd, err := p.command(env)
	if err != nil {
		return engine.Failure(err)
	}
	// A program that only reads, such as a probe, leaves nothing behind that a crash could put in doubt.
	if env.Call.Class != engine.ClassRead {
		if err := ctx.Err(); err != nil {
			return engine.Failure(fmt.Errorf("cancelled before it was started: %w", err))
		}
		if cmd.Lease, err = p.claim(ctx, env); err != nil {
			return engine.Failure(err)
		}
		cmd.Noted = func(process host.Process) error {
			return env.Note(engine.Record{"pid": int64(process.PID), "start": int64(process.Start), "boot": process.Boot})
		}
	}
	said := p.listen(env)
	cmd.Stdout, cmd.Stderr = said.stdout, said.stderr
	ended, err := host.Run(ctx, cmd)
	var lost *host.LostError
	if err != nil && !errors.As(err, &lost) && ctx.Err() == nil {
		err = p.whyNot(env, err)
	}
	return p.concluded(ctx, env, ended, said, err)
}

// concluded is what came of running the program.
func (p *program) concluded(ctx context.Context, env *steps.Env, ended host.Ended, said *said, err error) engine.Outcome {
	said.flush()
	var lost *host.LostError
	switch {
	case errors.As(err, &lost):
		return engine.Outcome{Err: p.name() + ": " + err.Error(), Effect: engine.EffectUnknown, InDoubt: true,
			Tail: said.both.String(), Evidence: []string{"it was started, and " + err.Error()}}
	case err != nil:
		return failure(err)
	}
	return p.outcome(ctx, env, ended, said)
}

// command is what to run, but for its lock and its output.
func (p here) command(env *steps.Env) (host.Command, error) {
	dir, err := p.dirName(env)
	if err != nil {
		return host.Command{}, err
	}
	vars, path := p.environment(env.Call.Token)
	file, err := host.FileOf(p.argv()[0], path, dir)
	if err != nil {
		return host.Command{}, p.whyNot(env, err)
	}
	return host.Command{
		Path: file, Argv: p.argv(), Dir: dir, Env: vars, Stdin: p.Stdin.Reveal(), KillAfter: *p.KillAfter,
	}, nil
}

// whyNot says why the program could not be started: the system says of a folder or a file that is not
// there only that something is not.
func (p here) whyNot(env *steps.Env, err error) error {
	dir, dirErr := p.dir(env)
	if dirErr != nil {
		return fmt.Errorf("%w; `dir` says where the program runs", dirErr)
	}
	_, path := p.environment("")
	if _, lookErr := host.LookPath(p.argv()[0], path, dir); lookErr != nil {
		return lookErr
	}
	return err
}

// claim takes the lock of this attempt. When the author says that the program may be run again, one of
// an attempt before that is still alive is waited for; nothing is started beside it.
func (p here) claim(ctx context.Context, env *steps.Env) (*host.Lease, error) {
	folder, err := p.kind.yard.Folder(env.Scratch)
	if err != nil {
		return nil, err
	}
	if env.Again {
		if err := p.awaitEarlier(ctx, env, folder.Traces); err != nil {
			return nil, err
		}
	}
	lease, err := folder.Claim(env.Call.Token, env.Call.Attempt)
	if errors.Is(err, host.ErrHeld) {
		return nil, fmt.Errorf("%w; nothing is started beside it: wait for it, or end it", err)
	}
	return lease, err
}

func (p here) awaitEarlier(ctx context.Context, env *steps.Env, traces host.Traces) error {
	past, err := traces.Look(env.Call.Token, env.Call.Attempt)
	if err != nil || past.Rebooted {
		return err
	}
	said := p.listen(env)
	defer said.flush()
	alive, err := traces.Await(ctx, env.Call.Token, past, said.stdout, said.stderr, p.sayWaiting(env))
	if len(alive) > 0 {
		return fmt.Errorf("%s of an earlier attempt is still alive, and nothing is started beside it: %w", list(alive), err)
	}
	return err
}

func (p *program) sayWaiting(env *steps.Env) func(string) {
	return func(who string) {
		fmt.Fprintf(env.Output(), "handrail: waiting for what an earlier attempt has started: %s\n", who)
	}
}

func list(alive []host.Alive) string {
	all := make([]string, len(alive))
	for i, a := range alive {
		all[i] = a.String()
	}
	return strings.Join(all, ", ")
}

// outcome says in words how the program ended.
func (p *program) outcome(ctx context.Context, env *steps.Env, e host.Ended, said *said) engine.Outcome {
	o := engine.Outcome{Tail: said.both.String(), Result: said.result(e.Code)}
	if e.Left {
		fmt.Fprintf(env.Output(), "handrail: something that %s left behind still holds its output open; it is not read any more\n", p.name())
	}
	switch {
	case e.Cut != nil:
		o.Err = p.cutShort(ctx, env, e)
	case e.Signal != 0:
		o.Err = fmt.Sprintf("%s was ended by signal %d (%s)", p.name(), int(e.Signal), e.Signal)
	case !slices.Contains(p.Codes, int64(e.Code)):
		o.Err = fmt.Sprintf("%s exited with code %d", p.name(), e.Code)
	default:
		return o
	}
	if line := lastLine(o); line != "" {
		o.Err += ": " + line
	}
	o.Effect = engine.EffectUnknown
	if e.Held {
		o.InDoubt = true
		o.Evidence = append(o.Evidence, "something that it started is still alive and holds its lock")
	}
	return o
}

func (p *program) cutShort(ctx context.Context, env *steps.Env, e host.Ended) string {
	how := "it ended by itself when asked to"
	if e.Signal != 0 {
		how = fmt.Sprintf("it was ended by signal %d (%s)", int(e.Signal), e.Signal)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && env.Call.Timeout > 0:
		return fmt.Sprintf("%s did not end within its timeout of %s; %s", p.name(), env.Call.Timeout, how)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("%s did not end in time; %s", p.name(), how)
	case ctx.Err() != nil:
		return fmt.Sprintf("%s was cancelled; %s", p.name(), how)
	}
	return fmt.Sprintf("%s was stopped (%v); %s", p.name(), e.Cut, how)
}

// lastLine is the last thing that the program said, which is most often why it failed.
func lastLine(o engine.Outcome) string {
	for _, name := range []string{"stderr", "stdout"} {
		text, _ := o.Result[name].(string)
		text = strings.TrimSpace(text)
		line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
		if r := []rune(line); len(r) > 300 {
			line = string(r[:300]) + "…"
		}
		if line != "" {
			return line
		}
	}
	return ""
}

// said is what a program writes: to the step's log as it comes, and the end of it for the result. The
// secrets of the parameters are masked before either.
type said struct {
	stdout, stderr *mask.Writer
	out, err, both *host.Tail
}

func (p *program) listen(env *steps.Env) *said {
	secrets := p.secrets()
	s := &said{out: host.NewTail(keptBytes), err: host.NewTail(keptBytes), both: host.NewTail(tailBytes)}
	log := each{env.Output(), s.both}
	s.stdout = secrets.Writer(append(each{s.out}, log...))
	s.stderr = secrets.Writer(append(each{s.err}, log...))
	return s
}

// result is what a program brings back that has ended.
func (s *said) result(code int) engine.Record {
	return engine.Record{"code": int64(code), "stdout": s.out.String(), "stderr": s.err.String(),
		"truncated": s.out.Cut() || s.err.Cut()}
}

func (s *said) flush() {
	// The writers behind them do not fail.
	_ = s.stdout.Flush()
	_ = s.stderr.Flush()
}

// each writes to all of them. What one of them says does not keep the others from it, and does not
// reach the program: a full disk must not end what it does.
type each []io.Writer

func (e each) Write(p []byte) (int, error) {
	for _, w := range e {
		_, _ = w.Write(p)
	}
	return len(p), nil
}
