package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/secrets"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

func loadCatalogue() *playbook.Catalogue {
	var defs []engine.Kind
	for _, k := range all.Kinds() {
		defs = append(defs, k.Define())
	}
	return playbook.NewCatalogue(defs)
}

// loaded is a playbook with what it was loaded from.
type loaded struct {
	pb     *engine.Playbook
	src    []byte
	file   string
	nested []journal.NestedFile  // that it runs
	env    *playbook.Environment // nil: none
	envSrc []byte
}

// loadEnvironment loads the environment that is meant by name; nil when there is none to choose.
func (a *app) loadEnvironment(name string) (*playbook.Environment, []byte, error) {
	file, err := a.environmentFile(name)
	if err != nil || file == "" {
		return nil, nil, err
	}
	src, err := readFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("environment %s: %w", name, err)
	}
	env, err := playbook.LoadEnvironment(file, src, a.catalogue())
	if a.untrusted {
		a.guard(env)
		if err != nil { // a mistake is told with its line, which a stranger may be shown
			err = fmt.Errorf("the environment %s does not load; see: handrail validate %s", name, name)
		}
	}
	return env, src, err
}

// loadFound loads a playbook under an environment, which may be nil.
func (a *app) loadFound(f found, env *playbook.Environment) (*loaded, error) {
	src, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("playbook %s: %w", f.name, err)
	}
	if err := a.apart(f.file, env); err != nil && !f.shipped && !f.ours {
		return nil, err
	}
	x := a.finder(f)
	pb, err := playbook.LoadTree(f.file, src, a.catalogue(), env, x.find)
	if err != nil {
		return nil, err
	}
	return &loaded{pb: pb, src: src, file: f.file, nested: x.files(), env: env}, nil
}

// load finds and loads a playbook and its environment. Mistakes of both are reported together.
func (a *app) load(name, environment string) (*loaded, error) {
	f, err := a.find(name)
	if err != nil {
		return nil, err
	}
	env, src, envErr := a.loadEnvironment(environment)
	l, err := a.loadFound(f, env)
	if err := errors.Join(envErr, err); err != nil {
		return nil, err
	}
	l.envSrc = src
	return l, nil
}

// given are the flags that say with what a playbook runs.
type given struct {
	inputs     []string
	inputsFile string
	env        string
}

func (a *app) givenFlags(c *cobra.Command, g *given) {
	c.Flags().StringArrayVarP(&g.inputs, "input", "i", nil, "an input, as key=value; may be repeated")
	c.Flags().StringVar(&g.inputsFile, "inputs", "", "a YAML file with inputs")
	c.Flags().StringVar(&g.env, "env", "", "the environment: its name, or its file")
	_ = c.RegisterFlagCompletionFunc("input", a.completeInputs)
	_ = c.RegisterFlagCompletionFunc("env", a.completeEnvironments)
}

// inputs brings what was given into the form that the playbook declares; all mistakes come together.
func (a *app) inputs(pb *engine.Playbook, g given) (engine.Record, error) {
	values, err := a.givenValues(g)
	if err != nil {
		return nil, err
	}
	return a.parseInputs(pb, values)
}

func (a *app) parseInputs(pb *engine.Playbook, values map[string]any) (engine.Record, error) {
	if a.untrusted {
		return withheldInputs(pb, values)
	}
	r, err := playbook.ParseInputs(pb, values)
	a.maskInputs(r)
	return r, err
}

// givenValues are the inputs as they were given: those of the file, and over them those of the command line.
func (a *app) givenValues(g given) (map[string]any, error) {
	values := map[string]any{}
	if a.untrusted { // of no use but to be looked up by their names
		return values, pairs(g.inputs, values)
	}
	if g.inputsFile != "" {
		src, err := readFile(a.in(g.inputsFile))
		if err != nil {
			return nil, fmt.Errorf("inputs: %w", err)
		}
		if values, err = playbook.DecodeInputsFile(g.inputsFile, src); err != nil {
			return nil, err
		}
		if values == nil {
			values = map[string]any{}
		}
	}
	return values, pairs(g.inputs, values)
}

// pairs puts key=value texts into values.
func pairs(texts []string, values map[string]any) error {
	seen := map[string]bool{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return fmt.Errorf("-i %s: an input is given as key=value", text)
		}
		if seen[key] {
			return fmt.Errorf("-i %s: the input is given twice", key)
		}
		seen[key] = true
		values[key] = value
	}
	return nil
}

func (a *app) maskInputs(r engine.Record) {
	for name, v := range r {
		if s, secret := v.(engine.Secret); secret {
			if warning := a.masker.Add("input "+name, s.Reveal()); warning != "" && s.Reveal() != "" {
				a.say("warning: %s", warning)
			}
		}
	}
}

// secretInputs are the inputs that no journal holds.
func secretInputs(inputs engine.Record) engine.Record {
	out := engine.Record{}
	for name, v := range inputs {
		if _, secret := v.(engine.Secret); secret {
			out[name] = v
		}
	}
	return out
}

// reach is what a run needs to reach its targets, and no journal holds.
type reach struct {
	secrets  engine.Record
	targets  []steps.Target
	shown    engine.Record // what expressions may see of the targets
	warnings []string
	locks    string // the target that keeps the locks as well; empty: none does
}

// reach resolves the secrets that the playbook and its targets use, and then the targets.
func (a *app) reach(ctx context.Context, l *loaded, inPlan bool) (*reach, error) {
	if a.untrusted {
		return nil, errors.New("--untrusted: no secret is resolved for the playbook of a stranger")
	}
	sources, err := a.secretSources(l)
	if err != nil {
		return nil, err
	}
	options := secrets.Options{InPlan: inPlan, LookupEnv: a.env, Masker: &a.masker, Dir: a.besideEnvironment(l.env)}
	foundSecrets, err := secrets.Resolve(ctx, sources, options)
	if err != nil {
		return nil, err
	}
	r := &reach{secrets: foundSecrets.Values, shown: engine.Record{}, warnings: foundSecrets.Warnings}
	base, err := a.base()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, use := range l.pb.Targets {
		typ, settings, err := playbook.ResolveTarget(use, l.env, r.secrets)
		if err != nil {
			errs = append(errs, a.withChoice(err))
			continue
		}
		visible := r.addTarget(use.Name, typ, settings, a.targetType(typ), base)
		r.shown[use.Name] = visible
	}
	if in := l.locksIn(); in != "" {
		errs = append(errs, a.reachLocks(r, l, in, base))
	}
	return r, errors.Join(errs...)
}

// besideEnvironment is the folder where the paths of secrets begin.
func (a *app) besideEnvironment(env *playbook.Environment) string {
	if env != nil && env.File != "" {
		return filepath.Dir(env.File)
	}
	return a.in(".")
}

// withChoice adds which environments there are to the error about a target that is nowhere.
func (a *app) withChoice(err error) error {
	if choice := a.ambiguous(); choice != "" {
		return fmt.Errorf("%w; %s", err, choice)
	}
	return err
}

// addTarget keeps a target; its relative paths are taken against base. It returns what expressions see.
func (r *reach) addTarget(name, typ string, settings engine.Record, declared engine.TargetType, base string) engine.Record {
	full, visible := engine.Record{}, engine.Record{}
	for key, v := range settings {
		field, _ := declared.Settings.FieldNamed(key)
		v = against(base, v, field.Shape)
		full[key] = v
		if _, secret := v.(engine.Secret); !secret && field.Shape.Type != engine.TypeSecret {
			visible[key] = v
		}
	}
	r.targets = append(r.targets, steps.Target{Name: name, Type: typ, Settings: full})
	return visible
}

// against takes the relative paths of a setting, also inside a record such as tls, against a folder.
func against(base string, v engine.Value, shape engine.Shape) engine.Value {
	switch x := v.(type) {
	case string:
		if shape.Type == engine.TypePath && x != "" && !filepath.IsAbs(x) {
			return filepath.Join(fromHome(base, x))
		}
	case engine.Record:
		out := make(engine.Record, len(x))
		for key, e := range x {
			field, _ := shape.FieldNamed(key)
			out[key] = against(base, e, field.Shape)
		}
		return out
	}
	return v
}

// fromHome puts the home in the place of the folder for a path that begins with ~.
func fromHome(base, path string) (folder, rest string) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return home, rest
		}
	}
	return base, path
}

func (a *app) targetType(name string) engine.TargetType {
	for _, k := range a.catalogue().Kinds() {
		for _, t := range k.Targets {
			if t.Name == name {
				return t
			}
		}
	}
	return engine.TargetType{}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
