package exec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Containers is the kind that runs commands in containers. A program of exec in a container is a command
// of that kind: what a crash does to it, and how it is found again, is told in one place.
type Containers interface {
	steps.Kind
	steps.Connector
}

// inContainer is a program that runs in a container.
type inContainer struct{ *program }

// command is the program as a command of the kind docker.
func (p inContainer) command() (steps.Operation, error) {
	if p.Container == "" {
		return nil, errors.New("say in which `container` of the Docker engine the program runs")
	}
	argv := make(engine.List, len(p.argv()))
	for i, a := range p.argv() {
		argv[i] = a
	}
	codes := make(engine.List, len(p.Codes))
	for i, c := range p.Codes {
		codes[i] = c
	}
	env := engine.Record{}
	for name, v := range p.Env {
		env[name] = v
	}
	for _, v := range p.inherited() {
		name, value, _ := strings.Cut(v, "=")
		if _, given := env[name]; !given {
			env[name] = value
		}
	}
	spec := engine.Record{"container": p.Container, "argv": argv, "codes": codes, "env": env, "kill_after": *p.KillAfter}
	if p.User != "" {
		spec["user"] = p.User
	}
	if p.Dir != "" {
		spec["dir"] = string(p.Dir)
	}
	if p.Stdin.Reveal() != "" {
		spec["stdin"] = p.Stdin
	}
	return p.kind.containers.Decode("exec", engine.Record{"exec": spec})
}

// Execute runs the program to its end.
func (p inContainer) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	op, err := p.command()
	if err != nil {
		return engine.Failure(err)
	}
	if env.Call.Class == engine.ClassRead {
		return p.probe(ctx, env)
	}
	o := op.Execute(ctx, env)
	o.Result = p.asOurs(o.Result)
	secrets := p.secrets()
	o.Err, o.Tail = secrets.Text(o.Err), secrets.Text(o.Tail)
	return o
}

// asOurs is a result of the kind docker as one of ours.
func (p inContainer) asOurs(r engine.Record) engine.Record {
	if r == nil {
		return nil
	}
	secrets := p.secrets()
	out := engine.Record{}
	for name, v := range r {
		if text, ok := v.(string); ok {
			v = strings.TrimRight(secrets.Text(text), "\r\n")
		}
		out[name] = v
	}
	return out
}

// probe runs a program of which the author says that it only reads: it leaves no trace.
func (p inContainer) probe(ctx context.Context, env *steps.Env) engine.Outcome {
	conn, err := env.Conn(ctx)
	if err != nil {
		return engine.Failure(err)
	}
	e, ok := conn.(container.Engine)
	if !ok {
		return engine.Failure(fmt.Errorf("target %s is not a Docker engine", env.Target.Name))
	}
	said := p.listen(env)
	job := host.Job{Argv: p.argv(), Dir: string(p.Dir), Env: p.handedOver(),
		Stdout: said.stdout, Stderr: said.stderr, KillAfter: *p.KillAfter, Token: env.Call.Token}
	if text := p.Stdin.Reveal(); text != "" {
		job.Stdin = strings.NewReader(text)
	}
	ended, err := container.Runner{Engine: e, Container: p.Container, User: p.User}.Run(ctx, job)
	return p.concluded(ctx, env, ended, said, err)
}

// Settle finds the program by the id of its exec.
func (p inContainer) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	op, err := p.command()
	if err != nil {
		return notAsked(err)
	}
	settler, ok := op.(steps.Settler)
	if !ok {
		return notAsked(errors.New("a command in a container leaves no trace"))
	}
	s := settler.Settle(ctx, env)
	s.Result = p.asOurs(s.Result)
	return s
}

// Preview looks at the container.
func (p inContainer) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	impact := p.wouldRun("in " + p.Container + ", ")
	op, err := p.command()
	if err != nil {
		unlikely(&impact, err)
		return impact, nil
	}
	there, err := op.Preview(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	impact.Facts, impact.Standing = append(impact.Facts, there.Facts...), there.Standing
	impact.Warnings = append(impact.Warnings, there.Warnings...)
	if there.Why != "" {
		impact.Why = strings.TrimPrefix(impact.Why+"; "+there.Why, "; ")
	}
	p.addShown(&impact, env)
	return impact, nil
}
