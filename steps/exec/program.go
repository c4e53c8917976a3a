package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// program is exec with its parameters.
type program struct {
	params
	raw  engine.Record
	kind *Kind
}

// place is where a program runs.
type place interface {
	steps.Operation
	steps.Settler
}

// at is the program where it runs.
func (p *program) at(env *steps.Env) place {
	switch env.Target.Type {
	case "":
		return here{p}
	case sshTarget:
		return onSSH{p}
	}
	return inContainer{p}
}

// Preview says what would be started, and whether it could be. It starts nothing.
func (p *program) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	return p.at(env).Preview(ctx, env)
}

// Execute runs the program to its end.
func (p *program) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(errors.New("a dry-run starts no program"))
	}
	return p.at(env).Execute(ctx, env)
}

// Settle finds out what became of an attempt.
func (p *program) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	return p.at(env).Settle(ctx, env)
}

// here is a program that runs on this machine.
type here struct{ *program }

// argv is what is started.
func (p *program) argv() []string {
	if p.Shell != "" {
		return []string{"/bin/sh", "-e", "-c", p.Shell}
	}
	return p.Argv
}

// name is the program in a sentence.
func (p *program) name() string {
	if p.Shell != "" {
		return "the shell"
	}
	return filepath.Base(p.Argv[0])
}

// dirName is where it runs: an absolute folder.
func (p *program) dirName(env *steps.Env) (string, error) {
	dir := string(p.Dir)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(env.Dir, dir)
	}
	return filepath.Abs(dir)
}

// dir is dirName, which must be there.
func (p *program) dir(env *steps.Env) (string, error) {
	dir, err := p.dirName(env)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	switch {
	case os.IsNotExist(err):
		return dir, fmt.Errorf("the folder %s does not exist", dir)
	case err != nil:
		return dir, err
	case !info.IsDir():
		return dir, fmt.Errorf("%s is not a folder", dir)
	}
	return dir, nil
}

// environment is all that the program sees of the world through its environment.
func (p *program) environment(token string) (vars []string, path string) {
	values := map[string]string{}
	for _, name := range slices.Concat(passed(), p.InheritEnv) {
		if v, ok := os.LookupEnv(name); ok {
			values[name] = v
		}
	}
	for name, v := range p.Env {
		text, ok := engine.Reveal(v)
		if !ok {
			text = engine.Text(v)
		}
		values[name] = text
	}
	if token != "" {
		values[host.TokenVariable] = token
	}
	vars = make([]string, 0, len(values))
	for name, v := range values {
		vars = append(vars, name+"="+v)
	}
	slices.Sort(vars)
	return vars, values["PATH"]
}

// secrets are what of the parameters must not come back out.
func (p *program) secrets() *mask.Set {
	var s mask.Set
	for name, v := range p.Env {
		if secret, ok := v.(engine.Secret); ok {
			s.Add(name, secret.Reveal())
		}
	}
	if secret, ok := p.raw["stdin"].(engine.Secret); ok {
		s.Add("stdin", secret.Reveal())
	}
	return &s
}

// inherited are the variables of the engine's environment that are passed on by name.
func (p *program) inherited() []string {
	var vars []string
	for _, name := range p.InheritEnv {
		if v, ok := os.LookupEnv(name); ok {
			vars = append(vars, name+"="+v)
		}
	}
	return vars
}

// handedOver are the variables that a program elsewhere gets, beside those that it finds there.
func (p *program) handedOver() []string {
	vars := p.inherited()
	for _, name := range engine.Keys(p.Env) {
		text, ok := engine.Reveal(p.Env[name])
		if !ok {
			text = engine.Text(p.Env[name])
		}
		vars = append(vars, name+"="+text)
	}
	return vars
}

// wouldRun is what there is to say of the program wherever it runs.
func (p *program) wouldRun(where string) engine.Impact {
	impact := engine.Impact{Standing: engine.StandingWould, Would: where + "run " + p.shown(), Risk: engine.RiskChanges}
	if p.Shell != "" {
		impact.Details = append(impact.Details, p.Shell)
	}
	if u, ok := engine.FirstUnknown(p.raw); ok {
		impact.Why = "part of it is " + u.Error()
	}
	return impact
}

// Preview looks for the folder and the program.
func (p here) Preview(_ context.Context, env *steps.Env) (engine.Impact, error) {
	impact := p.wouldRun("")
	dir, err := p.dir(env)
	if _, later := p.raw["dir"].(engine.Unknown); later {
		err = nil
	} else if err == nil {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "folder", Value: dir})
	}
	if err != nil {
		unlikely(&impact, err)
	}
	_, path := p.environment("")
	if p.Shell == "" && !unknownProgram(p.raw) {
		file, err := host.LookPath(p.Argv[0], path, dir)
		if err != nil {
			unlikely(&impact, err)
		} else {
			impact.Facts = append(impact.Facts, engine.Fact{Name: "program", Value: file})
		}
	}
	p.addShown(&impact, env)
	return impact, nil
}

// addShown adds what the step says itself, wherever the program runs.
func (p *program) addShown(impact *engine.Impact, env *steps.Env) {
	for _, name := range p.InheritEnv {
		if _, ok := os.LookupEnv(name); !ok {
			impact.Warnings = append(impact.Warnings, "the variable "+name+" is to be passed on, and is not set")
		}
	}
	if len(p.Env) > 0 {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "variables", Value: strings.Join(engine.Keys(p.Env), ", ")})
	}
	if env.Call.Timeout == 0 {
		impact.Warnings = append(impact.Warnings, "the step has no timeout: it waits for the program without end")
	}
}

// unlikely notes a reason why the program could not be started as things are now. An earlier step may
// yet put it right, so this is not known rather than known to fail.
func unlikely(impact *engine.Impact, err error) {
	impact.Standing = engine.StandingUnknown
	impact.Why = strings.TrimPrefix(impact.Why+"; "+err.Error(), "; ")
	impact.Warnings = append(impact.Warnings, err.Error()+": the run would fail here, unless an earlier step puts it there")
}

// shown is the command line as a person would type it. It is only ever shown.
func (p *program) shown() string {
	if p.Shell != "" {
		first, more, _ := strings.Cut(strings.TrimSpace(p.Shell), "\n")
		if more != "" {
			first += " …"
		}
		return "in a shell: " + first
	}
	list, ok := p.raw["argv"].(engine.List)
	if !ok {
		return "a program that is not known yet"
	}
	words := make([]string, len(list))
	for i, a := range list {
		if u, ok := a.(engine.Unknown); ok {
			words[i] = "<" + u.Error() + ">"
			continue
		}
		words[i] = quoted(engine.Text(a))
	}
	return strings.Join(words, " ")
}

func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=./:@%,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	if strings.ContainsAny(word, "\n\r\t\x1b") {
		return strconv.Quote(word)
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func unknownProgram(r engine.Record) bool {
	argv, ok := r["argv"].(engine.List)
	if !ok || len(argv) == 0 {
		return true
	}
	_, unknown := argv[0].(engine.Unknown)
	return unknown
}
