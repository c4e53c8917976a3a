package playbook

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// Catalogue is the set of kinds that playbooks can use. It never changes.
type Catalogue struct {
	kinds   []engine.Kind
	byName  map[string]*engine.Kind
	targets map[string]*engine.TargetType
}

// NewCatalogue makes a catalogue. A declaration that contradicts itself is a fault of the program and
// ends it: no playbook could be loaded with it.
func NewCatalogue(kinds []engine.Kind) *Catalogue {
	c := &Catalogue{kinds: kinds, byName: map[string]*engine.Kind{}, targets: map[string]*engine.TargetType{}}
	for i := range kinds {
		k := &kinds[i]
		c.check(k)
		c.byName[k.Name] = k
		for j := range k.Targets {
			if _, twice := c.targets[k.Targets[j].Name]; !twice {
				c.targets[k.Targets[j].Name] = &k.Targets[j]
			}
		}
	}
	return c
}

// Kinds are the declarations.
func (c *Catalogue) Kinds() []engine.Kind { return c.kinds }

func (c *Catalogue) check(k *engine.Kind) {
	fail := func(format string, args ...any) {
		panic(fmt.Sprintf("playbook: kind %q: %s", k.Name, fmt.Sprintf(format, args...)))
	}
	switch {
	case !snake.MatchString(k.Name):
		fail("the name is not in snake_case")
	case contains(stepKeys(), k.Name):
		fail("a step has a key of that name")
	case c.byName[k.Name] != nil:
		fail("is there twice")
	case len(k.Operations) == 0:
		fail("has no operations")
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for _, o := range k.Operations {
		_, hasKey := o.Params.FieldNamed(o.Key)
		_, hasInline := o.Params.FieldNamed(o.Inline)
		switch {
		case o.Name == "" || names[o.Name]:
			fail("operation %q has no name of its own", o.Name)
		case o.Key == "" && len(k.Operations) > 1:
			fail("operation %s cannot be told from the others: it has no key", o.Name)
		case o.Key != "" && (keys[o.Key] || !hasKey):
			fail("the key %q of operation %s is not a parameter of it, or of another too", o.Key, o.Name)
		case o.Inline != "" && !hasInline:
			fail("the inline parameter %q of operation %s is not declared", o.Inline, o.Name)
		case o.Class == engine.ClassUnset:
			fail("operation %s has no class", o.Name)
		}
		names[o.Name], keys[o.Key] = true, true
	}
}

func (c *Catalogue) kindNames() []string {
	names := make([]string, len(c.kinds))
	for i, k := range c.kinds {
		names[i] = k.Name
	}
	return names
}

func (c *Catalogue) targetTypes() []string {
	var names []string
	for _, k := range c.kinds {
		for _, t := range k.Targets {
			if !contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	return names
}

// accepts says whether steps of a kind can act on targets of a type.
func accepts(k *engine.Kind, targetType string) bool {
	for _, t := range k.Targets {
		if t.Name == targetType {
			return true
		}
	}
	return false
}

func typesOf(k *engine.Kind) []string {
	names := make([]string, len(k.Targets))
	for i, t := range k.Targets {
		names[i] = t.Name
	}
	return names
}

// nearestOf is a remedy for a word that is none of a list of words.
func nearestOf(word string, words []string, lead string) string {
	if near, ok := expression.Nearest(word, words); ok {
		return "did you mean " + near + "?"
	}
	if len(words) == 0 {
		return ""
	}
	return lead + ": " + strings.Join(words, ", ")
}
