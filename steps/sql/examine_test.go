package sql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// examined is what is amiss with a target, told in one text.
func (g ground) examined(t *testing.T, now func() time.Time) (string, error) {
	t.Helper()
	conn, err := newKind().Connect(t.Context(), g.target, steps.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lacks, err := conn.(steps.Examiner).Examine(t.Context(), now)
	var b strings.Builder
	for _, l := range lacks {
		if !l.Unsure {
			t.Errorf("a run would fail by %q", l.What)
		}
		b.WriteString(l.What + "\n")
	}
	return b.String(), err
}

func TestTheClockOfAServerIsHeldAgainstThisOne(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		if said, err := g.examined(t, time.Now); said != "" || err != nil {
			t.Errorf("%q, %v", said, err)
		}
		for by, word := range map[time.Duration]string{-time.Hour: "1h0m0s ahead of", time.Hour: "1h0m0s behind"} {
			said, err := g.examined(t, func() time.Time { return time.Now().Add(by) })
			if err != nil {
				t.Fatal(err)
			}
			if !g.mysql() && !g.postgres() { // a file has no clock
				word = ""
			}
			contains(t, said, word)
		}
	})
}

func TestEveryServerOfSeveralIsLookedAt(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		if said, err := g.examined(t, time.Now); said != "" || err != nil {
			t.Errorf("%q, %v", said, err)
		}
		said, err := g.examined(t, func() time.Time { return time.Now().Add(time.Hour) })
		if err != nil || strings.Count(said, "1h0m0s behind") != 2 {
			t.Errorf("%q, %v", said, err)
		}
		check := func(nodes string) ([]engine.Lack, error) {
			s := g.stepUnder(t, steps.ReadOnly, "query", asked("SELECT nothing FROM stock", nodes))
			return s.op.(steps.Checker).Check(t.Context(), s.env)
		}
		if lacks, err := check("each"); err != nil || len(lacks) != 2 {
			t.Errorf("%v, %v", lacks, err)
		}
		if lacks, err := check("any"); err != nil || len(lacks) != 1 || !strings.Contains(lacks[0].What, g.second) {
			t.Errorf("%v, %v", lacks, err)
		}
		g.two.Kill()
		said, err = g.examined(t, time.Now)
		if err != nil || strings.Count(said, "\n") != 1 {
			t.Errorf("%q, %v", said, err)
		}
		contains(t, said, g.second+" cannot be reached")
		if lacks, err := check("each"); err == nil {
			t.Errorf("each, with one down: %v", lacks)
		} else {
			contains(t, err.Error(), g.second, "cannot be reached")
		}
		if lacks, err := check("any"); err != nil || len(lacks) != 1 || !strings.Contains(lacks[0].What, g.first) {
			t.Errorf("%v, %v", lacks, err)
		}
		_, err = g.at(g.second).examined(t, time.Now)
		if err == nil {
			t.Fatal("no writer, and nothing is said")
		}
		contains(t, err.Error(), "none of its servers takes writes")
	})
}
