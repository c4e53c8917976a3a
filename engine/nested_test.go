package engine

import (
	"strings"
	"testing"
	"time"
)

// nestedRun is a run of a playbook in the stories' notation, begun.
func nestedRun(t *testing.T, src string, given Given) *Run {
	t.Helper()
	r := NewRun(parsePlaybook(t, src), given)
	if err := r.Apply(Stamped{At: time.Unix(1e9, 0), Event: RunStarted{Run: "r1", Started: time.Unix(1e9, 0)}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// settleDown applies what the core decides by itself, each event through its written form, and gives the first command.
func settleDown(t *testing.T, r *Run, written *strings.Builder, live bool) Command {
	t.Helper()
	for range 100 {
		ready := r.Next()
		for _, e := range ready.Events {
			st := Stamped{At: time.Unix(1e9, 0), Event: e}
			b, err := MarshalEvent(st)
			if err != nil {
				t.Fatal(err)
			}
			written.Write(b)
			if !live {
				if st, err = UnmarshalEvent(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Apply(st); err != nil {
				t.Fatal(err)
			}
		}
		if len(ready.Commands) > 0 {
			return ready.Commands[0]
		}
	}
	t.Fatal("the core does not come to rest")
	return nil
}

// TestASecretIsGivenToANestedPlaybookAndNotRecorded: it is there live, and AFTER a replay, which reads no secret.
func TestASecretIsGivenToANestedPlaybookAndNotRecorded(t *testing.T) {
	src := "play n in.pw=secrets.db in.dir=inputs.dir\n  read a with=inputs.pw\n"
	for _, live := range []bool{true, false} {
		var written strings.Builder
		r := nestedRun(t, src, Given{Secrets: Record{"db": NewSecret("db", "hunter2")}})
		r.start.Inputs.V = Record{"dir": "/x"}
		x, ok := settleDown(t, r, &written, live).(Execute)
		if got, _ := Reveal(x.Params["with"]); !ok || got != "hunter2" {
			t.Errorf("live %v: it was given %q", live, got)
		}
		if strings.Contains(written.String(), "hunter2") || !strings.Contains(written.String(), `"dir"`) {
			t.Errorf("written: %s", written.String())
		}
	}
}

// TestAnApprovalIsBoundToTheNestedPlaybook: other bytes of it, another digest.
func TestAnApprovalIsBoundToTheNestedPlaybook(t *testing.T) {
	digest := func(change func(*Playbook)) string {
		r := nestedRun(t, "play n\n  read a\nask sure\n", Given{})
		change(r.pb.Steps[0].Nested.Playbook)
		return r.approvalDigest("sure")
	}
	same := func(*Playbook) {}
	first := digest(same)
	if again := digest(same); again != first {
		t.Error("the digest is not always the same")
	}
	if first == digest(func(p *Playbook) { p.Digest = "other" }) {
		t.Error("an approval would hold for another nested playbook")
	}
}

// TestAdoptionLooksAtStepsByTheirPath: both playbooks have a step a.
func TestAdoptionLooksAtStepsByTheirPath(t *testing.T) {
	src := "tx a\nplay n each=x,y\n  tx a\n  tx b\n"
	r := nestedRun(t, src, Given{})
	mark := func(pb *Playbook) { pb.EachPath(func(path string, s *Step) { s.Digest = path }) }
	mark(r.pb)
	for range 2 { // a, and a of the first item
		x := settleDown(t, r, &strings.Builder{}, true).(Execute)
		r.Ended(x)
		if err := r.Apply(Stamped{Event: r.Judge(x, Outcome{Result: Record{}}, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for path, refused := range map[string]bool{"a": true, "n/a": true, "n/b": false} {
		next := parsePlaybook(t, src)
		mark(next)
		next.EachPath(func(at string, s *Step) {
			if at == path {
				s.Digest = "changed"
			}
		})
		if err := r.CheckAdoption(next); (err != nil) != refused {
			t.Errorf("%s changed: %v", path, err)
		}
	}
	next := parsePlaybook(t, src)
	next.Name = "book-n"
	if err := r.CheckAdoption(next); err == nil || !strings.Contains(err.Error(), "which runs book-n") {
		t.Errorf("the nested playbook in the place of the whole: %v", err)
	}
}

// TestAPlanPassesOnWhatIsNotKnown: inputs, vars and outputs of a nested playbook are unknown where they wait for a step.
func TestAPlanPassesOnWhatIsNotKnown(t *testing.T) {
	r := nestedRun(t, "tx a\nplay n in.x=steps.a.v\n  vars v=inputs.x\n  read b with=vars.v\n  outputs o=vars.v fixed=true\nread z with=steps.n.o\n", Given{Preview: true})
	want := map[string]bool{"n/b": true, "z": true}
	for range 3 {
		ready := r.Next()
		for len(ready.Commands) == 0 {
			for _, e := range ready.Events {
				if err := r.Apply(Stamped{Event: e}); err != nil {
					t.Fatal(err)
				}
			}
			ready = r.Next()
		}
		x := ready.Commands[0].(Execute)
		r.Ended(x)
		if u, _ := x.Params["with"].(Unknown); want[x.Step] && u.After != "a" {
			t.Errorf("%s is given %v", x.Step, x.Params["with"])
		}
		delete(want, x.Step)
		if err := r.Apply(Stamped{Event: Assumed{Step: x.Step, After: x.Step, State: OK}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(want) > 0 {
		t.Errorf("not reached: %v", want)
	}
	if got := r.Result("n"); got["fixed"] != true {
		t.Errorf("outputs %v", got)
	}
}
