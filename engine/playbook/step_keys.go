package playbook

import (
	"regexp"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
)

// stepKey is one key that a step can have beside its kind.
type stepKey struct {
	name  string
	doc   string
	forms form // which forms of a step take it
}

// form is what sort of step an entry is. Forms can be added up.
type form int

const (
	formAct    form = 1 << iota // an operation of a kind
	formGroup                   // block and parallel
	formNested                  // another playbook
)

func formOf(act, group *field, cat *Catalogue) form {
	switch {
	case group != nil:
		return formGroup
	case cat.nests(act.key.Value):
		return formNested
	}
	return formAct
}

var stepKeyTable = []stepKey{
	{"id", "The step's name in expressions, in the journal and on the command line; unique in the playbook.", formAct | formGroup | formNested},
	{"title", "A line for people.", formAct | formGroup | formNested},
	{"on", "The target. It may be left out when exactly one target fits.", formAct},
	{"when", "An expression. If it is false the step is skipped.", formAct | formGroup | formNested},
	{"for_each", "A list; the step is done once for each entry of it.", formAct | formGroup | formNested},
	{"as", "The name of the entry in expressions; item unless it is given.", formAct | formGroup | formNested},
	{"key", "An expression that identifies an entry, when the entry itself is not a text or integer.", formAct | formGroup | formNested},
	{"at_once", "How many entries are worked on at the same time; 1 unless it is given.", formAct | formGroup | formNested},
	{"timeout", "How long one attempt may take.", formAct},
	{"retry", "How often and how fast a failed attempt is repeated.", formAct},
	{"expect", "An expression over the result. If it is false the step has failed.", formAct},
	{"tolerate", "An expression over the result. If expect is false and this is true, the step is degraded.", formAct},
	{"fails", "An expression over error, the words of the failure that is expected. If it ends in that, the step is ok; if it succeeds, or fails otherwise, it has failed.", formAct},
	{"done_if", "Probes. If all of them say yes, there is nothing to do.", formAct},
	{"effect", "What the author knows of the effect: read, idempotent or unrepeatable.", formAct},
	{"wipes", "The step erases what Handrail has left on its target, as a restore does: true; or on other targets: their names.", formAct},
	{"on_error", "What a failure does to the run: stop, continue or undo.", formAct | formGroup | formNested},
	{"undo", "Steps that take the effect back.", formAct | formGroup | formNested},
	{"always", "Steps that are done at the end of the group, whatever has happened in it.", formGroup},
	{"unsettles", "While the group is under way, what was proved before it does not hold, on purpose; a resume does not ask it again then.", formGroup},
	{"sensitive", "The result is shown and recorded nowhere.", formAct | formNested},
	{"block", "Steps, one after the other.", formGroup},
	{"parallel", "Steps, side by side.", formGroup},
}

func stepKeys() []string {
	names := make([]string, len(stepKeyTable))
	for i, k := range stepKeyTable {
		names[i] = k.name
	}
	return names
}

var onErrors = []string{"stop", "continue", "undo"}

// stepKeys reads what has no expressions in it, and refuses keys that do not go with the step.
func (l *loader) stepKeys(f fields, s *engine.Step, is form) {
	for _, e := range f.list {
		for _, k := range stepKeyTable {
			switch {
			case k.name != e.key.Value || k.forms&is != 0:
			case is == formGroup:
				l.node(e.key, "put it on the steps inside of the group", "%s does not go with block and parallel", k.name)
			case is == formNested:
				l.node(e.key, "put it into the playbook that is run", "%s does not go with a step that runs a playbook", k.name)
			default:
				l.node(e.key, "it goes with block and parallel, and with the playbook as a whole", "%s does not go with a single step", k.name)
			}
		}
	}
	s.Timeout = l.duration(f.get("timeout"), "timeout")
	s.Unsettles = l.boolean(f.get("unsettles"), "unsettles")
	s.Sensitive = l.boolean(f.get("sensitive"), "sensitive") || l.outer != nil && l.outer.sensitive
	if n := f.get("retry"); n != nil {
		s.Retry = l.retry(n)
	}
	if f.get("for_each") == nil {
		for _, k := range []string{"as", "key", "at_once"} {
			if n := f.get(k); n != nil {
				l.node(n, "", "%s goes with for_each only", k)
			}
		}
	}
}

const (
	maxAttempts = 100
	maxAtOnce   = 100
)

var backoffForm = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+(\.\.([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)?$`)

func (l *loader) retry(n *yaml.Node) engine.Retry {
	r := engine.Retry{Min: time.Second, Max: 10 * time.Second}
	f, ok := l.mapping(n, "retry", []string{"attempts", "backoff"})
	if !ok {
		return r
	}
	if a := f.get("attempts"); a == nil {
		l.node(n, "the first attempt counts: attempts: 3 repeats twice", "retry needs attempts")
	} else {
		r.Attempts = l.count(a, "attempts", 2, maxAttempts)
	}
	b := f.get("backoff")
	if b == nil {
		return r
	}
	text := l.plainText(b, "backoff")
	if text == "" {
		return r
	}
	low, high, ranged := strings.Cut(text, "..")
	if !ranged {
		high = low
	}
	var errLow, errHigh error
	r.Min, errLow = parseDuration(low)
	r.Max, errHigh = parseDuration(high)
	switch {
	case errLow != nil || errHigh != nil:
		l.node(b, "write 2s for a pause that stays the same, 1s..10s for one that doubles", "backoff must be a duration or a range of two, not %q", text)
	case r.Min > r.Max:
		l.node(b, "write "+high+".."+low, "backoff begins with more than it ends with")
	}
	return r
}

func (l *loader) count(n *yaml.Node, what string, least, most int64) int {
	v, ok := l.value(n, engine.Of(engine.TypeInteger), what, place{}).Literal.(int64)
	if ok && (v < least || v > most) {
		l.node(n, "", "%s must be between %d and %d", what, least, most)
		return int(least)
	}
	return int(v)
}

func (l *loader) onError(f fields, s *engine.Step) {
	n := f.get("on_error")
	if n == nil {
		return
	}
	v, _ := l.value(n, engine.Shape{Type: engine.TypeEnum, Enum: onErrors}, "on_error", place{}).Literal.(string)
	for i, name := range onErrors {
		if name == v {
			s.OnError = engine.OnError(i)
		}
	}
}
