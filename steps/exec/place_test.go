package exec_test

import (
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// stepOn is an attempt on a target.
func stepOn(t *testing.T, target steps.Target, params engine.Record) *step {
	t.Helper()
	op, err := newKind().Decode("exec", params)
	if err != nil {
		t.Fatal(err)
	}
	call := engine.Call{Step: "x", Kind: "exec", Operation: "exec", Target: target.Name, Class: engine.ClassUnrepeatable, Attempt: 1, Token: "run/" + t.Name()}
	s := &step{op: op}
	s.env, s.rec = steptest.Env(t, newKind(), call, target, steps.Full)
	return s
}

func TestElsewhereAProgramGetsWhatIsHandedOverAndNothingMore(t *testing.T) {
	t.Setenv("DB_PASSWORD", "hunter22")
	t.Setenv("WANTED", "it's $wanted")
	b := newBox(t)
	for where, target := range map[string]steps.Target{
		"over ssh":       {Name: "box", Type: "ssh", Settings: servers.SSH(t).Settings()},
		"in a container": b.target,
	} {
		params := engine.Record{"argv": engine.List{"sh", "-c", `env; echo "[$(cat)]"; exit 4`}, "inherit_env": engine.List{"WANTED"},
			"env": engine.Record{"N": int64(3)}, "stdin": "what it's to read", "codes": engine.List{int64(4)}}
		if target.Type == "docker" {
			params["container"] = b.name
		}
		for _, class := range []engine.Class{engine.ClassUnrepeatable, engine.ClassRead} {
			s := stepOn(t, target, params)
			s.env.Call.Class = class
			o := s.op.Execute(t.Context(), s.env)
			out, _ := o.Result["stdout"].(string)
			for _, want := range []string{"WANTED=it's $wanted\n", "N=3\n", "HANDRAIL_TOKEN=run/", "[what it's to read]"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s, %s: no %q: %+v", where, class, want, o)
				}
			}
			if strings.Contains(out, "hunter22") || o.Err != "" || o.Result["code"] != int64(4) || o.Result["truncated"] != false {
				t.Errorf("%s, %s: %+v", where, class, o)
			}
			if notes := len(s.rec.Notes()); (notes > 0) != (class == engine.ClassUnrepeatable) {
				t.Errorf("%s, %s: %d notes", where, class, notes)
			}
		}
	}
}

func TestAProgramElsewhereThatTakesTooLongIsEndedThere(t *testing.T) {
	b := newBox(t)
	for where, target := range map[string]steps.Target{
		"over ssh":       {Name: "box", Type: "ssh", Settings: servers.SSH(t).Settings()},
		"in a container": b.target,
	} {
		params := engine.Record{"argv": engine.List{"sh", "-c", "echo started; sleep 1000"}, "kill_after": 5 * time.Second}
		if target.Type == "docker" {
			params["container"] = b.name
		}
		s := stepOn(t, target, params)
		s.env.Call.Timeout = 7 * time.Second
		ctx, stop := withDeadlineOn(t.Context(), func() bool { return strings.Contains(s.rec.Output(), "started") })
		o := s.op.Execute(ctx, s.env)
		stop()
		if !strings.Contains(o.Err, "signal 15") && !strings.Contains(o.Err, "SIGTERM") || o.Effect != engine.EffectUnknown || o.InDoubt || o.Result["code"] != int64(143) {
			t.Errorf("%s: %+v", where, o)
		}
	}
}

func TestAnAuthorsIdempotentStepIsRunAgainOverSSH(t *testing.T) {
	server := servers.SSH(t)
	target := steps.Target{Name: "box", Type: "ssh", Settings: server.Settings()}
	l := newLedger(t)
	s := stepOn(t, target, engine.Record{"argv": engine.List{"sh", "-c", `echo ran >> "$L"`}, "env": engine.Record{"L": l.path}})
	s.env.Call.Class = engine.ClassIdempotent
	for range 2 {
		if o := s.op.Execute(t.Context(), s.env); o.Err != "" {
			t.Errorf("%+v", o)
		}
		s.env.Again = true
	}
	if n := l.count("ran"); n != 2 {
		t.Errorf("ran %d times", n)
	}
}

func TestAPreviewElsewhereSaysWhatItHasSeen(t *testing.T) {
	b := newBox(t)
	server := servers.SSH(t)
	box := steps.Target{Name: "box", Type: "ssh", Settings: server.Settings()}
	preview := func(target steps.Target, params engine.Record) (engine.Impact, string) {
		t.Helper()
		s := stepOn(t, target, params)
		s.env, s.rec = steptest.Env(t, newKind(), s.env.Call, target, steps.ReadOnly)
		impact, err := s.op.Preview(t.Context(), s.env)
		if err != nil {
			t.Fatal(err)
		}
		var facts []string
		for _, f := range impact.Facts {
			facts = append(facts, f.Name+"="+engine.Text(f.Value))
		}
		return impact, strings.Join(facts, "\n")
	}
	argv := engine.Record{"argv": engine.List{"touch", "/x"}}
	i, facts := preview(box, argv)
	if i.Standing != engine.StandingWould || i.Would != "on box, run touch /x" || !strings.Contains(facts, "which lets us in") || !strings.Contains(facts, "program=not looked for") {
		t.Errorf("%+v", i)
	}
	argv["container"] = b.name
	if i, facts = preview(b.target, argv); i.Standing != engine.StandingWould || i.Would != "in "+b.name+", run touch /x" || !strings.Contains(facts, "running") {
		t.Errorf("%+v", i)
	}
	argv["container"] = "no-such-container"
	if i, _ = preview(b.target, argv); i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, "no-such-container") {
		t.Errorf("%+v", i)
	}
	server.Kill()
	delete(argv, "container")
	if i, _ = preview(box, argv); i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, "no ssh server answers") {
		t.Errorf("%+v", i)
	}
}

func TestAProgramInAContainerIsFoundAgainByItsExec(t *testing.T) {
	b := newBox(t)
	s := stepOn(t, b.target, engine.Record{"argv": engine.List{"sh", "-c", "echo x >> /tmp/ledger; exit 3"}, "container": b.name, "codes": engine.List{int64(3)}})
	if o := s.op.Execute(t.Context(), s.env); o.Err != "" {
		t.Fatalf("%+v", o)
	}
	if x := s.settle(t.Context()); x.Verdict != engine.VerdictDone || x.Result["code"] != int64(3) {
		t.Errorf("%+v", x)
	}
	s.env.Call.Note = nil
	if x := s.settle(t.Context()); x.Verdict != engine.VerdictNotDone || !x.Dead {
		t.Errorf("%+v", x)
	}
	if got := b.run(t, "cat /tmp/ledger"); got != "x\n" {
		t.Errorf("%q", got)
	}
}
