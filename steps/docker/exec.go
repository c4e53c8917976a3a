package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// tokenVariable carries the token of the effect into the command; by it the processes of the command
// are found again inside the container.
const tokenVariable = host.TokenVariable

type execSpec struct {
	Container string                  `param:"container" need:"yes" doc:"The container, by name or id. It must run."`
	Argv      []string                `param:"argv" need:"yes" doc:"The command and its arguments. No shell reads them."`
	Env       map[string]engine.Value `param:"env" doc:"Environment variables, beside those of the container and HANDRAIL_TOKEN."`
	User      string                  `param:"user" doc:"The user, as name, uid or uid:gid. Without it the container's own."`
	Dir       string                  `param:"dir" doc:"The working folder in the container."`
	Stdin     engine.Value            `param:"stdin" doc:"Text that the command reads."`
	Codes     []int64                 `param:"codes" default:"[0]" doc:"The exit codes that mean success."`
	KillAfter *time.Duration          `param:"kill_after" default:"5s" doc:"How long the command has to end by itself after SIGTERM, when the step is cut short."`
}

type execParams struct {
	Exec execSpec `param:"exec" need:"yes" doc:"What to run, and where."`
}

func defineExec() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "exec", Key: "exec", Class: engine.ClassUnrepeatable, Risk: engine.RiskChanges, Prepares: true,
		Doc:    "Runs a command in a running container. AFTER a crash it is found by its recorded id, waited for, and judged by its exit code.",
		Params: steps.Params[execParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "stdout", Shape: text, Doc: "The last 64 KiB that it has printed; null if the run was cut off while it ran."},
			engine.Field{Name: "stderr", Shape: text, Doc: "The last 64 KiB of its errors; null if the run was cut off while it ran."},
			engine.Field{Name: "code", Shape: engine.Of(engine.TypeInteger), Doc: "Its exit code."},
			engine.Field{Name: "truncated", Shape: engine.Of(engine.TypeBool), Doc: "It wrote more than stdout or stderr hold; null if the run was cut off while it ran."}),
		Example: "{id: check, docker: {exec: {container: db-1, argv: [mariadb-check, --all-databases]}}}",
		Judge:   judge(checkExec, engine.RiskChanges),
	}
}

func checkExec(params engine.Record) []engine.Problem {
	spec := part(params, "exec")
	out := checkNames("container", spec["container"])
	if argv, ok := spec["argv"].(engine.List); ok {
		if len(argv) == 0 || argv[0] == "" {
			out = append(out, engine.Problem{Path: "argv", Message: "names no command"})
		}
		for i, a := range argv {
			if s, ok := a.(string); ok && strings.Contains(s, "\x00") {
				out = append(out, engine.Problem{Path: fmt.Sprintf("argv[%d]", i), Message: "an argument cannot hold a zero byte"})
			}
		}
	}
	out = append(out, checkEnv("env", spec["env"])...)
	if env, _ := spec["env"].(engine.Record); env != nil {
		if _, taken := env[tokenVariable]; taken {
			out = append(out, engine.Problem{Path: "env." + tokenVariable, Message: "is set by Handrail"})
		}
	}
	switch spec["stdin"].(type) {
	case engine.List, engine.Record:
		out = append(out, engine.Problem{Path: "stdin", Message: "must be a string, not a " + engine.TypeName(spec["stdin"])})
	}
	if d, known := durationOf(spec["kill_after"]); known && d < 0 {
		out = append(out, engine.Problem{Path: "kill_after", Message: "cannot be negative"})
	}
	return within("exec", out)
}

type exec struct{ execSpec }

func decodeExec(params engine.Record) (steps.Operation, error) {
	var p execParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if p.Exec.Codes == nil {
		p.Exec.Codes = []int64{0}
	}
	return exec{p.Exec}, first(checkExec(params))
}

func (op exec) killAfter() time.Duration {
	if op.KillAfter == nil {
		return 5 * time.Second
	}
	return *op.KillAfter
}

// stdin is what the command reads; given says whether it reads anything.
func (op exec) stdin() (text string, given bool) {
	if op.Stdin == nil {
		return "", false
	}
	if s, ok := engine.Reveal(op.Stdin); ok {
		return s, true
	}
	if b, ok := op.Stdin.(engine.Bytes); ok {
		return string(b), true
	}
	return engine.Text(op.Stdin), true
}

// Preview looks whether the container runs. It does not ask whether the command exists: only
// starting it could tell.
func (op exec) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	_, all, err := lookAll(ctx, env, []string{op.Container})
	if err != nil {
		return engine.Impact{}, err
	}
	s := all[0]
	i := engine.Impact{
		Standing: engine.StandingWould, Risk: engine.RiskChanges,
		Would:   "run " + op.Argv[0] + " in " + op.Container,
		Facts:   []engine.Fact{s.fact(env.Now())},
		Details: []string{strings.Join(quoted(op.Argv), " ")},
	}
	if err := execRefused(s, op.Container); err != nil {
		i.Standing, i.Why = engine.StandingUnknown, err.Error()+": unless a step before changes that, this step fails and changes nothing"
		i.Warnings = append(i.Warnings, err.Error())
	}
	return i, nil
}

// quoted shows arguments so that it can be seen where each begins and ends.
func quoted(argv []string) []string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\$`*?") {
			out[i] = fmt.Sprintf("%q", a)
		}
	}
	return out
}

// execRefused says why no command can be run in a container as it is.
func execRefused(s shown, name string) error {
	switch {
	case s.state == stateAbsent:
		return noContainer([]string{name})
	case s.paused():
		return fmt.Errorf("container %s is paused; unpause it (docker unpause %s)", name, name)
	case !s.running():
		return fmt.Errorf("container %s does not run (it is %s); start it in a step before", name, s.state)
	}
	return nil
}

// Prepare looks whether the container runs.
func (op exec) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	_, all, err := lookAll(ctx, env, []string{op.Container})
	if err != nil {
		return engine.Preparation{}, err
	}
	if err := execRefused(all[0], op.Container); err != nil {
		return engine.Preparation{}, err
	}
	return engine.Preparation{Seen: engine.Record{"id": all[0].id, "started_at": timeOrNull(all[0].started)}}, nil
}

func (op exec) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("run a command in a container: %w", errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	if _, before := readExecNote(env.Call.Note); before && env.Again {
		// The class was widened by the author. Nothing is started beside an attempt that may live.
		if o, settled := op.settledBefore(ctx, env); settled {
			return o
		}
	}
	r, err := op.create(ctx, c, env)
	if err != nil {
		return failure(err)
	}
	return r.run(ctx)
}

// create makes the exec and records its id. Nothing has been started when it returns.
func (op exec) create(ctx context.Context, c *connection, env *steps.Env) (*running, error) {
	s, _, err := c.look(ctx, op.Container)
	if err != nil {
		return nil, err
	}
	if err := execRefused(s, op.Container); err != nil {
		return nil, err
	}
	_, hasStdin := op.stdin()
	made, err := c.ContainerExecCreate(ctx, s.id, apicontainer.ExecOptions{
		User: op.User, WorkingDir: op.Dir, Cmd: op.Argv, Env: append(environ(op.Env), tokenVariable+"="+env.Call.Token),
		AttachStdin: hasStdin, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare a command in %s: %w", op.Container, c.explain(ctx, err))
	}
	n := execNote{exec: made.ID, container: s.id, started: s.started}
	// Durable BEFORE the start: an exec whose id is not recorded has never been started.
	if err := env.Note(n.value()); err != nil {
		return nil, fmt.Errorf("record the command's id, before it is started: %w", err)
	}
	return &running{exec: op, c: c, env: env, note: n, out: newTail(env.Output()), errs: newTail(env.Output())}, nil
}

// execNote is what is recorded of an exec.
type execNote struct {
	exec, container string
	started         time.Time // of the container
	pid             int64     // on the engine's host; 0 while it is not known
}

func (n execNote) value() engine.Value {
	return engine.Record{"exec": n.exec, "container": n.container, "started_at": timeOrNull(n.started), "pid": n.pid}
}

func readExecNote(v engine.Value) (execNote, bool) {
	r, ok := v.(engine.Record)
	if !ok {
		return execNote{}, false
	}
	var n execNote
	n.exec, _ = r["exec"].(string)
	n.container, _ = r["container"].(string)
	n.started, _ = r["started_at"].(time.Time)
	n.pid, _ = r["pid"].(int64)
	return n, n.exec != ""
}

// judge turns the end of a command into an outcome.
func (r *running) judge(end container.State) engine.Outcome {
	result := engine.Record{"stdout": r.out.String(), "stderr": r.errs.String(), "code": end.Code(),
		"truncated": r.out.full || r.errs.full}
	if end.NeverRan() {
		return engine.Outcome{Result: result, Err: fmt.Sprintf("%s could not be started in %s (exit code %d): %s",
			r.Argv[0], r.Container, end.Code(), lastLine(r.out.String()+r.errs.String()))}
	}
	if r.lost && end.Unsure() {
		o := r.inDoubt(saidUnsure)
		o.Result = engine.Record{"stdout": r.out.String(), "stderr": r.errs.String(), "code": nil}
		return o
	}
	if !slices.Contains(r.Codes, end.Code()) {
		return engine.Outcome{Result: result, Effect: engine.EffectUnknown, Err: codeError(r.Argv[0], r.Container, end.Code(), r.errs.String())}
	}
	for _, t := range []*tail{r.out, r.errs} {
		if t.err != nil {
			return engine.Outcome{Result: result, Effect: engine.EffectStands,
				Err: fmt.Sprintf("%s ended with code %d, but its output could not be kept: %v", r.Argv[0], end.Code(), t.err)}
		}
	}
	o := engine.Outcome{Result: result}
	if _, reads := r.stdin(); r.lost && reads {
		// To the command the end of a connection looks like the end of its input.
		o = r.inDoubt(fmt.Sprintf("it ended with exit code %d, but the connection was lost before: whether it has read all of its input is not known", end.Code()))
		o.Result = result
		return o
	}
	if r.lost {
		o.Message = "the connection was lost while the command ran; what it printed after that is missing"
	}
	return o
}

func codeError(command, container string, code int64, stderr string) string {
	message := fmt.Sprintf("%s in %s ended with exit code %d", command, container, code)
	if l := lastLine(stderr); l != "" {
		message += ": " + l
	}
	return message
}
