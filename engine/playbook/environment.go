package playbook

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// Environment says where targets are and where secrets come from.
type Environment struct {
	Name    string // the file's stem
	File    string
	Digest  string // SHA-256 of the file's bytes
	Targets map[string]EnvTarget
	Secrets map[string]SecretSource
	// Locks is the target in which the locks of runs are kept as well, so that hosts exclude each other; empty: none.
	Locks string
}

// SecretSource declares where the value of a secret comes from. Exactly one of Env, File, Command,
// Shell and Age is set.
type SecretSource struct {
	Env      string   // the name of an environment variable
	File     string   // a file that holds nothing else
	Command  []string // what it prints is the secret
	Shell    string   // the same, as a text for a shell
	Age      string   // a file encrypted with age
	Identity string   // the file with the identity that opens it
	InPlan   bool     // a command may also be run in a plan
	Pos      engine.Pos
}

func secretKeys() []string { return []string{"env", "file", "command", "age", "identity", "in_plan"} }

// LoadEnvironment reads an environment file. The error holds every mistake; see [Diagnostics].
func LoadEnvironment(file string, src []byte, cat *Catalogue) (*Environment, error) {
	l := &loader{document: read(file, src), cat: cat, compiler: expression.NewCompiler(nil), declared: map[string]SecretSource{}}
	env := &Environment{Name: stem(file), File: file, Digest: engine.Digest(string(src)), Targets: map[string]EnvTarget{}, Secrets: l.declared}
	if l.root != nil {
		l.environment(env)
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	return env, nil
}

func (l *loader) environment(env *Environment) {
	f, ok := l.mapping(l.root, "an environment", []string{"targets", "secrets", "locks"})
	if !ok {
		return
	}
	if n := f.get("secrets"); n != nil {
		secrets, _ := l.entries(n, "secrets")
		for _, e := range secrets.list {
			l.declared[e.key.Value] = l.secretSource(e)
		}
	}
	if n := f.get("targets"); n != nil {
		l.environmentTargets(env, n)
	}
	if n := f.get("locks"); n != nil {
		l.environmentLocks(env, n)
	}
}

// environmentLocks reads the name of the target that keeps the locks.
func (l *loader) environmentLocks(env *Environment, n *yaml.Node) {
	env.Locks = l.plainText(n, "locks")
	if env.Locks == "" {
		return
	}
	t, ok := env.Targets[env.Locks]
	if !ok {
		l.node(n, nearestOf(env.Locks, keysOf(env.Targets), "the targets are"), "there is no target %s to keep locks in", env.Locks)
		return
	}
	var keepers []string
	for _, name := range l.cat.targetTypes() {
		if l.cat.targets[name].KeepsLocks {
			keepers = append(keepers, name)
		}
	}
	if !slices.Contains(keepers, t.Type) {
		l.node(n, "they are kept by "+strings.Join(keepers, ", "), "the target %s is %s, which keeps no locks", env.Locks, t.Type)
	}
}

func (l *loader) environmentTargets(env *Environment, n *yaml.Node) {
	targets, _ := l.entries(n, "targets")
	for _, e := range targets.list {
		if !snake.MatchString(e.key.Value) {
			l.node(e.key, "", "%q is not a name in snake_case", e.key.Value)
		}
		p := place{names: &names{l: l, sight: seeSecrets, where: "an environment"}}
		if t, ok := l.target(e.value, "the target "+e.key.Value, p); ok {
			t.Pos = l.posOf(e.key)
			env.Targets[e.key.Value] = t
		}
	}
}

// secretSource reads {env: NAME} and its like.
func (l *loader) secretSource(e field) SecretSource {
	s := SecretSource{Pos: l.posOf(e.key)}
	if !secretForm.MatchString(e.key.Value) {
		l.node(e.key, "use letters, digits and _", "%q cannot be the name of a secret", e.key.Value)
	}
	what := "the secret " + e.key.Value
	f, ok := l.mapping(e.value, what, secretKeys())
	if !ok {
		return s
	}
	sources := 0
	for _, x := range f.list {
		switch x.key.Value {
		case "env":
			s.Env = l.plainText(x.value, "env")
		case "file":
			s.File = l.plainText(x.value, "file")
		case "age":
			s.Age = l.plainText(x.value, "age")
		case "command":
			s.Command, s.Shell = l.command(x.value)
		case "identity":
			s.Identity = l.plainText(x.value, "identity")
			continue
		case "in_plan":
			s.InPlan = l.boolean(x.value, "in_plan")
			continue
		}
		sources++
	}
	switch {
	case sources != 1:
		l.node(e.value, "", "%s must come from exactly one of env, file, command and age", what)
	case s.Identity != "" && s.Age == "":
		l.node(f.get("identity"), "", "identity goes with age only")
	case s.InPlan && len(s.Command) == 0 && s.Shell == "":
		l.node(f.get("in_plan"), "", "in_plan goes with command only")
	}
	return s
}

// command reads an argv, or a text for a shell.
func (l *loader) command(n *yaml.Node) (argv []string, shell string) {
	if n.Kind != yaml.SequenceNode {
		return nil, l.plainText(n, "command")
	}
	for _, e := range n.Content {
		argv = append(argv, l.plainText(e, "command"))
	}
	if len(argv) == 0 {
		l.node(n, "", "the command is empty")
	}
	return argv, ""
}
