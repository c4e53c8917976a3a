// Package exec is the step kind `exec`: it runs a program, or, if the author asks for it, a shell.
//
// It guarantees that no text of a value reaches a shell: arguments go as they are, and a shell's text
// is literal and gets values as environment variables. A program sees of the engine's environment only a
// few harmless variables and those that are named. It is never started in a dry-run. AFTER a crash it is
// not run again unasked: what was started is looked for and waited for, and where its end was not seen
// the step is in doubt.
//
// The program outlives the engine; it is ended only by the step's timeout or when a person cancels.
package exec

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/internal/remote"
)

// Kind is the step kind.
type Kind struct {
	yard       host.Yard
	containers Containers
}

// New makes the kind. What it runs in containers it runs by the kind that it is given.
func New(containers Containers) *Kind { return &Kind{containers: containers} }

const (
	sshTarget = "ssh"

	defaultKillAfter = 5 * time.Second
	// keptBytes is how much of the end of stdout, and of stderr, is kept as a result.
	keptBytes = 64 << 10
	// tailBytes is how much of the end of both is kept for the journal.
	tailBytes = 4 << 10
)

// passed are the variables of the engine's environment that every program gets. Whatever else is there,
// secrets above all, stays.
func passed() []string { return []string{"PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR"} }

type params struct {
	Argv       []string                `param:"argv" doc:"The program and its arguments. They go to it as they are; no shell reads them."`
	Shell      string                  `param:"shell" literal:"yes" doc:"In place of argv: a text for /bin/sh -e. It may not hold templates; values come in through env, as in \"$NAME\"."`
	Stdin      engine.Secret           `param:"stdin" doc:"What the program reads. Without it there is nothing to read."`
	Dir        steps.Path              `param:"dir" doc:"The folder in which it runs; without it, that of the playbook, the user's home over ssh, or the container's own."`
	Env        map[string]engine.Value `param:"env" doc:"Environment variables. Secrets may stand here."`
	Codes      []int64                 `param:"codes" default:"[0]" doc:"The exit codes that mean success."`
	InheritEnv []string                `param:"inherit_env" doc:"Names of variables of Handrail's own environment that are passed on, beside PATH, HOME, LANG, TZ, USER and TMPDIR, which only a program on this machine gets."`
	KillAfter  *time.Duration          `param:"kill_after" default:"5s" doc:"When the timeout is over the program is asked to end (SIGTERM), and ended this long after (SIGKILL)."`
	Container  string                  `param:"container" doc:"The container, by name or id, in which it runs, if the step is on a Docker engine."`
	User       string                  `param:"user" doc:"The user in the container, as name, uid or uid:gid; without it, the container's own."`
}

// Define declares the kind.
func (k *Kind) Define() engine.Kind {
	text := engine.Of(engine.TypeText)
	return engine.Kind{
		Name: "exec",
		Doc: "Runs a program: on this machine, or `on` another that is reached over ssh, or in a container of a Docker engine. " +
			"The step's token goes along as HANDRAIL_TOKEN. Over ssh it outlives the connection, which is made again; what it writes is " +
			"kept in a folder there until the run is over, so let it write much into a file of its own.",
		Targets: k.targets(), OnlyNamed: true,
		Operations: []engine.Operation{{
			Name: "exec", Class: engine.ClassUnrepeatable, Risk: engine.RiskChanges,
			Doc: "Runs a program to its end. What it writes is in the step's log. It fails if the exit code is not among `codes`. " +
				"If it may safely be run twice, say `effect: idempotent`; give `done_if` so that a crash can be answered without a person.",
			Params: steps.Params[params](),
			Result: engine.RecordOf(
				engine.Field{Name: "code", Doc: "The exit code; 128 and the number of the signal, if one ended it.", Shape: engine.Of(engine.TypeInteger), Required: true},
				engine.Field{Name: "stdout", Doc: "The end of what it wrote to stdout, at most 64 KiB, without the line ends at its end.", Shape: text},
				engine.Field{Name: "stderr", Doc: "The same of stderr.", Shape: text},
				engine.Field{Name: "truncated", Doc: "It wrote more than stdout or stderr hold.", Shape: engine.Of(engine.TypeBool)},
			),
			Example: "{id: backup, exec: {argv: [br, backup, full], env: {PD: \"${{ inputs.pd }}\"}}, timeout: 30m}",
			Judge:   judge,
		}},
	}
}

// targets are the types on which programs run.
func (k *Kind) targets() []engine.TargetType {
	return append([]engine.TargetType{remote.Target()}, k.containers.Define().Targets...)
}

// Connect opens a target.
func (k *Kind) Connect(ctx context.Context, target steps.Target, access steps.Access) (io.Closer, error) {
	if target.Type != sshTarget {
		return k.containers.Connect(ctx, target, access)
	}
	var s remote.Settings
	if err := steps.Bind(target.Settings, &s); err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	c, err := remote.Open(ctx, s, access)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	return c, nil
}

// judge finds what is wrong, in what is known.
func judge(p engine.Proposal) engine.Judgement {
	return engine.Judgement{Risk: engine.RiskChanges, Remarks: remarks(p.Params), Problems: problems(p)}
}

func problems(p engine.Proposal) (found []engine.Problem) {
	r := p.Params
	add := func(path, format string, args ...any) {
		found = append(found, engine.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	argv, hasArgv := r["argv"]
	shell, hasShell := r["shell"]
	switch {
	case hasArgv && hasShell:
		add("shell", "give argv or shell, not both")
	case !hasArgv && !hasShell:
		add("", "say what to run: argv, a list of the program and its arguments, or shell")
	case hasShell && shell == "":
		add("shell", "it is empty")
	}
	judgeArgv(argv, add)
	judgeEnv(r, add)
	judgePlace(p, add)
	if codes, ok := r["codes"].(engine.List); ok {
		if len(codes) == 0 {
			add("codes", "without any code no end would be a success")
		}
		for i, c := range codes {
			if n, ok := c.(int64); ok && (n < 0 || n > 255) {
				add(fmt.Sprintf("codes[%d]", i), "an exit code is between 0 and 255")
			}
		}
	}
	if d, ok := r["kill_after"].(time.Duration); ok && d < 0 {
		add("kill_after", "it cannot be shorter than nothing")
	}
	return found
}

// judgePlace: whether there is a container depends on what the program runs on. That is not known where
// only an environment says it.
func judgePlace(p engine.Proposal, add func(path, format string, args ...any)) {
	name, has := p.Params["container"]
	switch {
	case p.On == "" && has:
		add("container", "say on which Docker engine: `on` names a target of type docker")
	case p.Target == sshTarget && has:
		add("container", "the target %s is a machine that is reached over ssh; a container needs one of type docker", p.On)
	case p.Target != "" && p.Target != sshTarget && (!has || name == ""):
		add("", "say in which `container` of %s the program runs", p.On)
	}
	if _, user := p.Params["user"]; user && (p.On == "" || p.Target == sshTarget) {
		add("user", "only in a container it is said here who runs the program; over ssh the target says it, and here it is you")
	}
}

func judgeArgv(v engine.Value, add func(path, format string, args ...any)) {
	argv, ok := v.(engine.List)
	if !ok {
		return
	}
	if len(argv) == 0 {
		add("argv", "it names no program")
	}
	for i, a := range argv {
		switch x := a.(type) {
		case engine.Secret:
			add(fmt.Sprintf("argv[%d]", i), "every user of the machine can see the arguments of a program: hand a secret over with env or stdin")
		case string:
			if i == 0 && x == "" {
				add("argv[0]", "it names no program")
			}
			if strings.ContainsRune(x, 0) {
				add(fmt.Sprintf("argv[%d]", i), "an argument cannot hold a NUL byte")
			}
		}
	}
}

func judgeEnv(r engine.Record, add func(path, format string, args ...any)) {
	env, _ := r["env"].(engine.Record)
	for _, name := range engine.Keys(env) {
		path := "env." + name
		switch {
		case name == host.TokenVariable:
			add(path, "%s is set by Handrail", name)
		case name == "" || strings.ContainsAny(name, "=\x00"):
			add(path, "%q cannot be the name of a variable", name)
		}
		switch v := env[name].(type) {
		case nil, engine.List, engine.Record:
			add(path, "a variable holds a text, not %s", engine.TypeName(v))
		default:
			if text, ok := engine.Reveal(v); ok && strings.ContainsRune(text, 0) {
				add(path, "a variable cannot hold a NUL byte")
			}
		}
	}
	inherit, _ := r["inherit_env"].(engine.List)
	for i, name := range inherit {
		if s, ok := name.(string); ok && (s == "" || strings.ContainsAny(s, "=\x00")) {
			add(fmt.Sprintf("inherit_env[%d]", i), "%q cannot be the name of a variable", s)
		}
	}
}

// Decode makes the operation.
func (k *Kind) Decode(operation string, r engine.Record) (steps.Operation, error) {
	if operation != "exec" {
		return nil, fmt.Errorf("exec has no operation %q", operation)
	}
	// Where it runs is not told here; Judge has looked at that.
	if found := problems(engine.Proposal{Params: r, On: "?"}); len(found) > 0 {
		return nil, found[0]
	}
	p := params{Codes: []int64{0}}
	if err := steps.Bind(r, &p); err != nil {
		return nil, err
	}
	if p.KillAfter == nil {
		d := defaultKillAfter
		p.KillAfter = &d
	}
	return &program{params: p, raw: r, kind: k}, nil
}
