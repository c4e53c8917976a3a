// Package lint finds in a loaded playbook what is correct and still known to go wrong: a wait by the clock,
// old backups removed before the new one is proven, a destructive step that nobody is asked about.
//
// It guarantees that the same playbook gives the same findings in the same order, and that a finding is
// kept back only where the author wrote down why. What is seen in the parameters of one operation the kinds
// have said already ([engine.Remark]); this package finds what lies between steps, and knows what each rule
// means. It never reads a file and never asks a target.
package lint

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Report is what lint says of one playbook.
type Report struct {
	Findings []engine.Finding // in the order of the file
	Known    []Known          // findings that the author knows of
}

// Known is a finding that is kept back.
type Known struct {
	engine.Finding
	Because string
}

// Check looks at a playbook. src is the text that it was loaded from.
func Check(pb *engine.Playbook, src string) Report {
	c := &check{pb: pb, head: headOf(pb.File, src)}
	c.remarks()
	c.secrets()
	c.steps(pb.Steps)
	c.order()
	c.objectives()
	c.lock()
	return c.sift(comments(pb.File, src))
}

type check struct {
	pb    *engine.Playbook
	head  engine.Pos // of what is about the playbook as a whole
	found []engine.Finding
}

// headOf is the place where the playbook says its name.
func headOf(file, src string) engine.Pos {
	for i, line := range strings.Split(src, "\n") {
		if strings.HasPrefix(line, "playbook:") {
			return engine.Pos{File: file, Line: i + 1, Column: 1}
		}
	}
	return engine.Pos{File: file, Line: 1, Column: 1}
}

// add notes a finding. One about a step of a playbook that this one runs is noted where that one is checked.
func (c *check) add(rule engine.Rule, s *engine.Step, format string, args ...any) {
	if s != nil && s.Pos.File != c.pb.File {
		return
	}
	f := engine.Finding{Rule: rule, Step: s, Message: fmt.Sprintf(format, args...), Pos: c.head}
	if s != nil {
		f.Pos = s.Pos
	}
	c.found = append(c.found, f)
}

// remarks takes over what the kinds have said. One reading of the server's clock is no trap; the second is.
func (c *check) remarks() {
	var first *engine.Finding
	for _, f := range c.pb.Remarks {
		if f.Rule == engine.RuleDoubles && f.Step != nil && (f.Step.When != nil || len(f.Step.DoneIf) > 0) {
			continue // it is asked before
		}
		if f.Rule != engine.RuleClock {
			c.found = append(c.found, f)
			continue
		}
		if first == nil {
			first = &f
			continue
		}
		f.Message += fmt.Sprintf("; line %d has read it before, and midnight may lie between the two", first.Pos.Line)
		c.found = append(c.found, f)
	}
}

// steps looks at each step by itself.
func (c *check) steps(list []*engine.Step) {
	engine.Walk(list, func(s *engine.Step) {
		if s.Operation == nil {
			return
		}
		name := operation(s)
		if s.Class == engine.ClassUnrepeatable && len(s.DoneIf) == 0 {
			c.add(ruleNoDoneIf, s, "%s may not be run twice, and no done_if says after a crash whether it has happened: a person will be asked", name)
		}
		checks := s.Operation.Grades || s.Class == engine.ClassRead || s.Operation.Role != engine.RoleNone
		if s.OnError == engine.ContinueOnError && checks {
			c.add(engine.RuleSwallowed, s, "%s may fail, and the run goes on as if it had not been asked", name)
		}
		if s.Expect != nil && s.Expect.String() == "true" {
			c.add(engine.RuleSwallowed, s, "expect: true holds whatever %s brings back", name)
		}
		if s.Retry.Attempts > mostAttempts {
			c.add(engine.RuleEndless, s, "%d attempts are as good as for ever; %s should give up while there is time for something else", s.Retry.Attempts, name)
		}
		if s.Operation.Waits && s.Timeout == 0 && waitsForever(s) {
			c.add(engine.RuleEndless, s, "without a timeout it waits for ever if the answer never comes")
		}
	})
}

// mostAttempts is how often a step may be tried and still be said to come to an end.
const mostAttempts = 100

// waitsForever: it lasts until the world has changed, and not for a length of time that it is given.
func waitsForever(s *engine.Step) bool {
	given, ok := s.Operation.Params.FieldNamed(s.Operation.Key)
	return !ok || given.Shape.Type != engine.TypeDuration
}

// inOrder are the steps that act, as they come one after the other.
func inOrder(list []*engine.Step) []*engine.Step {
	var out []*engine.Step
	for _, s := range list {
		if s.Group != engine.NoGroup {
			out = append(out, inOrder(s.Steps)...)
			continue
		}
		if s.Operation != nil {
			out = append(out, s)
		}
	}
	return out
}

// undone are the steps with an undo of their own or of a group around them.
func undone(list []*engine.Step, inside bool, into map[*engine.Step]bool) {
	for _, s := range list {
		has := inside || len(s.Undo) > 0
		into[s] = has
		undone(s.Steps, has, into)
	}
}

// order looks at what comes before what.
func (c *check) order() {
	hasUndo := map[*engine.Step]bool{}
	undone(c.pb.Steps, false, hasUndo)
	var asked, proved bool
	var backup, changed, before *engine.Step
	for _, s := range inOrder(c.pb.Steps) {
		name := operation(s)
		if before != nil && s.Class == engine.ClassTransactional && before.Class == engine.ClassTransactional &&
			before.Kind == s.Kind && before.Target == s.Target && before.Operation.Role == engine.RoleNone {
			c.add(ruleTorn, s, "steps %s and %s change %s one after the other, each by itself", before.ID, s.ID, s.Target)
		}
		before = s
		keeps := s.Operation.Role == engine.RoleBackup || s.Operation.Role == engine.RolePrune // never the last proven copy
		destroys := s.Class.Writes() && s.Risk >= engine.RiskDestroys && !keeps
		switch {
		case s.Class == engine.ClassPerson:
			asked = true
			continue
		case s.Operation.Grades:
			proved, changed = true, nil
			continue
		}
		if destroys && !asked && !hasUndo[s] {
			c.add(ruleUnapproved, s, "%s is %s, and neither a person is asked before it nor an undo takes it back", name, riskWord(s.Risk))
		}
		switch {
		case backup == nil || proved:
		case s.Operation.Role == engine.RolePrune:
			c.add(engine.RuleForgetsBackups, s, "old copies are removed before a verify has shown that the copy of step %s is good", backup.ID)
		case s.Operation.Role == engine.RoleRestore || destroys:
			c.add(ruleUnverified, s, "%s comes before a verify has shown that the copy of step %s is good", name, backup.ID)
		}
		if s.Operation.Role == engine.RoleBackup {
			backup, proved = s, s.Expect != nil
		}
		if s.Class.Writes() && s.Class != engine.ClassAdvisory && s.Risk > engine.RiskReads {
			changed = s
		}
	}
	if changed != nil {
		c.add(ruleUnproved, changed, "%s changes something, and no verify step behind it asks the system whether it is so", operation(changed))
	}
}

// objectives adds up how long the steps may take.
func (c *check) objectives() {
	rto := c.pb.Objectives.RTO
	if rto == 0 {
		return
	}
	var over *engine.Step
	total := longest(c.pb.Steps, 0, rto, &over)
	if over != nil {
		c.add(ruleOverRTO, over, "the steps up to here may take %s by their timeouts, and all of them %s; the recovery time objective is %s",
			longest(c.pb.Steps, 0, rto, nil, over), total, rto)
	}
}

// longest is how long the steps may take, AFTER what came before them; over is the first that may still be
// running when the time is up. With upTo it stops AFTER that step.
func longest(list []*engine.Step, before, rto time.Duration, over **engine.Step, upTo ...*engine.Step) time.Duration {
	at := before
	for _, s := range list {
		switch s.Group {
		case engine.NoGroup:
			at += atMost(s)
		case engine.PlaybookGroup:
			at = longest(s.Steps, at, rto, nil)
		case engine.BlockGroup:
			at = longest(s.Steps, at, rto, over, upTo...)
		case engine.ParallelGroup:
			end := at
			for _, branch := range s.Steps {
				end = max(end, longest([]*engine.Step{branch}, at, rto, over, upTo...))
			}
			at = end
		}
		if over != nil && *over == nil && at > rto {
			*over = s
		}
		for _, last := range upTo {
			if s == last {
				return at
			}
		}
	}
	return at
}

// atMost is how long a step may take by its timeout and its retries.
func atMost(s *engine.Step) time.Duration {
	attempts := max(1, s.Retry.Attempts)
	return time.Duration(attempts)*s.Timeout + time.Duration(attempts-1)*s.Retry.Max
}

func (c *check) lock() {
	if len(c.pb.EveryLock()) > 0 {
		return
	}
	for _, s := range inOrder(c.pb.Steps) {
		if s.Class.Writes() && s.Class != engine.ClassAdvisory {
			c.add(ruleNoLock, nil, "the playbook changes something (step %s) and takes no lock: two runs of it may be alive at once", s.ID)
			return
		}
	}
}

// sift takes out what the author knows, and says where nothing is known of what is written.
func (c *check) sift(notes []*note) Report {
	var r Report
	for _, f := range c.found {
		if n := covering(notes, f); n != nil {
			n.used = true
			r.Known = append(r.Known, Known{f, n.because})
			continue
		}
		r.Findings = append(r.Findings, f)
	}
	for _, n := range notes {
		switch {
		case n.because == "":
			r.Findings = append(r.Findings, engine.Finding{Rule: ruleStaleNote, Pos: n.pos, Message: "it does not say why: write `# lint: " + string(n.rule) + " because …`"})
		case !n.used:
			r.Findings = append(r.Findings, engine.Finding{Rule: ruleStaleNote, Pos: n.pos, Message: fmt.Sprintf("nothing here is found by %s; take the note away", n.rule)})
		}
	}
	sort.SliceStable(r.Findings, func(i, j int) bool {
		a, b := r.Findings[i], r.Findings[j]
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line < b.Pos.Line
		}
		return a.Pos.Column < b.Pos.Column
	})
	return r
}

func operation(s *engine.Step) string {
	if s.Operation.Key == "" {
		return s.Kind
	}
	return s.Kind + "." + s.Operation.Name
}

func riskWord(r engine.Risk) string {
	if r == engine.RiskIrreversible {
		return "irreversible"
	}
	return "destructive"
}
