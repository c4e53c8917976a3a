package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// everyEvent has one event of each kind that a journal holds, with every field set.
func everyEvent() []engine.Event {
	record := engine.Typed{V: engine.Record{"n": int64(1), "key": engine.NewSecret("key", "hunter2")}}
	when := noon.Add(time.Hour)
	return []engine.Event{
		engine.RunStarted{Run: testRun, Playbook: "p", PlaybookDigest: "d1", Nested: map[string]string{"low": "d6"}, Plan: "d8", Environment: "staging", EnvDigest: "d2",
			Inputs: record, Started: noon, By: tester, Version: "v1"},
		engine.VarsSet{Vars: record},
		engine.Entered{Step: "group"},
		engine.ItemsListed{Step: "each", Keys: []string{"a", "b"}, Items: engine.Typed{V: engine.List{"a", int64(2)}}},
		engine.StepSkipped{Step: "left_out", Why: "when is false"},
		engine.DoneIfAsked{Step: "guarded", Asked: engine.No, Message: "not there", Result: record},
		engine.Prepared{Step: "prepared", Seen: record, Class: engine.ClassUnrepeatable, Why: "no right", Error: "no such table"},
		engine.StepIntended{Step: "each[a]", Attempt: 2, Token: testRun + "/each[a]", Class: engine.ClassTransactional, Digest: "d3"},
		engine.Noted{Step: "each[a]", Note: engine.Typed{V: "exec 7"}},
		engine.RetryScheduled{Step: "each[a]", Pause: time.Second, Error: "deadlock", Effect: engine.EffectUnknown, CutOff: true},
		engine.RetryDue{Step: "each[a]"},
		engine.StepFinished{Step: "each[a]", Attempt: 2, State: engine.Failed, Effect: engine.EffectUnknown, CutOff: true, Result: record,
			Error: "lost", Message: "m", Tail: "last line", Evidence: []string{"e1"}, Withheld: true},
		engine.Settled{Step: "each[a]", Verdict: engine.VerdictDone, Dead: true, Evidence: []string{"e2"}, Result: record, Error: "no"},
		engine.StepResolved{Step: "each[b]", As: engine.ResolvedNotDone, By: tester, Because: "I looked", Request: "1.json"},
		engine.ApprovalAsked{Step: "sure", Message: "Sure?", Digest: "d4", Plan: "d8", Expires: when},
		engine.ApprovalGiven{Step: "sure", Digest: "d4", Plan: "d8", By: tester, Request: "2.json"},
		engine.ApprovalRefused{Step: "sure", By: tester, Because: "no", Expired: true, Request: "3.json"},
		engine.AskedAgain{Step: "proof", State: engine.Degraded, Error: "e", Message: "m", Result: record, Withheld: true},
		engine.MemoryChecked{Lost: []string{"each[a]"}, Evidence: []string{"the marker is gone"}},
		engine.PlaybookAdopted{Digest: "d5", Nested: map[string]string{"low": "d7"}, Diff: "-a\n+b\n", By: tester},
		engine.Repaired{Bytes: 9, Kept: "journal.jsonl.1.broken"},
		engine.RunPaused{State: engine.Waiting, Reason: "for a person"},
		engine.RunResumed{By: tester, Epoch: 3},
		engine.CancelAsked{By: tester, Undo: true, Request: "4.json"},
		engine.PhaseEntered{Phase: engine.PhaseUndo, Steps: []string{"each[a]"}, Final: engine.RunUndone, Round: 2},
		engine.RunFinished{State: engine.RunDegraded, Outputs: record, Error: "e"},
		engine.PlaybookBegun{Step: "low", Playbook: "low", Inputs: record, Vars: record, Withheld: true},
	}
}

// goldenEvents stamps them a second apart.
func goldenEvents() []engine.Stamped {
	var out []engine.Stamped
	for i, e := range everyEvent() {
		out = append(out, engine.Stamped{At: noon.Add(time.Duration(i)*time.Second + 7), Event: e})
	}
	return out
}

// TestJournalsOfOlderVersionsAreRead reads every journal that was ever put into testdata, and loses nothing
// of it. Those files are never written again: a change that cannot read them needs a new format.
func TestJournalsOfOlderVersionsAreRead(t *testing.T) {
	for name, golden := range goldenFiles(t) {
		t.Run(name, func(t *testing.T) {
			s := OpenStore(t.TempDir())
			closeJournal(t, create(t, s))
			if err := os.WriteFile(s.Folder(testRun, journalFile), []byte(golden), 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := s.Open(testRun, tester)
			if err != nil {
				t.Fatal(err)
			}
			read := 0
			if err := j.Replay(func(e engine.Stamped) error {
				read++
				again, err := engine.MarshalEvent(e)
				if err == nil && !strings.Contains(golden, string(again)) {
					t.Errorf("something of this is lost: %s", again)
				}
				return err
			}); err != nil || read != strings.Count(golden, `"event":`) {
				t.Fatalf("%d events, %v", read, err)
			}
			// The run goes on in the format that it was begun in.
			appendAll(t, j, intent(1))
			closeJournal(t, j)
			if j, err = s.Open(testRun, tester); err != nil {
				t.Fatal(err)
			}
			closeJournal(t, j)
		})
	}
}

func goldenFiles(t testing.TB) map[string]string {
	t.Helper()
	names, err := filepath.Glob("testdata/format-*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	out := map[string]string{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	return out
}

// TestEveryEventIsInAGoldenJournal of the newest format, in the form that it has now. HANDRAIL_GOLDEN=1
// writes one more file with those that are in none.
func TestEveryEventIsInAGoldenJournal(t *testing.T) {
	var missing []engine.Stamped
	have := 0
	for _, e := range goldenEvents() {
		b, err := engine.MarshalEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for name, golden := range goldenFiles(t) {
			found = found || strings.HasPrefix(name, fmt.Sprintf("testdata/format-%d", Format)) && strings.Contains(golden, string(b))
		}
		if !found {
			missing = append(missing, e)
		} else {
			have++
		}
	}
	switch {
	case len(missing) == 0:
	case os.Getenv("HANDRAIL_GOLDEN") != "":
		writeGolden(t, missing)
	default:
		for _, e := range missing {
			t.Errorf("%s is in no golden journal of format %d; write one with HANDRAIL_GOLDEN=1", engine.EventName(e.Event), Format)
		}
	}
}

func writeGolden(t *testing.T, events []engine.Stamped) {
	t.Helper()
	s := OpenStore(t.TempDir())
	j := create(t, s)
	for i := 0; i < len(events); i += 2 { // some lines hold two, and some are not synced at once
		if err := j.Append(events[i:min(i+2, len(events))], i%3 == 0); err != nil {
			t.Fatal(err)
		}
	}
	closeJournal(t, j)
	b, err := os.ReadFile(s.Folder(testRun, journalFile))
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp("testdata", fmt.Sprintf("format-%d-*.jsonl", Format)); err == nil {
			_, err = f.Write(b)
			err = errors.Join(err, f.Chmod(0o644), f.Close())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every kind of event is among those that are looked for, with all its fields.
func TestEveryEventHasEveryField(t *testing.T) {
	var have []string
	for _, e := range everyEvent() {
		have = append(have, engine.EventName(e))
		v := reflect.ValueOf(e)
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" && v.Field(i).IsZero() {
				t.Errorf("%s.%s is not set", v.Type().Name(), f.Name)
			}
		}
	}
	slices.Sort(have)
	if want := engine.EventNames(); !slices.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}

func TestAJournalOfANewerVersionIsRefused(t *testing.T) {
	newer := fmt.Sprintf(`"format":%d`, Format+1)
	_, _, err := damage(t, func(b []byte) []byte {
		return []byte(strings.Replace(string(b), fmt.Sprintf(`"format":%d`, Format), newer, 1))
	})
	var fault *Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), fmt.Sprintf("has format %d", Format+1)) ||
		!strings.Contains(err.Error(), "use the version that wrote it, or a newer one") {
		t.Fatal(err)
	}
}
