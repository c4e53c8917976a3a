package playbook

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
)

// targetInfo is a target as steps see it.
type targetInfo struct {
	run    string // what the run calls it
	typ    string // empty: not known before there is an environment
	family *engine.Kind
}

// targetUses reads `targets` of a playbook. A target is said to be of a type (mysql), of any type that a
// kind accepts (sql), or it is said where it is ({mysql: {address: …}}).
func (l *loader) targetUses(n *yaml.Node) []engine.TargetUse {
	f, ok := l.entries(n, "targets")
	if !ok {
		return nil
	}
	var out []engine.TargetUse
	for _, e := range f.list {
		use := engine.TargetUse{Name: e.key.Value, Pos: l.posOf(e.key)}
		if !snake.MatchString(use.Name) {
			l.node(e.key, "", "%q is not a name in snake_case", use.Name)
		}
		info := targetInfo{}
		if e.value.Kind == yaml.MappingNode {
			p := place{names: &names{l: l, sight: seeSecrets, where: "a target"}}
			if t, ok := l.target(e.value, "the target "+use.Name, p); ok {
				use.Type, use.Settings = t.Type, &t.Settings
			}
			info.typ = use.Type
		} else {
			info = l.targetType(e.value, use.Name)
			use.Type = info.typ
		}
		known := info.typ != "" || info.family != nil
		switch {
		case l.outer != nil && use.Settings == nil:
			if known {
				info = l.boundTarget(e.key.Value, info)
			}
			l.targets[e.key.Value] = info
			continue // it is a target of the playbook around this one
		case l.outer != nil:
			use.Name = stem(l.src.file) + "/" + use.Name
			if _, named := l.outer.named[e.key.Value]; named {
				l.outer.lacks = append(l.outer.lacks, lack{e.key.Value, "", stem(l.src.file) + " says itself where its target " + e.key.Value + " is"})
			}
		case l.env != nil && use.Settings == nil && known:
			info.typ = l.inEnvironment(e, info)
		}
		info.run = use.Name
		l.targets[e.key.Value] = info
		out = append(out, use)
	}
	return out
}

// targetType reads the name of a type, or of a kind for any type that it accepts.
func (l *loader) targetType(n *yaml.Node, name string) targetInfo {
	word := l.plainText(n, "the target "+name)
	if word == "" {
		return targetInfo{}
	}
	// A kind's name goes first: with `redis` a playbook takes a cluster and sentinels, too.
	if k := l.cat.byName[word]; k != nil && (len(k.Targets) > 1 || len(k.Targets) > 0 && l.cat.targets[word] == nil) {
		return targetInfo{family: k}
	}
	if l.cat.targets[word] != nil {
		return targetInfo{typ: word}
	}
	words := l.cat.targetTypes()
	for _, k := range l.cat.kinds {
		if len(k.Targets) > 1 {
			words = append(words, k.Name)
		}
	}
	l.node(n, nearestOf(word, words, "the types are"), "there is no type of target %s", word)
	return targetInfo{}
}

// inEnvironment holds a target against the environment, and gives its type there.
func (l *loader) inEnvironment(e field, info targetInfo) string {
	t, ok := l.env.Targets[e.key.Value]
	switch {
	case !ok:
		l.node(e.key, nearestOf(e.key.Value, keysOf(l.env.Targets), "it has"), "the environment %s does not say where the target %s is", l.env.Name, e.key.Value)
		return info.typ
	case info.typ != "" && t.Type != info.typ:
		l.node(e.value, "", "the target %s is %s here and %s in the environment %s", e.key.Value, info.typ, t.Type, l.env.Name)
	case info.family != nil && !accepts(info.family, t.Type):
		l.node(e.value, "it takes "+strings.Join(typesOf(info.family), ", "), "the target %s is for %s here and %s in the environment %s", e.key.Value, info.family.Name, t.Type, l.env.Name)
		return ""
	}
	return t.Type
}

// EnvTarget is where a target is.
type EnvTarget struct {
	Type     string
	Settings engine.Template
	Pos      engine.Pos
}

// target reads {type: {settings}}.
func (l *loader) target(n *yaml.Node, what string, p place) (EnvTarget, bool) {
	t := EnvTarget{Pos: l.posOf(n)}
	f, ok := l.entries(n, what)
	if !ok {
		return t, false
	}
	if len(f.list) != 1 {
		l.node(n, "write it as {mysql: {address: …}}", "%s must have exactly one type", what)
		return t, false
	}
	key, value := f.list[0].key, f.list[0].value
	decl := l.cat.targets[key.Value]
	if decl == nil {
		l.node(key, nearestOf(key.Value, l.cat.targetTypes(), "the types are"), "there is no type of target %s", key.Value)
		return t, false
	}
	if isNull(value) {
		value = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: key.Line, Column: key.Column}
	}
	list, ok := l.recordFields(value, decl.Settings, what, p)
	if list == nil {
		list = []engine.FieldTemplate{}
	}
	t.Type, t.Settings = key.Value, engine.Template{Fields: list}
	return t, ok
}

// targetOf finds the target that a step or probe of a kind acts on. at is where to complain when none
// is named.
func (l *loader) targetOf(on *yaml.Node, k *engine.Kind, at *yaml.Node) string {
	if len(k.Targets) == 0 {
		if on != nil {
			l.node(on, "", "%s needs no target", k.Name)
		}
		return ""
	}
	if on != nil {
		name := l.plainText(on, "on")
		t, ok := l.targets[name]
		switch {
		case name == "":
		case !ok:
			l.node(on, l.targetRemedy(name, k), "there is no target %s", name)
		case t.typ != "" && !accepts(k, t.typ):
			l.node(on, "it takes "+strings.Join(typesOf(k), ", "), "the target %s is %s; %s cannot act on it", name, t.typ, k.Name)
		case t.typ == "" && t.family != nil && t.family != k:
			l.node(on, "it takes "+strings.Join(typesOf(k), ", "), "the target %s is for %s; %s cannot act on it", name, t.family.Name, k.Name)
		}
		return name
	}
	if k.OnlyNamed {
		return ""
	}
	var fit []string
	for _, name := range keysOf(l.targets) {
		if t := l.targets[name]; t.typ != "" && accepts(k, t.typ) || t.typ == "" && (t.family == nil || t.family == k) {
			fit = append(fit, name)
		}
	}
	switch len(fit) {
	case 1:
		return fit[0]
	case 0:
		l.node(at, "declare it under targets: `targets: {name: "+k.Targets[0].Name+"}`", "there is no target for %s", k.Name)
	default:
		l.node(at, fmt.Sprintf("say `on: %s`", strings.Join(fit, "` or `on: ")), "%s can act on several targets", k.Name)
	}
	return ""
}

func (l *loader) targetRemedy(name string, k *engine.Kind) string {
	if len(l.targets) == 0 {
		return fmt.Sprintf("declare it: `targets: {%s: %s}`", name, k.Targets[0].Name)
	}
	return nearestOf(name, keysOf(l.targets), "the targets are")
}

// ResolveTarget finds where a target is: as the playbook says, else as the environment does. secrets
// holds the value of each secret by name.
func ResolveTarget(use engine.TargetUse, env *Environment, secrets engine.Record) (string, engine.Record, error) {
	typ, settings := use.Type, engine.Template{}
	if use.Settings != nil {
		settings = *use.Settings
	} else {
		if env == nil {
			return "", nil, fmt.Errorf("%s: it is not said where the target %s is: name an environment with --env, or write it into the playbook", use.Pos, use.Name)
		}
		t, ok := env.Targets[use.Name]
		if !ok {
			return "", nil, fmt.Errorf("%s: the environment %s does not say where the target %s is", use.Pos, env.Name, use.Name)
		}
		if typ != "" && typ != t.Type {
			return "", nil, fmt.Errorf("%s: the target %s is %s in the playbook and %s in the environment %s", use.Pos, use.Name, typ, t.Type, env.Name)
		}
		typ, settings = t.Type, t.Settings
	}
	v, err := settings.Render(engine.FixedScope(engine.Record{"secrets": secrets}))
	if err != nil {
		return "", nil, fmt.Errorf("target %s: %w", use.Name, err)
	}
	record, _ := v.(engine.Record)
	return typ, record, nil
}
