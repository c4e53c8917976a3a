package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A story is a file in testdata: a playbook in a small notation, then directives, each followed by
// what the core said of it. `go test ./engine -update` writes what it says now.
//
// A playbook line is a kind (read, idem, tx, once, tell, ask, block, parallel, undo, always), an id
// and options. Directives are listed in [teller.directive].
var update = flag.Bool("update", false, "rewrite the stories in testdata")

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".story"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(src))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(src) {
				t.Errorf("the core tells it differently now:\n%s", diffLines(string(src), got))
			}
		})
	}
}

func diffLines(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for i := range max(len(w), len(g)) {
		var x, y string
		if i < len(w) {
			x = w[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			fmt.Fprintf(&b, "line %d\n  want %s\n  got  %s\n", i+1, x, y)
		}
	}
	return b.String()
}

// tell plays a story and returns it with what the core said.
func tell(t *testing.T, src string) string {
	head, body, found := strings.Cut(src, "----\n")
	if !found {
		t.Fatal("a story needs a line ---- between its playbook and its directives")
	}
	pb := parsePlaybook(t, head)
	s := &teller{t: t, pb: pb, at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), out: map[string]Command{}}
	var b strings.Builder
	b.WriteString(head + "----\n")
	for _, line := range strings.Split(strings.TrimRight(body, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		b.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s.said = nil
		s.directive(strings.Fields(line))
		for _, said := range s.said {
			b.WriteString("  " + said + "\n")
		}
	}
	s.checkReplay()
	return b.String()
}

type teller struct {
	t      *testing.T
	pb     *Playbook
	run    *Run
	at     time.Time
	events []Stamped
	prints []string // the fingerprint after each event
	out    map[string]Command
	said   []string
}

func (s *teller) say(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// apply records an event through its written form, as a journal would.
func (s *teller) apply(e Event) bool {
	s.at = s.at.Add(time.Second)
	st := Stamped{At: s.at, Event: e}
	if err := s.run.Apply(st); err != nil {
		s.say("refused: %v", err)
		return false
	}
	written, err := MarshalEvent(st)
	if err != nil {
		s.t.Fatal(err)
	}
	read, err := UnmarshalEvent(written)
	if err != nil {
		s.t.Fatalf("%s: %v", written, err)
	}
	s.events = append(s.events, read)
	s.prints = append(s.prints, fingerprint(s.run))
	s.say("%s", briefEvent(e))
	return true
}

// proceed lets the core decide until it has nothing more to say.
func (s *teller) proceed() {
	for range 1000 {
		ready := s.run.Next()
		for _, e := range ready.Events {
			if !s.apply(e) {
				return
			}
		}
		for _, c := range ready.Commands {
			s.out[keyOf(c)] = c
			s.say("%s", briefCommand(c, ready.Sync))
		}
		if ready.Sync {
			s.run.Synced()
		}
		switch {
		case ready.Finished:
			s.say("finished %s", s.run.State())
			return
		case ready.Waiting != "":
			s.say("waiting: %s", ready.Waiting)
			return
		case len(ready.Events)+len(ready.Commands) == 0:
			return
		}
	}
	s.t.Fatal("the core does not come to rest")
}

func keyOf(c Command) string { return CommandStep(c) }

func (s *teller) take(step string) Command {
	c, ok := s.out[step]
	if !ok {
		s.t.Fatalf("no command is out for step %q; so far:\n%s", step, strings.Join(append(s.said, fingerprint(s.run)), "\n"))
	}
	delete(s.out, step)
	s.run.Ended(c)
	return c
}

func (s *teller) directive(w []string) {
	who := Person{User: "ann"}
	switch verb := w[0]; verb {
	case "start":
		s.run = NewRun(s.pb, Given{})
		inputs := Record{}
		for _, kv := range w[1:] {
			k, v, _ := strings.Cut(kv, "=")
			inputs[k] = literal(v)
		}
		s.apply(RunStarted{Run: "r1", Playbook: s.pb.Name, Inputs: Typed{inputs}, Started: s.at, By: who})
	case "done", "fail", "lost", "grade":
		s.outcome(verb, w[1], w[2:])
	case "yes", "no", "cannot":
		s.take(w[1])
		s.apply(DoneIfAsked{Step: w[1], Asked: map[string]Asked{"yes": Yes, "no": No, "cannot": CouldNotAsk}[verb]})
	case "seen":
		s.take(w[1])
		s.apply(Prepared{Step: w[1], Seen: Typed{w[2]}})
	case "due":
		s.take(w[1])
		s.apply(RetryDue{Step: w[1]})
	case "note":
		s.apply(Noted{Step: w[1], Note: Typed{w[2]}})
	case "settle":
		s.settle(w[1], w[2:])
	case "approve":
		s.person(s.run.Approve(w[1], who, s.at))
	case "reject":
		s.person(s.run.Reject(w[1], who, "not now"))
	case "expire":
		s.person(ApprovalRefused{Step: w[1], Expired: true}, nil)
	case "resolve":
		as := map[string]Resolution{"done": ResolvedDone, "not-done": ResolvedNotDone, "skip": ResolvedSkip}[w[2]]
		s.person(s.run.Resolve(w[1], as, who, "I looked"))
	case "cancel":
		s.person(s.run.Cancel(who, len(w) > 1))
	case "forgot":
		s.take("")
		s.apply(MemoryChecked{Lost: w[1:], Evidence: []string{"no marker"}})
	case "adopt":
		s.apply(PlaybookAdopted{Digest: "d2", By: who})
	case "crash":
		s.crash()
		return
	case "resume":
		s.out = map[string]Command{}
		s.apply(RunResumed{By: who, Epoch: s.run.Epoch() + 1})
	case "state":
		s.run.EachStep(func(v StepView) { s.say("%s%s", strings.Repeat(". ", v.Depth), briefState(v)) })
		return
	default:
		s.t.Fatalf("unknown directive %q", verb)
	}
	s.proceed()
}

// person applies what a person said, and takes back the question that it answers.
func (s *teller) person(e Event, err error) {
	if err != nil {
		s.say("refused: %v", err)
		return
	}
	if c, ok := s.out[EventStep(e)].(AskPerson); ok {
		s.take(c.Step)
	}
	s.apply(e)
	if _, cancel := e.(CancelAsked); cancel {
		for step, c := range s.out { // a driver ends the reads
			if x, ok := c.(Execute); (!ok || !x.Class.Writes()) && !s.run.Wants(step) {
				s.take(step)
			}
		}
	}
}

func (s *teller) outcome(verb, step string, rest []string) {
	c, ok := s.take(step).(Execute)
	if !ok {
		s.t.Fatalf("step %s is not executing", step)
	}
	o := Outcome{Result: Record{}}
	for _, kv := range rest {
		if k, v, ok := strings.Cut(kv, "="); ok {
			o.Result[k] = literal(v)
		}
	}
	switch verb {
	case "fail":
		o = Outcome{Err: "it broke"}
		if len(rest) > 0 {
			if err := o.Effect.UnmarshalText([]byte(rest[0])); err != nil {
				s.t.Fatal(err)
			}
		}
	case "lost":
		o = Outcome{Err: "connection lost", InDoubt: true, Effect: EffectUnknown}
	case "grade":
		if err := o.Grade.UnmarshalText([]byte(rest[0])); err != nil {
			s.t.Fatal(err)
		}
		o.Message = "graded " + rest[0]
	}
	s.apply(s.run.Judge(c, o, 0))
}

func (s *teller) settle(step string, w []string) {
	c, ok := s.take(step).(Settle)
	if !ok {
		s.t.Fatalf("step %s is not settling", step)
	}
	x := Settlement{Evidence: []string{"looked"}}
	var asked *Answer
	for _, word := range w {
		switch word {
		case "done":
			x.Verdict = VerdictDone
		case "not-done":
			x.Verdict = VerdictNotDone
		case "dead":
			x.Dead = true
		case "failed":
			x.Err = "exit 1"
		case "yes":
			asked = &Answer{Asked: Yes}
		case "no":
			asked = &Answer{Asked: No}
		case "cannot":
			asked = &Answer{Asked: CouldNotAsk}
		}
	}
	for _, e := range s.run.JudgeSettled(c, x, asked) {
		s.apply(e)
	}
}

// crash throws the run away and makes it again from what was recorded.
func (s *teller) crash() {
	before := fingerprint(s.run)
	s.run = s.replay(len(s.events))
	if after := fingerprint(s.run); after != before && !s.forgets() {
		s.t.Errorf("replay differs:\n%s", diffLines(before, after))
	}
}

// forgets: the playbook has a sensitive step, whose result no journal gives back.
func (s *teller) forgets() bool {
	found := false
	s.pb.EveryStep(func(x *Step) { found = found || x.Sensitive })
	return found
}

func (s *teller) replay(n int) *Run {
	r := NewRun(s.pb, Given{})
	for i, e := range s.events[:n] {
		if err := r.Apply(e); err != nil {
			s.t.Fatalf("replay of event %d, %s: %v", i, EventName(e.Event), err)
		}
	}
	return r
}

// checkReplay: the replay of every prefix is the state that the live run had there.
func (s *teller) checkReplay() {
	r := NewRun(s.pb, Given{})
	for i, e := range s.events {
		if err := r.Apply(e); err != nil {
			s.t.Fatalf("replay of event %d, %s: %v", i, EventName(e.Event), err)
		}
		if got := fingerprint(r); got != s.prints[i] && !s.forgets() {
			s.t.Fatalf("the replay of the first %d events differs from the live run:\n%s", i+1, diffLines(s.prints[i], got))
		}
	}
}

// fingerprint is everything of a run that a journal must give back.
func fingerprint(r *Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "run %s phase %s final %s epoch %d entered %d doubts %d loose %d undo %v recheck %v vars %v outputs %v err %q memory %q\n",
		r.state, r.phase, r.final, r.epoch, r.entered, r.doubts, r.loose, r.undo, r.recheck, r.own.vars, r.outputs, r.err, r.memory)
	for _, path := range sortedPaths(r.nodes) {
		n := r.nodes[path]
		fmt.Fprintf(&b, "%s phase %d state %s effect %s attempt %d round %d stop %v loose %v lost %v admitted %v marked %v result %v",
			path, n.phase, n.state, n.effect, n.attempt, n.round, n.stop, n.loose, n.lost, n.admitted, n.marked, n.result)
		if g := n.group; g != nil {
			fmt.Fprintf(&b, " next %d keys %v items %v failed %v halted %v degraded %v rounds %d children", g.next, g.keys, g.items, g.failed, g.halted, g.degraded, g.rounds)
			for _, c := range g.children {
				b.WriteString(" " + c.path)
			}
			if g.inner != nil && !n.def.Sensitive {
				p := g.inner.play
				given := p.recorded
				if given == nil {
					given = p.inputs
				}
				fmt.Fprintf(&b, " home %s inputs %v vars %v", p.home, given, p.vars)
			}
		}
		if a := n.att; a != nil && (a.seen != nil || a.note != nil || a.class != ClassUnset || a.again || a.settled || a.asked || a.pause > 0) {
			fmt.Fprintf(&b, " seen %v note %v class %s again %v settled %v asked %v maybe %v touched %v clean %v pause %s",
				a.seen, a.note, a.class, a.again, a.settled, a.asked, a.maybe, n.touched, a.clean, a.pause)
		}
		b.WriteString("\n")
	}
	for _, n := range r.done {
		b.WriteString("done " + n.path + "\n")
	}
	spoken := make([]string, 0, len(r.spoken))
	for path, e := range r.spoken {
		spoken = append(spoken, path+" "+e.As.String())
	}
	sort.Strings(spoken)
	fmt.Fprintf(&b, "spoken %v", spoken)
	return b.String()
}

func literal(s string) Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	switch s {
	case "true":
		return true
	case "false":
		return false
	}
	if strings.Contains(s, ",") {
		var l List
		for _, e := range strings.Split(s, ",") {
			l = append(l, literal(e))
		}
		return l
	}
	return s
}
