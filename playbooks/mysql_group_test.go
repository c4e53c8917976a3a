package playbooks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/mysqlgroup"
)

func groupTarget(g *mysqlgroup.Group) steps.Target {
	standIns[engine.Text(g.Settings()["addresses"])] = g
	return steps.Target{Name: "group", Type: "mysql", Settings: g.Settings()}
}

// saysOf is what a step says of itself; of one in a loop what its entry does.
func (w *world) saysOf(r *engine.Run, step string) string {
	w.t.Helper()
	v, ok := r.StepAt(step)
	if !ok {
		w.t.Fatalf("no step %s", step)
	}
	return v.Message + " " + v.Error
}

func says(t *testing.T, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("it says %q, want %q in it", got, want)
	}
}

// didNothing checks that no server was changed.
func didNothing(t *testing.T, g *mysqlgroup.Group) {
	t.Helper()
	if sent := g.Sent(); len(sent) > 0 {
		t.Errorf("sent: %s", strings.Join(sent, "\n"))
	}
}

// did checks what was sent to change servers, of each server in its order.
func did(t *testing.T, g *mysqlgroup.Group, want ...string) {
	t.Helper()
	if got := g.Sent(); !slices.Equal(got, want) {
		t.Errorf("sent:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func stands(t *testing.T, g *mysqlgroup.Group, want string) {
	t.Helper()
	if got := g.String(); got != want {
		t.Errorf("the servers are %s, want %s", got, want)
	}
}

func TestMySQLGroupStatusTellsTheTruth(t *testing.T) {
	for _, c := range []struct {
		what  string
		make  func(g *mysqlgroup.Group)
		want  engine.RunState
		says  string
		n     int64
		fresh bool // no group was formed
	}{
		{"all are online", func(*mysqlgroup.Group) {}, engine.RunOK, "they agree who belongs to the group", 3, false},
		{"one was stopped", func(g *mysqlgroup.Group) { g.Members[2].Leave(mysqlgroup.Offline) }, engine.RunDegraded, "OFFLINE", 2, false},
		{"the primary is in error", func(g *mysqlgroup.Group) { g.Members[0].Leave(mysqlgroup.Error) }, engine.RunDegraded, "ERROR", 2, false},
		{"one is gone", func(g *mysqlgroup.Group) { g.Members[1].Kill() }, engine.RunDegraded, "does not answer", 2, false},
		{"two are gone", func(g *mysqlgroup.Group) { g.Members[1].Kill(); g.Members[2].Kill() }, engine.RunFailed, "does not reach the majority", 0, false},
		{"one left, and one is online", func(g *mysqlgroup.Group) {
			g.Members[1].Leave(mysqlgroup.Offline)
			g.Members[2].Leave(mysqlgroup.Offline)
		}, engine.RunFailed, "sees 1 online", 0, false},
		// It still says ONLINE; only from the others one learns that it is not.
		{"one is cut off", func(g *mysqlgroup.Group) { g.Members[2].CutOff() }, engine.RunFailed, "the group is split", 0, false},
		{"two groups", func(g *mysqlgroup.Group) { g.Members[2].Alone() }, engine.RunFailed, "the group is split", 0, false},
		{"none is online", func(*mysqlgroup.Group) {}, engine.RunFailed, "sees 0 online", 0, true},
		{"nobody answers", func(g *mysqlgroup.Group) {
			for _, m := range g.Members {
				m.Kill()
			}
		}, engine.RunFailed, "0 of 3 answer", 0, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := mysqlgroup.Formed(t, 3)
			if c.fresh {
				g = mysqlgroup.New(t, 3)
			}
			c.make(g)
			w := open(t, "mysql-group-status", groupTarget(g))
			r := w.run(nil)
			w.ends(r, c.want)
			says(t, w.saysOf(r, "graded"), c.says)
			if c.want != engine.RunFailed && r.Outputs()["online"] != c.n {
				t.Errorf("outputs: %v", r.Outputs())
			}
			didNothing(t, g)
		})
	}
}

// TestMySQLGroupStatusCountsRecoveringOnesAsMissing, until they are online.
func TestMySQLGroupStatusCountsRecoveringOnesAsMissing(t *testing.T) {
	g := mysqlgroup.Formed(t, 3)
	g.Members[2].Leave(mysqlgroup.Offline)
	g.Members[2].Slow(1 << 30)
	rejoin(t, g, 2)
	stands(t, g, "ONLINE primary, ONLINE, RECOVERING")
	w := open(t, "mysql-group-status", groupTarget(g))
	w.ends(w.run(nil), engine.RunDegraded)
	w.ends(w.run(map[string]any{"wanted": 2}), engine.RunOK)
}

// rejoin is START GROUP_REPLICATION by hand.
func rejoin(t *testing.T, g *mysqlgroup.Group, i int) {
	t.Helper()
	if err := g.Members[i].Do("START GROUP_REPLICATION"); err != nil {
		t.Fatal(err)
	}
	g.Sent()
}

func TestMySQLMemberComesBack(t *testing.T) {
	for _, c := range []struct {
		what string
		make func(t *testing.T, g *mysqlgroup.Group)
		sent []string
	}{
		{"one that was stopped", func(_ *testing.T, g *mysqlgroup.Group) { g.Members[2].Leave(mysqlgroup.Offline) },
			[]string{"3: START GROUP_REPLICATION"}},
		{"one in error", func(_ *testing.T, g *mysqlgroup.Group) { g.Members[2].Leave(mysqlgroup.Error) },
			[]string{"3: STOP GROUP_REPLICATION", "3: START GROUP_REPLICATION"}},
		{"one that was restarted, and has been overtaken", func(t *testing.T, g *mysqlgroup.Group) {
			g.Members[2].Kill()
			for _, m := range g.Members[:2] {
				m.Has(t, mysqlgroup.Name+":1-250", "")
			}
			g.Members[2].Restart(t)
			g.Members[2].Slow(2)
		}, []string{"3: START GROUP_REPLICATION"}},
		// Its configuration has the setting on: START alone would begin a second group.
		{"one whose bootstrap setting is on", func(_ *testing.T, g *mysqlgroup.Group) {
			g.Members[2].Leave(mysqlgroup.Offline)
			g.Members[2].Arm()
		}, []string{"3: SET GLOBAL group_replication_bootstrap_group = OFF", "3: START GROUP_REPLICATION"}},
		{"one that is there already", func(*testing.T, *mysqlgroup.Group) {}, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := mysqlgroup.Formed(t, 3)
			c.make(t, g)
			given := map[string]any{"member": g.Members[2].Address}
			w := open(t, "mysql-group-rejoin", groupTarget(g))
			w.plan(given)
			didNothing(t, g)
			w.ends(w.run(given), engine.RunOK)
			did(t, g, c.sent...)
			stands(t, g, "ONLINE primary, ONLINE, ONLINE")
			if g.Bootstraps() != 0 || g.Members[2].Transactions() != g.Members[0].Transactions() {
				t.Errorf("%d groups were begun, it has %s", g.Bootstraps(), g.Members[2].Transactions())
			}
		})
	}
}

func TestMySQLMemberIsRefused(t *testing.T) {
	const own = "00000003-0000-4000-8000-000000000000:1-2"
	for _, c := range []struct {
		what       string
		make       func(t *testing.T, g *mysqlgroup.Group)
		step, says string
	}{
		{"it has transactions of its own", func(t *testing.T, g *mysqlgroup.Group) { g.Members[2].Has(t, mysqlgroup.Name+":1-90,"+own, "") },
			"own", "transactions that the group does not have: " + own},
		{"it has received some that the group has lost", func(t *testing.T, g *mysqlgroup.Group) {
			g.Members[2].Has(t, mysqlgroup.Name+":1-100", mysqlgroup.Name+":101")
		}, "own", "does not have: " + mysqlgroup.Name + ":101"},
		{"there is no group", func(_ *testing.T, g *mysqlgroup.Group) {
			for _, m := range g.Members {
				m.Leave(mysqlgroup.Offline)
			}
		}, "lives", "mysql-group-bootstrap"},
		{"the group has lost its majority", func(_ *testing.T, g *mysqlgroup.Group) { g.Members[0].Kill(); g.Members[1].CutOff() }, "lives", "majority"},
		{"there are two groups", func(_ *testing.T, g *mysqlgroup.Group) { g.Members[1].Alone() }, "lives", "there are two"},
		{"it belongs to another group", func(_ *testing.T, g *mysqlgroup.Group) {
			g.Members[2].Rename("6d657267-6500-4000-8000-000000000002")
		}, "lives", "000000000002 by all of them"},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := mysqlgroup.Formed(t, 3)
			g.Members[2].Leave(mysqlgroup.Offline)
			c.make(t, g)
			w := open(t, "mysql-group-rejoin", groupTarget(g))
			r := w.run(map[string]any{"member": g.Members[2].Address})
			w.ends(r, engine.RunFailed)
			says(t, w.saysOf(r, c.step), c.says)
			didNothing(t, g)
		})
	}
}

// TestMySQLMemberThatDoesNotCatchUpIsNotCalledOnline: START says yes, and the recovery fails behind it.
func TestMySQLMemberThatDoesNotCatchUpIsNotCalledOnline(t *testing.T) {
	g := mysqlgroup.Formed(t, 3)
	g.Members[2].Leave(mysqlgroup.Offline)
	g.Members[2].Slow(1)
	g.Members[2].Spoil()
	w := open(t, "mysql-group-rejoin", groupTarget(g))
	r := w.run(map[string]any{"member": g.Members[2].Address})
	w.ends(r, engine.RunFailed)
	says(t, w.saysOf(r, "proven"), "says ERROR")
}

const (
	arms    = "SET GLOBAL group_replication_bootstrap_group = ON"
	disarms = "SET GLOBAL group_replication_bootstrap_group = OFF"
	begins  = "START GROUP_REPLICATION"
)

// TestMySQLGroupIsBegunByTheMostAdvanced: the last member of the list has what none of the others has, half of it only received.
func TestMySQLGroupIsBegunByTheMostAdvanced(t *testing.T) {
	g := mysqlgroup.New(t, 3)
	g.Members[0].Has(t, mysqlgroup.Name+":1-120", "")
	g.Members[1].Has(t, mysqlgroup.Name+":1-120", mysqlgroup.Name+":121-122")
	g.Members[1].Leave(mysqlgroup.Error)
	g.Members[2].Has(t, mysqlgroup.Name+":1-110", mysqlgroup.Name+":111-125")
	g.Members[2].Leave(mysqlgroup.Error)
	g.Members[0].Slow(2)
	w := open(t, "mysql-group-bootstrap", groupTarget(g))
	w.yes = true
	w.plan(nil)
	didNothing(t, g)
	r := w.run(nil)
	w.ends(r, engine.RunOK)
	if r.Outputs()["first"] != g.Members[2].Address {
		t.Errorf("outputs: %v", r.Outputs())
	}
	did(t, g, "1: "+begins, "2: STOP GROUP_REPLICATION", "2: "+begins, "3: STOP GROUP_REPLICATION", "3: "+arms, "3: "+begins, "3: "+disarms)
	stands(t, g, "ONLINE, ONLINE, ONLINE primary")
	for _, m := range g.Members {
		if m.Transactions() != mysqlgroup.Name+":1-125" {
			t.Errorf("it has %s", m.Transactions())
		}
	}
	if g.Bootstraps() != 1 || g.Teams() != 1 {
		t.Errorf("%d groups were begun, %d live", g.Bootstraps(), g.Teams())
	}
	// The group lives now, so there is nothing to begin.
	w.ends(w.run(nil), engine.RunFailed)
	didNothing(t, g)
}

// TestWrittenBootstrapSplitsAGroup: as the guide has it, and the playbook does not.
func TestWrittenBootstrapSplitsAGroup(t *testing.T) {
	written := func(g *mysqlgroup.Group) {
		for _, statement := range []string{arms, begins, disarms} {
			if err := g.Members[2].Do(statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	g := mysqlgroup.Formed(t, 3)
	g.Members[2].Leave(mysqlgroup.Offline)
	written(g)
	if g.Teams() != 2 {
		t.Fatalf("there are %d groups: the trap is none any more", g.Teams())
	}
	for _, c := range []struct {
		what string
		make func(g *mysqlgroup.Group)
		says string
	}{
		{"two live", func(g *mysqlgroup.Group) { g.Members[2].Leave(mysqlgroup.Offline) }, "the group lives"},
		{"one lives, and has lost its majority", func(g *mysqlgroup.Group) {
			g.Members[1].Kill()
			g.Members[2].Kill()
			g.Members[1].Restart(t)
			g.Members[2].Restart(t)
		}, "the group lives"},
		{"one recovers", func(g *mysqlgroup.Group) {
			g.Members[2].Leave(mysqlgroup.Offline)
			g.Members[2].Slow(1 << 30)
			rejoin(t, g, 2)
			g.Members[0].Leave(mysqlgroup.Error)
			g.Members[1].Leave(mysqlgroup.Error)
		}, "RECOVERING"},
		{"one does not answer", func(g *mysqlgroup.Group) {
			g.Members[0].Leave(mysqlgroup.Offline)
			g.Members[1].Leave(mysqlgroup.Offline)
			g.Members[2].Kill()
		}, "does not answer, and so may live"},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := mysqlgroup.Formed(t, 3)
			c.make(g)
			w := open(t, "mysql-group-bootstrap", groupTarget(g))
			w.yes = true
			r := w.run(nil)
			w.ends(r, engine.RunFailed)
			says(t, w.saysOf(r, "down"), c.says)
			didNothing(t, g)
			if g.Bootstraps() != 0 {
				t.Error("a group was begun")
			}
		})
	}
}

// TestMySQLGroupIsNotBegunBesideOneThatCameMeanwhile: while a person is asked, somebody else begins a group by hand.
func TestMySQLGroupIsNotBegunBesideOneThatCameMeanwhile(t *testing.T) {
	g := mysqlgroup.New(t, 3)
	w := open(t, "mysql-group-bootstrap", groupTarget(g))
	w.yes = true
	w.asked = func() { g.Members[1].Alone() }
	r := w.run(nil)
	w.ends(r, engine.RunFailed)
	didNothing(t, g)
	stands(t, g, "OFFLINE, ONLINE primary, OFFLINE")
}

func TestMySQLGroupWithoutAMemberThatIsSwitchedOff(t *testing.T) {
	g := mysqlgroup.New(t, 3)
	g.Members[0].Kill()
	w := open(t, "mysql-group-bootstrap", groupTarget(g))
	w.yes = true
	// Well begun; and a group that lacks a member is no whole one.
	w.ends(w.run(map[string]any{"without": []any{g.Members[0].Address}, "first": g.Members[2].Address}), engine.RunDegraded)
	did(t, g, "2: "+begins, "3: "+arms, "3: "+begins, "3: "+disarms)
	stands(t, g, "down, ONLINE, ONLINE primary")
}

// TestMySQLGroupWhoseMembersPartedIsNotBegun: each has what another has not, so that whoever begins would lose something.
func TestMySQLGroupWhoseMembersPartedIsNotBegun(t *testing.T) {
	g := mysqlgroup.New(t, 3)
	g.Members[0].Has(t, mysqlgroup.Name+":1-101", "")
	g.Members[1].Has(t, mysqlgroup.Name+":1-100,00000002-0000-4000-8000-000000000000:1", "")
	w := open(t, "mysql-group-bootstrap", groupTarget(g))
	w.yes = true
	r := w.run(nil)
	w.ends(r, engine.RunFailed)
	says(t, w.saysOf(r, "advanced"), "each has something that another has not")
	// Nor by one that is behind, because somebody names it.
	g.Members[1].Has(t, mysqlgroup.Name+":1-100", "")
	r = w.run(map[string]any{"first": g.Members[1].Address})
	w.ends(r, engine.RunFailed)
	says(t, w.saysOf(r, "advanced"), "lacks "+mysqlgroup.Name+":101")
	didNothing(t, g)
}

// TestMySQLBootstrapSettingGoesOffWhenTheStartFails, whatever the reason.
func TestMySQLBootstrapSettingGoesOffWhenTheStartFails(t *testing.T) {
	g := mysqlgroup.New(t, 3)
	g.Members[0].Refuse()
	w := open(t, "mysql-group-bootstrap", groupTarget(g))
	w.yes = true
	w.ends(w.run(nil), engine.RunFailed)
	did(t, g, "1: "+arms, "1: "+begins, "1: "+disarms)
	stands(t, g, "OFFLINE, OFFLINE, OFFLINE")
}
