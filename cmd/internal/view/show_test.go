package view

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

var (
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ops  = engine.Person{User: "ops", Host: "bastion", PID: 42}
)

const runID = "20261121-120000-k3f9"

// book is a playbook whose one step must not be repeated.
func book() *engine.Playbook {
	op := &engine.Operation{Name: "exec", Class: engine.ClassUnrepeatable}
	return &engine.Playbook{Name: "pay", Objectives: engine.Objectives{RTO: time.Minute}, Steps: []*engine.Step{
		{ID: "look", Kind: "sql", Operation: &engine.Operation{Name: "query", Class: engine.ClassRead}, Target: "db", Class: engine.ClassRead},
		{ID: "pay", Title: "Pay the invoice", Kind: "exec", Operation: op, Class: engine.ClassUnrepeatable,
			Params: engine.Template{Literal: engine.Record{"argv": engine.List{"pay", "it's"}}}},
	}}
}

func runOf(t *testing.T, events ...engine.Event) *engine.Run {
	t.Helper()
	r := engine.NewRun(book(), engine.Given{})
	all := append([]engine.Event{engine.RunStarted{Run: runID, Playbook: "pay", Started: noon, By: ops, Inputs: engine.Typed{V: engine.Record{}}}}, events...)
	for i, e := range all {
		for ready := r.Next(); len(ready.Commands) > 0; ready = r.Next() {
			for _, c := range ready.Commands {
				r.Ended(c)
			}
		}
		if err := r.Apply(engine.Stamped{At: noon.Add(time.Duration(i) * time.Second), Event: e}); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	return r
}

var looked = engine.StepFinished{Step: "look", Attempt: 1, State: engine.OK, Result: engine.Typed{V: engine.Record{}}}

func inDoubt(t *testing.T) *engine.Run {
	return runOf(t, looked,
		engine.StepIntended{Step: "pay", Attempt: 1, Token: runID + "/pay", Class: engine.ClassUnrepeatable, Digest: "d"},
		engine.RunResumed{By: ops, Epoch: 1},
		engine.Settled{Step: "pay", Verdict: engine.VerdictUnknown, Evidence: []string{"the program has ended; nobody saw its exit code"}},
		engine.StepFinished{Step: "pay", Attempt: 1, State: engine.InDoubt, Evidence: []string{"the program has ended; nobody saw its exit code"}},
		engine.RunPaused{State: engine.Waiting, Reason: "step pay is in doubt"},
	)
}

func TestShowOfAStepInDoubtSaysAllThatAPersonNeeds(t *testing.T) {
	var b bytes.Buffer
	if err := Show(&b, Style{}, Shown{Run: inDoubt(t), State: engine.Waiting, Now: noon.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/in_doubt.golden")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("shown:\n%s\nwanted:\n%s", b.String(), want)
	}
}

func TestShowAsJSON(t *testing.T) {
	var b bytes.Buffer
	if err := ShowJSON(&b, Shown{Run: inDoubt(t), State: engine.Waiting, Now: noon}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID, State string
		Steps     []struct{ Path, State string }
		Next      []NextStep
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != runID || got.State != "waiting" || len(got.Steps) != 2 || got.Steps[1].State != "in doubt" || len(got.Next) == 0 {
		t.Fatalf("%+v", got)
	}
}

func TestAFailureIsRepeatedAtTheEnd(t *testing.T) {
	r := runOf(t, looked,
		engine.StepIntended{Step: "pay", Attempt: 1, Token: "t", Class: engine.ClassUnrepeatable, Digest: "d"},
		engine.StepFinished{Step: "pay", Attempt: 1, State: engine.Failed, Effect: engine.EffectStands, Error: "exit code 3"},
		engine.RunFinished{State: engine.RunFailed})
	var b bytes.Buffer
	if err := Ended(&b, Style{}, Shown{Run: r, State: engine.RunFailed, Now: noon.Add(2 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"failed after 2 min", "2 steps (1 ok, 1 failed)", "RTO 1 min: missed, 2 min are gone",
		"step pay: exit code 3 (its effect stands)", "handrail resume " + runID} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestOutputCannotMoveTheCursor(t *testing.T) {
	var b bytes.Buffer
	p := NewPlain(&b, Style{}, book())
	p.Event(engine.Stamped{At: noon, Event: engine.StepFinished{Step: "pay\x1b[2J", State: engine.Failed, Error: "a\x1b[31mb", Tail: "c\x07\x9bd\ne"}})
	if strings.ContainsAny(b.String(), "\x1b\x07\u009b") {
		t.Fatalf("%q", b.String())
	}
	if !strings.Contains(b.String(), "| e") {
		t.Fatalf("the tail is gone: %q", b.String())
	}
}

func TestEveryEventIsOneLineOfJSON(t *testing.T) {
	var b bytes.Buffer
	j := &JSON{W: &b}
	j.Event(engine.Stamped{At: noon, Event: engine.StepFinished{Step: "a", State: engine.Failed, Error: "two\nlines"}})
	j.Event(engine.Stamped{At: noon, Event: engine.RunFinished{State: engine.RunFailed}})
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 2 || j.Err != nil {
		t.Fatalf("%d lines, %v", len(lines), j.Err)
	}
	for _, l := range lines {
		if _, err := engine.UnmarshalEvent([]byte(l)); err != nil {
			t.Errorf("%s: %v", l, err)
		}
	}
}

func TestLiveLinesGoWhenTheirStepEnds(t *testing.T) {
	var b lockedBuffer
	now := noon.Add(10 * time.Second)
	l := NewLive(&b, Style{}, book(), noon, func() time.Time { return now }, func() int { return 60 })
	l.Begun(engine.Execute{Call: engine.Call{Step: "pay", Kind: "exec", Operation: "exec"}}, noon)
	l.Done("pay", 5, 10, "rows")
	l.mu.Lock()
	l.draw("")
	l.mu.Unlock()
	if s := b.String(); !strings.Contains(s, "50 % of 10 rows") || !strings.Contains(s, "50 s left of the RTO of 1 min") {
		t.Errorf("moving lines: %q", s)
	}
	l.Event(engine.Stamped{At: now, Event: engine.StepFinished{Step: "pay", State: engine.OK}})
	l.Close()
	s := b.String()
	if last := s[strings.LastIndex(s, "\x1b[J"):]; !strings.HasPrefix(last, "\x1b[Jok ") || strings.Contains(last, "RTO") {
		t.Errorf("left on the screen: %q", last)
	}
}

func TestAHeldScreenIsLeftAlone(t *testing.T) {
	var b lockedBuffer
	l := NewLive(&b, Style{}, book(), noon, func() time.Time { return noon }, func() int { return 60 })
	l.Begun(engine.AskPerson{Step: "sure"}, noon)
	l.Hold()
	before := b.String()
	l.mu.Lock()
	l.draw("")
	l.mu.Unlock()
	if b.String() != before {
		t.Errorf("drawn over a question: %q", b.String()[len(before):])
	}
	l.Release()
	l.Close()
}

func TestDurationsAsAPersonSaysThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 999 * time.Microsecond: "0 ms", 3 * time.Millisecond: "3 ms", 1200 * time.Millisecond: "1.2 s",
		12900 * time.Millisecond: "12 s", time.Minute: "1 min", 250 * time.Second: "4 min 10 s", 125 * time.Minute: "2 h 5 min",
		2 * time.Hour: "2 h", -time.Second: "-1.0 s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
}

func TestCommandsCanBePasted(t *testing.T) {
	for _, word := range []string{"pay", "each[a b]/pay", "it's", "", "$(reboot)", "a;b", "*"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q: %q, %v", word, out, err)
		}
	}
}
