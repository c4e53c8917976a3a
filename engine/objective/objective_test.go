package objective

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// told is an event so many seconds AFTER noon.
type told struct {
	at int
	e  engine.Event
}

func hear(w interface{ Hear(engine.Stamped) }, events ...told) {
	for _, x := range events {
		w.Hear(engine.Stamped{At: noon.Add(time.Duration(x.at) * time.Second), Event: x.e})
	}
}

var began = told{0, engine.RunStarted{Run: "r", Playbook: "p", PlaybookDigest: "d", Environment: "staging", Started: noon}}

func ok(path string) engine.Event { return engine.StepFinished{Step: path, State: engine.OK} }

func intend(path string) engine.Event { return engine.StepIntended{Step: path} }

func spent(t Times) map[string]int {
	out := map[string]int{}
	for _, s := range t.Steps {
		out[s.Path] = int(s.Spent.Seconds())
	}
	return out
}

func TestStepsAreMeasuredByTheirEvents(t *testing.T) {
	w := NewStopwatch()
	data := noon.Add(-time.Hour)
	hear(w, began,
		told{2, ok("look")},     // it reads: since the run began
		told{2, intend("load")}, //
		told{9, ok("load")},     // 7
		told{10, engine.StepSkipped{Step: "never"}},
		told{10, engine.ItemsListed{Step: "each", Keys: []string{"a/1", "b"}}},
		told{10, intend("each[a/1]")},
		told{12, ok("each[a/1]")},
		told{12, engine.StepSkipped{Step: "each[b]"}},
		told{13, intend("each[c]/inner")},
		told{15, ok("each[c]/inner")},                                 // the loop as a whole: 5
		told{20, engine.DoneIfAsked{Step: "made", Asked: engine.Yes}}, // 5
		told{20, engine.ApprovalAsked{Step: "yes"}},
		told{50, engine.ApprovalGiven{Step: "yes"}}, // 30
		told{50, engine.RunFinished{State: engine.RunOK, Outputs: engine.Typed{V: engine.Record{"data_at": data}}}})
	got := w.Times()
	want := map[string]int{"look": 2, "load": 7, "each": 5, "made": 5, "yes": 30}
	if !reflect.DeepEqual(spent(got), want) {
		t.Errorf("measured %v, wanted %v", spent(got), want)
	}
	if got.Took() != 50*time.Second || !got.DataAt.Equal(data) || !got.Succeeded() || got.Environment != "staging" {
		t.Errorf("%+v", got)
	}
}

func TestTheTimeInWhichNobodyHasTheRunIsOfNoStep(t *testing.T) {
	w := NewStopwatch()
	hear(w, began, told{1, intend("load")}, told{3, engine.Noted{Step: "load"}}, // killed here
		told{1003, engine.RunResumed{Epoch: 1}}, told{1004, engine.Settled{Step: "load", Verdict: engine.VerdictNotDone}},
		told{1004, intend("load")}, told{1010, ok("load")}, told{1010, engine.RunFinished{State: engine.RunOK}})
	got := w.Times()
	if spent(got)["load"] != 9 || got.Down != 1000*time.Second || got.Took() != 1010*time.Second {
		t.Errorf("load %v, down %s, took %s", spent(got), got.Down, got.Took())
	}
}

func TestAStepThatHasNotEndedHasNoTime(t *testing.T) {
	w := NewStopwatch()
	hear(w, began, told{1, intend("load")})
	if got := w.Times(); len(got.Steps) != 0 {
		t.Errorf("%+v", got.Steps)
	}
}

// past are runs in which a step took so many seconds each.
func past(environment string, seconds ...int) []Times {
	var out []Times
	for _, s := range seconds {
		d := time.Duration(s) * time.Second
		out = append(out, Times{Environment: environment, State: engine.RunOK, Started: noon, Finished: noon.Add(d),
			Steps: []StepSpent{{"load", d}, {"check", time.Second}, {"a", d / 2}, {"b", d}}})
	}
	return out
}

func TestFiguresAreOfTheSameEnvironmentIfItHasAny(t *testing.T) {
	runs := append(past("staging", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20), past("live", 100)...)
	if got := Past(runs, "staging")["load"]; got != (Figure{10 * time.Second, 19 * time.Second, 20}) {
		t.Errorf("staging: %+v", got)
	}
	if got := Past(runs, "live")["load"]; got != (Figure{100 * time.Second, 100 * time.Second, 1}) {
		t.Errorf("live: %+v", got)
	}
	if got := Past(runs, "elsewhere")["load"]; got.Runs != 21 {
		t.Errorf("elsewhere: %+v", got)
	}
	failed := past("live", 50)
	failed[0].State = engine.RunFailed
	if got := Past(failed, "live"); len(got) != 0 {
		t.Errorf("a failed run says how long it takes: %v", got)
	}
}

func book(rto time.Duration) *engine.Playbook {
	return &engine.Playbook{Name: "p", Objectives: engine.Objectives{RTO: rto}, Steps: []*engine.Step{
		{ID: "load"},
		{ID: "both", Group: engine.ParallelGroup, Steps: []*engine.Step{{ID: "a"}, {ID: "b"}}},
		{ID: "check"},
		{ID: "new"},
	}}
}

func TestWhatIsToComeIsAddedUp(t *testing.T) {
	// load 10, beside each other 5 and 10, check 1.
	a := Expect(book(15*time.Second), Past(past("", 10), ""), 15*time.Second)
	if a.P50 != 21*time.Second || a.Late50 != "b" || a.Unknown != 1 || a.Runs != 1 {
		t.Errorf("%+v", a)
	}
	if a := Expect(book(30*time.Second), Past(past("", 10), ""), 30*time.Second); a.Late50 != "" || a.Late95 != "" {
		t.Errorf("in time: %+v", a)
	}
	if a := Expect(book(time.Second), Figures{}, time.Second); a != (Ahead{}) {
		t.Errorf("nothing is known: %+v", a)
	}
}

func TestAForecastGoesByWhatIsDone(t *testing.T) {
	p := NewPace(book(60*time.Second), Past(past("", 10), ""))
	hear(p, began, told{0, intend("load")})
	at := func(s int) Ahead { return p.Ahead(noon.Add(time.Duration(s) * time.Second)) }
	if got := at(4).P50; got != 17*time.Second {
		t.Errorf("4 s into load: %s", got)
	}
	if got := at(30).P50; got != 11*time.Second { // longer than ever: it may end at any moment
		t.Errorf("30 s into load: %s", got)
	}
	hear(p, told{30, ok("load")}, told{30, intend("a")}, told{30, intend("b")}, told{33, ok("a")})
	if got := at(35).P50; got != 6*time.Second {
		t.Errorf("5 s into b: %s", got)
	}
	hear(p, told{40, ok("b")}, told{40, engine.StepSkipped{Step: "check"}})
	if got := at(40).P50; got != 0 {
		t.Errorf("check is left out: %s", got)
	}
}

func plain(d time.Duration) string { return fmt.Sprint(d) }

func TestNewsAreToldOnce(t *testing.T) {
	p := NewPace(book(30*time.Second), Past(past("", 10), ""))
	if got := p.News(noon, plain); got != nil {
		t.Errorf("before the run: %q", got)
	}
	hear(p, began, told{0, intend("load")})
	at := func(s int) string {
		return strings.Join(p.News(noon.Add(time.Duration(s)*time.Second), plain), "; ")
	}
	for _, x := range []struct {
		at   int
		want string
	}{
		{0, ""}, {14, ""},
		{16, "half of the RTO of 30s is gone; 14s are left"},
		{17, ""},
		{20, "the RTO of 30s will be missed, in step check: 10s are left, and what is to come took 11s in half of the 1 run before"},
		{21, ""},
		{28, "2s are left of the RTO of 30s"},
		{31, "the RTO of 30s is over"},
		{32, ""},
	} {
		if got := at(x.at); got != x.want {
			t.Errorf("at %d s: %q, wanted %q", x.at, got, x.want)
		}
	}
	hear(p, told{40, engine.RunFinished{State: engine.RunOK}})
	if got := at(41); got != "" {
		t.Errorf("after the run: %q", got)
	}
}

func TestTheRareCaseWarnsMildly(t *testing.T) {
	runs := past("", 1, 1, 1, 1, 1, 1, 1, 1, 1, 100)
	p := NewPace(book(30*time.Second), Past(runs, ""))
	hear(p, began)
	got := p.News(noon, plain)
	if len(got) != 1 || !strings.Contains(got[0], "may be missed, in step load") {
		t.Errorf("%q", got)
	}
}

func TestPromisesAreHeldAgainstWhatCameOfThem(t *testing.T) {
	o := engine.Objectives{RTO: time.Minute, RPO: 15 * time.Minute}
	run := func(state engine.RunState, took, age time.Duration) Times {
		x := Times{State: state, Started: noon, Finished: noon.Add(took)}
		if age > 0 {
			x.DataAt = noon.Add(-age)
		}
		return x
	}
	for _, x := range []struct {
		t        Times
		now      time.Duration
		rto, rpo Verdict
	}{
		{run(engine.RunOK, 59*time.Second, time.Minute), time.Hour, Held, Held},
		{run(engine.RunDegraded, 61*time.Second, 16*time.Minute), time.Hour, Missed, Missed},
		{run(engine.RunOK, time.Second, 0), time.Hour, Held, Unknown},
		{run(engine.RunFailed, time.Second, 0), 30 * time.Second, Running, Running},
		{run(engine.RunFailed, time.Second, 0), 90 * time.Second, Missed, Running},
		{Times{State: engine.Running, Started: noon}, 30 * time.Second, Running, Running},
	} {
		got := Judge(o, x.t, noon.Add(x.now))
		if len(got) != 2 || got[0].Verdict != x.rto || got[1].Verdict != x.rpo {
			t.Errorf("%+v: %+v", x.t, got)
		}
	}
	backup := engine.Objectives{RPO: time.Hour}
	for age, want := range map[time.Duration]Verdict{59 * time.Minute: Held, 61 * time.Minute: Missed} {
		if got := Judge(backup, run(engine.RunOK, time.Second, 0), noon.Add(age)); len(got) != 1 || got[0].Verdict != want || got[0].Measured != age {
			t.Errorf("a backup %s old: %+v", age, got)
		}
	}
	if got := Judge(engine.Objectives{}, run(engine.RunOK, 1, 1), noon); got != nil {
		t.Errorf("nothing was promised: %+v", got)
	}
}
