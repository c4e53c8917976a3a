package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// world is a target with a ledger: how often each effect happened. It crashes the engine at random,
// before or AFTER an effect, BEFORE or AFTER its result is recorded.
type world struct {
	*rand.Rand
	t       *testing.T
	pb      *Playbook
	run     *Run
	at      time.Time
	durable []Stamped // what the journal holds for certain
	written []Stamped // and what a crash may still lose
	ledger  map[string]int
	flight  map[string]Command
	crashes int
	epoch   int
	cancel  int // in how many steps somebody cancels the run; 0: nobody does

	loses bool           // answers of what may be repeated get lost
	late  map[string]int // effects that are still under way although their step was told that it has failed, with what was seen before
	lost  int
}

// randomSteps makes a tree of steps.
func (w *world) randomSteps(depth int, n *int) []*Step {
	var out []*Step
	for range 1 + w.IntN(4) {
		*n++
		id := fmt.Sprintf("s%d", *n)
		kinds := []string{"read", "idem", "tx", "once", "tx", "once"}
		if depth < 3 {
			kinds = append(kinds, "block", "parallel", "play")
		}
		words := []string{kinds[w.IntN(len(kinds))], id}
		for _, o := range []string{"each=a,b,c", "at_once=2", "done_if", "prepares", "retry=2"} {
			if w.IntN(6) == 0 && (o != "prepares" && o != "retry=2" && o != "done_if" || words[0] != "block" && words[0] != "parallel" && words[0] != "play") {
				words = append(words, o)
			}
		}
		s := parseStep(w.t, words)
		switch {
		case s.Nested != nil:
			w.randomNested(s, depth)
		case s.Group != NoGroup:
			s.Steps = w.randomSteps(depth+1, n)
		}
		if s.Group == NoGroup && len(s.DoneIf) == 0 && w.IntN(8) == 0 {
			s.Fails = saying("denied")
		}
		if s.Group == NoGroup && s.Fails == nil && w.IntN(3) == 0 {
			*n++
			s.Undo = []*Step{parseStep(w.t, []string{"idem", fmt.Sprintf("u%d", *n)})}
		}
		out = append(out, s)
	}
	return out
}

// randomNested fills a nested playbook. Its steps have the same ids as those of the playbook around it, and each is
// given an input that only it has.
func (w *world) randomNested(s *Step, depth int) {
	inner := 0
	s.Steps = w.randomSteps(depth+1, &inner)
	if w.IntN(2) == 0 {
		inner++
		s.Always = []*Step{parseStep(w.t, []string{"idem", fmt.Sprintf("s%d", inner)})}
	}
	pb := s.Nested.Playbook
	pb.Name = fmt.Sprintf("book-%d-%s", depth, s.ID)
	pb.Steps, pb.Always = s.Steps, s.Always
	pb.Vars = []FieldTemplate{{Name: "v", Value: Template{Expr: word("inputs.in")}}}
	pb.Outputs = []Output{{Name: "o", Expr: word("vars.v")}}
	s.Nested.Inputs = []FieldTemplate{{Name: "in", Value: Template{Literal: pb.Name}}}
	pb.EveryStep(func(x *Step) {
		if x.Group == NoGroup && len(x.Params.Fields) == 1 { // those of playbooks inside have theirs already
			x.Params.Fields = append(x.Params.Fields, FieldTemplate{Name: "with", Value: Template{Expr: word("vars.v")}},
				FieldTemplate{Name: "right", Value: Template{Literal: pb.Name}})
		}
	})
}

// begin starts the run, or takes it over AFTER a crash, from what a journal would still hold.
func (w *world) begin() {
	w.run = NewRun(w.pb, Given{})
	w.flight = map[string]Command{}
	if len(w.durable) == 0 {
		w.apply(RunStarted{Run: "r", Started: w.at})
		w.sync()
		return
	}
	kept := w.IntN(len(w.written) + 1) // some of what was written but not synced survives
	w.durable = append(w.durable, w.written[:kept]...)
	w.written = nil
	for i, e := range w.durable {
		if err := w.run.Apply(e); err != nil {
			w.t.Fatalf("replay of event %d %s %s: %v", i, EventName(e.Event), EventStep(e.Event), err)
		}
	}
	if w.run.State().Final() && w.run.State() != RunFailed {
		return
	}
	w.epoch++
	w.apply(RunResumed{Epoch: w.epoch})
	w.sync()
}

func (w *world) apply(e Event) {
	w.at = w.at.Add(time.Second)
	st := Stamped{At: w.at, Event: e}
	if err := w.run.Apply(st); err != nil {
		w.t.Fatalf("%s %s: %v", EventName(e), EventStep(e), err)
	}
	w.written = append(w.written, st)
}

func (w *world) sync() {
	w.durable = append(w.durable, w.written...)
	w.written = nil
	w.run.Synced()
}

// step does one thing. It says false when the process is gone: crashed, or at its end.
func (w *world) step() bool {
	if w.cancel > 0 {
		if w.cancel--; w.cancel == 0 {
			w.cancelNow()
		}
	}
	ready := w.run.Next()
	for _, e := range ready.Events {
		w.apply(e)
	}
	if ready.Sync {
		w.sync()
	}
	for _, c := range ready.Commands {
		w.flight[CommandStep(c)] = c
	}
	switch {
	case ready.Finished:
		w.sync()
		return false
	case ready.Waiting != "":
		w.answerPerson(ready.Waiting)
		return true
	case len(ready.Events)+len(ready.Commands) > 0 && w.IntN(3) > 0:
		return true
	}
	if len(w.flight) == 0 {
		return true
	}
	return w.finishOne()
}

// cancelNow has the run undone. A driver drops the reads that are of no more use.
func (w *world) cancelNow() {
	e, err := w.run.Cancel(Person{User: "ann"}, true)
	if err != nil {
		return // it has come to its end
	}
	w.apply(e)
	w.sync()
	for step, c := range w.flight {
		x, ok := c.(Execute)
		if step != "" && (!ok || !x.Class.Writes()) && !w.run.Wants(step) {
			w.run.Ended(c)
			delete(w.flight, step)
		}
	}
}

// answerPerson says what is true of a step in doubt, as the ledger has it.
func (w *world) answerPerson(waiting string) {
	step := strings.Fields(waiting)[1]
	as := ResolvedNotDone
	if w.ledger[step] > 0 {
		as = ResolvedDone
	}
	e, err := w.run.Resolve(step, as, Person{User: "ann"}, "I looked")
	if err != nil {
		w.t.Fatalf("%s: %v", waiting, err)
	}
	w.apply(e)
	w.sync()
}

// finishOne ends one command that is under way, or crashes beside it.
func (w *world) finishOne() bool {
	keys := make([]string, 0, len(w.flight))
	for k := range w.flight {
		keys = append(keys, k)
	}
	sortStrings(keys)
	c := w.flight[keys[w.IntN(len(keys))]]
	crash := w.crashes > 0 && w.IntN(5) == 0
	if crash {
		w.crashes--
	}
	if x, ok := c.(Execute); ok {
		return w.execute(x, crash)
	}
	if crash {
		return false
	}
	w.run.Ended(c)
	delete(w.flight, CommandStep(c))
	switch c := c.(type) {
	case AskDoneIf:
		a := No
		if w.ledger[c.Step] > 0 {
			a = Yes
		}
		w.apply(DoneIfAsked{Step: c.Step, Asked: a})
	case Prepare:
		w.apply(Prepared{Step: c.Step, Seen: Typed{int64(w.ledger[c.Step])}})
	case Pause:
		w.apply(RetryDue{Step: c.Step})
	case CheckMemory:
		w.apply(MemoryChecked{})
	case Settle:
		w.settle(c)
	}
	return true
}

// execute lets the effect happen, or not, and crashes before the result is recorded if asked to.
func (w *world) execute(x Execute, crash bool) bool {
	if crash && w.IntN(2) == 0 {
		return false // before the effect
	}
	if with := x.Params["with"]; with != x.Params["right"] {
		w.t.Fatalf("step %s was given the input of another playbook: %v", x.Step, with)
	}
	if seen, underWay := w.late[x.Step]; underWay {
		if !x.Again {
			w.t.Fatalf("step %s is begun anew beside an attempt that is still under way", x.Step)
		}
		if w.ledger[x.Step] == seen { // it is waited for
			w.ledger[x.Step]++
		}
		delete(w.late, x.Step)
	}
	fails := w.IntN(12) == 0
	refused := w.run.FailsOf(x.Step) != nil
	if x.Class.Writes() {
		w.mustBeIntended(x)
	}
	lost := w.loses && x.Class == ClassIdempotent && x.Seen != nil && !fails && !refused && w.IntN(2) == 0
	switch {
	case lost && w.IntN(2) == 0:
		w.late[x.Step] = int(mustInt(x.Seen))
	case x.Class.Writes() && !fails && !refused:
		if x.Class != ClassIdempotent || x.Seen == nil || w.ledger[x.Step] == int(mustInt(x.Seen)) {
			w.ledger[x.Step]++
		}
	}
	if crash {
		return false // AFTER the effect
	}
	w.run.Ended(x)
	delete(w.flight, x.Step)
	o := Outcome{Result: Record{"n": int64(1)}}
	switch {
	case lost:
		o = Outcome{Err: "the answer was lost", InDoubt: true, Effect: EffectUnknown}
		w.lost++
	case fails:
		o = Outcome{Err: "no such luck"}
	case refused:
		o = Outcome{Err: "permission denied"}
	}
	w.apply(w.run.Judge(x, o, 0))
	return true
}

func mustInt(v Value) int64 { n, _ := v.(int64); return n }

// mustBeIntended: the intent of this very attempt is durable before its effect.
func (w *world) mustBeIntended(x Execute) {
	for _, e := range w.durable {
		if i, ok := e.Event.(StepIntended); ok && i.Step == x.Step && i.Attempt == x.Attempt {
			return
		}
	}
	w.t.Fatalf("step %s has its effect, and its intent is not durable", x.Step)
}

// settle tells the truth about a transaction, and about anything else that it is not known.
func (w *world) settle(c Settle) {
	s := Settlement{Dead: true}
	if c.Class == ClassTransactional {
		s.Verdict = VerdictNotDone
		if w.ledger[c.Step] > 0 {
			s.Verdict = VerdictDone
		}
	}
	var asked *Answer
	if s.Verdict == VerdictUnknown && len(c.Questions) > 0 {
		asked = &Answer{Asked: No}
		if w.ledger[c.Step] > 0 {
			asked.Asked = Yes
		}
	}
	for _, e := range w.run.JudgeSettled(c, s, asked) {
		w.apply(e)
	}
}

func sortStrings(s []string) {
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// TestNoCrashLosesOrRepeatsAnEffect runs random playbooks, some of whose steps are expected to be refused, in a world that crashes the engine at
// random, resumes them until they are done, and asks the ledger.
func TestNoCrashLosesOrRepeatsAnEffect(t *testing.T) {
	lost := 0
	for seed := range uint64(3000) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, ledger: map[string]int{}, at: time.Unix(1e9, 0), crashes: 8,
			loses: true, late: map[string]int{}}
		n := 0
		w.pb = &Playbook{Name: "p"}
		w.pb.Steps = w.randomSteps(0, &n)
		for round := 0; ; round++ {
			if round > 200 {
				t.Fatalf("seed %d: the run does not come to an end; it is %s", seed, w.run.State())
			}
			w.begin()
			for alive := true; alive; {
				alive = w.step()
			}
			if w.run.State() == RunOK {
				break
			}
			if w.run.State().Final() && w.run.State() != RunFailed {
				t.Fatalf("seed %d: the run is %s", seed, w.run.State())
			}
		}
		w.checkLedger(seed)
		lost += w.lost
	}
	if lost < 500 {
		t.Errorf("only %d answers were lost; the test shows little", lost)
	}
}

// TestUndoTakesBackWhatHappenedAndNothingElse cancels random runs at random, crashes included.
func TestUndoTakesBackWhatHappenedAndNothingElse(t *testing.T) {
	undone := 0
	for seed := range uint64(3000) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 2)), t: t, ledger: map[string]int{}, at: time.Unix(1e9, 0), crashes: 6}
		n := 0
		w.pb = &Playbook{Name: "p"}
		w.pb.Steps = w.randomSteps(0, &n)
		w.cancel = 1 + w.IntN(40)
		for round := 0; ; round++ {
			if round > 200 {
				t.Fatalf("seed %d: the run does not come to an end; it is %s", seed, w.run.State())
			}
			w.begin()
			for alive := true; alive; {
				alive = w.step()
			}
			if s := w.run.State(); s == RunOK || s == RunUndone {
				break
			}
		}
		if w.run.State() == RunUndone {
			undone++
			w.checkUndone(seed)
		}
	}
	if undone < 1000 {
		t.Errorf("only %d runs were undone; the test shows little", undone)
	}
}

// checkUndone: the undo of a step ran if, and only if, the step has an effect that stands.
func (w *world) checkUndone(seed uint64) {
	for _, n := range w.run.nodes {
		if len(n.def.Undo) == 0 || n.role != roleLeaf {
			continue
		}
		path := framePrefix(n.frame) + n.def.Undo[0].ID
		did := w.ledger[path] > 0
		happened := n.effective()
		if did != happened {
			w.t.Errorf("seed %d: step %s is %s, effect %s, and its undo ran: %v", seed, n.path, n.state, n.effect, did)
		}
		if w.ledger[n.path] > 0 && !happened && n.def.Class.Writes() && n.state != Already && n.state != Resolved {
			w.t.Errorf("seed %d: step %s had its effect and is %s: the effect is lost", seed, n.path, n.state)
		}
	}
}

// checkLedger: every step that is ok had its effect exactly once.
func (w *world) checkLedger(seed uint64) {
	w.run.EachStep(func(v StepView) {
		if v.Group || v.State == Pending || w.run.GroupOf(v.Path) != "" {
			return
		}
		want := 1
		if v.Class == ClassRead || v.Class == ClassUnset || w.run.FailsOf(v.Path) != nil {
			want = 0
		}
		got := w.ledger[v.Path]
		// What is idempotent may be done again, if nobody looked before; it is the target's condition that counts.
		if looked := w.run.nodes[v.Path].def.Operation.Prepares; got == want || v.Class == ClassIdempotent && !looked && got >= 1 {
			return
		}
		w.t.Errorf("seed %d: step %s is %s and its effect happened %d times", seed, v.Path, v.State, got)
	})
}
