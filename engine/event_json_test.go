package engine

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestWhatIsWrittenQuicklyIsWhatJSONWouldWrite: encoding/json is the oracle, so that both ways of writing an
// event give the same bytes, whatever is in it.
func TestWhatIsWrittenQuicklyIsWhatJSONWouldWrite(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{
		"", "", "plain", `"quoted" \ back`, "a\nb\tc\x00\x1f\x7f", "ü Ünïcode ไทย 日本", "line\u2028sep\u2029", "\xff\xfe broken",
		"<b>&amp;</b>", "a & b", strings.Repeat("long ", 1000),
	}
	text := func() string { return texts[random.IntN(len(texts))] }
	values := []Value{
		nil, Record{}, Record{"code": int64(0), "stdout": "", "stderr": "", "truncated": false}, Record{"$x": "<", "y": List{1.5, true, nil}},
		Record{"at": time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), "b": Bytes("\x00\xff"), "s": Secret{Name: "n"}, "d": time.Minute}, text(),
	}
	quick := 0
	for range 5000 {
		lines := make([]string, random.IntN(3))
		for i := range lines {
			lines[i] = text()
		}
		events := []Event{
			StepIntended{Step: text(), Attempt: random.IntN(3), Token: text(), Class: Class(random.IntN(len(classNames))), Digest: text()},
			StepFinished{
				Step: text(), Attempt: random.IntN(3), State: State(random.IntN(len(stateNames))), Effect: Effect(random.IntN(len(effectNames))),
				Result: Typed{values[random.IntN(len(values))]}, Error: text(), Message: text(), Tail: text(), Evidence: lines, Withheld: random.IntN(2) == 0, CutOff: random.IntN(2) == 0,
			},
		}
		for _, e := range events {
			at := time.Date(2026, 1, 1, 0, 0, 0, random.IntN(1e9), time.UTC)
			body, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			want := `{"at":"` + at.Format(time.RFC3339Nano) + `","event":"` + EventName(e) + `",` + string(body[1:])
			got, err := AppendEvent([]byte("before "), Stamped{At: at, Event: e})
			if err != nil || string(got) != "before "+want {
				t.Fatalf("%v\n%s\nis not\n%s", err, got, want)
			}
			if !strings.ContainsAny(want, "<>&") && !strings.Contains(want, `\u003c`) && !strings.Contains(want, `\u0026`) {
				quick++
			}
		}
	}
	if quick < 1000 {
		t.Errorf("only %d events could have been written quickly", quick)
	}
	if _, err := MarshalEvent(Stamped{Event: StepFinished{Result: Typed{struct{}{}}}}); err == nil {
		t.Error("a value that cannot be written was written")
	}
}
