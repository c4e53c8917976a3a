package exec

import (
	"context"
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
	yard *host.Yard
}

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

// dir is where it runs: an absolute folder.
func (p *program) dir(env *steps.Env) (string, error) {
	dir := string(p.Dir)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(env.Dir, dir)
	}
	dir, err := filepath.Abs(dir)
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

// Preview says what would be started, and whether it could be. It starts nothing.
func (p *program) Preview(_ context.Context, env *steps.Env) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould, Would: "run " + p.shown(), Risk: engine.RiskChanges}
	if p.Shell != "" {
		impact.Details = append(impact.Details, p.Shell)
	}
	if u, ok := engine.FirstUnknown(p.raw); ok {
		impact.Why = "part of it is " + u.Error()
	}
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
	return impact, nil
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
