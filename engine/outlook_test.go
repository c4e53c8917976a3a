package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestEveryOperationIsLookedAt: whether or not a run would come there, nested playbooks and probes included, with what
// is known of the parameters.
func TestEveryOperationIsLookedAt(t *testing.T) {
	pb := parsePlaybook(t, `read a with=inputs.x
play n in.y=inputs.x
  vars v=inputs.y
  read b with=vars.v when=false
  tx c with=steps.b.q
  always
    idem d with=inputs.z
tx e done_if with=inputs.unknown
  undo
    idem f with=item
`)
	var got []string
	pb.EachOutlook(Record{"inputs": Record{"x": int64(1), "unknown": Unknown{}}}, func(o Outlook) {
		with := "known"
		if v, ok := o.Params["with"]; !ok {
			with = "none"
		} else if _, unknown := v.(Unknown); unknown {
			with = "unknown"
		}
		got = append(got, fmt.Sprintf("%s %s %s", o.Step, o.Class, with))
	})
	want := []string{"a read known", "n/b read known", "n/c transactional unknown", "n/d idempotent unknown", "e read none", "e transactional unknown", "f idempotent unknown"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
