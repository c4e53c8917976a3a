package engine

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// word is an expression of the stories' notation: a literal, a name at the head of the scope, or
// inputs.x and steps.x.y.
type word string

func (w word) String() string { return string(w) }

func (w word) Eval(s Scope) (Value, error) {
	path := strings.Split(string(w), ".")
	switch path[0] {
	case "true", "false":
		return w == "true", nil
	case "bad":
		return "bad", nil
	case "steps":
		rec, err := s.Step(path[1])
		if err != nil {
			return nil, err
		}
		v, ok := rec[path[2]]
		if !ok {
			return nil, fmt.Errorf("step %s has no %s", path[1], path[2])
		}
		return v, nil
	}
	v, err := s.Name(path[0])
	if err != nil || len(path) == 1 {
		return v, err
	}
	rec, _ := v.(Record)
	v, ok := rec[path[1]]
	if !ok {
		return nil, fmt.Errorf("there is no %s", w)
	}
	return v, nil
}

// saying is the expression error contains "…".
type saying string

func (w saying) String() string { return fmt.Sprintf("error contains %q", string(w)) }

func (w saying) Eval(s Scope) (Value, error) {
	v, err := s.Name(ErrorField)
	if err != nil {
		return nil, err
	}
	return strings.Contains(Text(v), string(w)), nil
}

var notationClasses = map[string]Class{
	"read": ClassRead, "idem": ClassIdempotent, "tx": ClassTransactional, "once": ClassUnrepeatable,
	"tell": ClassAdvisory, "ask": ClassPerson,
}

// parsePlaybook reads the notation; two spaces of indentation are one level.
func parsePlaybook(t *testing.T, src string) *Playbook {
	pb := &Playbook{Name: "story", Digest: "d1"}
	type level struct{ into *[]*Step }
	levels := []level{{&pb.Steps}}
	var last []*Step // the last step at each level
	for _, line := range strings.Split(src, "\n") {
		text := strings.TrimLeft(line, " ")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		depth := (len(line) - len(text)) / 2
		words := strings.Fields(text)
		levels, last = levels[:depth+1], append(last[:min(depth, len(last))], nil)
		switch words[0] {
		case "always":
			if depth == 0 {
				levels = append(levels, level{&pb.Always})
			} else {
				levels = append(levels, level{&last[depth-1].Always})
			}
			last[depth] = &Step{}
			continue
		case "undo":
			levels = append(levels, level{&last[depth-1].Undo})
			last[depth] = &Step{}
			continue
		case "outputs", "vars":
			of := pb
			if depth > 0 {
				of = last[depth-1].Nested.Playbook
			}
			for _, kv := range words[1:] {
				k, v, _ := strings.Cut(kv, "=")
				if words[0] == "outputs" {
					of.Outputs = append(of.Outputs, Output{Name: k, Expr: word(v)})
				} else {
					of.Vars = append(of.Vars, FieldTemplate{Name: k, Value: Template{Expr: word(v)}})
				}
			}
			continue
		}
		s := parseStep(t, words)
		*levels[depth].into = append(*levels[depth].into, s)
		last[depth] = s
		levels = append(levels, level{&s.Steps})
	}
	pb.EveryStep(func(s *Step) {
		if s.Nested != nil {
			s.Nested.Playbook.Steps, s.Nested.Playbook.Always = s.Steps, s.Always
		}
	})
	return pb
}

// acceptAll is the Accept of a nested playbook that declares nothing, but refuses what is bad.
func acceptAll(r Record) (Record, error) {
	for _, k := range Keys(r) {
		if r[k] == "bad" {
			return nil, fmt.Errorf("input %s must not be bad", k)
		}
	}
	return r, nil
}

func parseStep(t *testing.T, words []string) *Step {
	s := &Step{ID: words[1], AtOnce: 1, As: "item", Kept: true, Target: "db"}
	switch words[0] {
	case "block":
		s.Group = BlockGroup
	case "parallel":
		s.Group = ParallelGroup
	case "play":
		s.Kind, s.Group = "playbook", PlaybookGroup
		s.Nested = &Nested{Playbook: &Playbook{Name: "book-" + s.ID, Digest: "d-" + s.ID}, Accept: acceptAll}
	default:
		class, ok := notationClasses[words[0]]
		if !ok {
			t.Fatalf("unknown kind %q", words[0])
		}
		s.Kind, s.Class = words[0], class
		s.Operation = &Operation{Name: "do", Class: class}
		s.Params = Template{Fields: []FieldTemplate{{Name: "message", Value: Template{Literal: "sure?"}}}}
	}
	for _, opt := range words[2:] {
		parseOption(t, s, opt)
	}
	return s
}

func parseOption(t *testing.T, s *Step, opt string) {
	k, v, _ := strings.Cut(opt, "=")
	if name, input := strings.CutPrefix(k, "in."); input {
		s.Nested.Inputs = append(s.Nested.Inputs, FieldTemplate{Name: name, Value: Template{Expr: word(v)}})
		return
	}
	switch k {
	case "when":
		s.When = word(v)
	case "expect":
		s.Expect = word(v)
	case "tolerate":
		s.Tolerate = word(v)
	case "fails":
		s.Fails = saying(v)
	case "each":
		s.ForEach = &Template{Literal: literal(v)}
		if strings.Contains(v, ".") {
			s.ForEach = &Template{Expr: word(v)}
		}
	case "at_once":
		s.AtOnce, _ = strconv.Atoi(v)
	case "retry":
		n, _ := strconv.Atoi(v)
		s.Retry = Retry{Attempts: n, Min: time.Second, Max: 10 * time.Second}
	case "on_error":
		s.OnError = map[string]OnError{"continue": ContinueOnError, "undo": UndoOnError}[v]
	case "done_if":
		s.DoneIf = []*Probe{{Kind: "read", Op: "do"}}
	case "prepares":
		s.Operation.Prepares = true
	case "resumes":
		s.Operation.Resumes = true
	case "unsettles":
		s.Unsettles = true
	case "unread": // no expression reads its result
		s.Kept = false
	case "grades":
		s.Operation.Grades = true
	case "inside":
		s.Operation.ExpectInside = true
	case "sensitive":
		s.Sensitive = true
	case "on":
		s.Target = v
	case "wipes":
		s.Wipes = v == ""
		if v != "" {
			s.WipesToo = strings.Split(v, ",")
		}
	case "expires":
		d, _ := time.ParseDuration(v)
		s.Params.Fields = append(s.Params.Fields, FieldTemplate{Name: "expires", Value: Template{Literal: d}})
	case "with":
		s.Params.Fields = append(s.Params.Fields, FieldTemplate{Name: "with", Value: Template{Expr: word(v)}})
	default:
		t.Fatalf("unknown option %q", opt)
	}
}

func briefEvent(e Event) string {
	switch e := e.(type) {
	case StepIntended:
		return fmt.Sprintf("intended %s attempt %d token %s class %s", e.Step, e.Attempt, e.Token, e.Class)
	case StepFinished:
		s := fmt.Sprintf("%s is %s", e.Step, e.State)
		if e.State == Failed {
			s += ", effect " + e.Effect.String()
		}
		if e.Error != "" {
			s += ": " + e.Error
		}
		if e.Message != "" {
			s += " (" + e.Message + ")"
		}
		if r, ok := e.Result.V.(Record); ok && len(r) > 0 {
			s += " " + Text(r)
		}
		return s
	case StepSkipped:
		return "skipped " + e.Step + ": " + e.Why
	case PlaybookBegun:
		s := "begun " + e.Step
		for _, v := range []Value{e.Inputs.V, e.Vars.V} {
			if r, ok := v.(Record); ok && len(r) > 0 {
				s += " " + Text(r)
			}
		}
		return s
	case ItemsListed:
		return fmt.Sprintf("items of %s: %s", e.Step, strings.Join(e.Keys, " "))
	case RetryScheduled:
		return fmt.Sprintf("retry of %s in %s: %s", e.Step, e.Pause, e.Error)
	case PhaseEntered:
		s := fmt.Sprintf("phase %s, then %s", e.Phase, e.Final)
		if len(e.Steps) > 0 {
			s += ": " + strings.Join(e.Steps, " ")
		}
		return s
	case RunFinished:
		s := "run ends " + e.State.String()
		if o, ok := e.Outputs.V.(Record); ok {
			s += " " + Text(o)
		}
		if e.Error != "" {
			s += ": " + e.Error
		}
		return s
	case Settled:
		return fmt.Sprintf("settled %s: %s", e.Step, e.Verdict)
	case AskedAgain:
		return fmt.Sprintf("%s asked again is %s", e.Step, e.State)
	}
	if step := EventStep(e); step != "" {
		return EventName(e) + " " + step
	}
	return EventName(e)
}

func briefCommand(c Command, sync bool) string {
	s := ""
	switch c := c.(type) {
	case Execute:
		s = "-> execute " + c.Step
		if c.Again {
			s += " again"
		}
		if c.Refresh {
			s = "-> ask again " + c.Step
		}
		if c.Wiped {
			s += " wiped"
		}
		if c.Seen != nil {
			s += " seen=" + Text(c.Seen)
		}
		if c.Note != nil {
			s += " note=" + Text(c.Note)
		}
		if w, ok := c.Params["with"]; ok {
			s += " with=" + Text(w)
		}
	case AskDoneIf:
		s = "-> done_if " + c.Step
	case Prepare:
		s = "-> prepare " + c.Step
	case Settle:
		s = fmt.Sprintf("-> settle %s epoch %d", c.Step, c.Epoch)
	case Pause:
		s = fmt.Sprintf("-> pause %s %s", c.Step, c.For)
	case AskPerson:
		s = "-> ask a person " + c.Step
	case CheckMemory:
		s = "-> check memory"
		for _, call := range c.Calls {
			s += " " + call.Token
			if call.Seen != nil {
				s += " seen=" + Text(call.Seen)
			}
		}
	}
	if sync {
		s += " (sync before)"
	}
	return s
}

func briefState(v StepView) string {
	s := v.Path + " " + v.State.String()
	if v.State == Failed {
		s += ", effect " + v.Effect.String()
	}
	if v.Error != "" {
		s += ": " + v.Error
	}
	return s
}
