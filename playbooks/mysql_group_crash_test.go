package playbooks_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/mysqlgroup"
)

// crashed is a run of mysql-group-bootstrap by a real engine, which is killed.
type crashed struct {
	t               *testing.T
	g               *mysqlgroup.Group
	bin, state, env string
	run             string
}

// approvedBootstrap is a run that a person has approved, and that has changed nothing yet. The second member has the most.
func approvedBootstrap(t *testing.T, bin string) *crashed {
	t.Helper()
	g := mysqlgroup.New(t, 3)
	g.Members[1].Has(t, mysqlgroup.Name+":1-110", "")
	dir := t.TempDir()
	c := &crashed{t: t, g: g, bin: bin, state: filepath.Join(dir, "state"), env: filepath.Join(dir, "here.yaml")}
	settings, err := json.Marshal(g.Settings())
	if err != nil {
		t.Fatal(err)
	}
	put(t, c.env, fmt.Appendf(nil, "targets: {group: {mysql: %s}}\n", settings))
	if code, out := c.handrail(0, "run", "./mysql-group-bootstrap.yaml", "--env", c.env, "--yes"); code != 3 {
		t.Fatalf("run: exit %d\n%s", code, out)
	}
	runs, err := os.ReadDir(filepath.Join(c.state, "runs"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	c.run = runs[0].Name()
	if code, out := c.handrail(0, "approve", c.run); code != 0 {
		t.Fatalf("approve: exit %d\n%s", code, out)
	}
	didNothing(t, g)
	return c
}

// command is one call of the engine; point is where it kills itself, 0: nowhere.
func (c *crashed) command(point int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), c.bin, args...)
	cmd.Env = append(os.Environ(), "HANDRAIL_STATE="+c.state, "HANDRAIL_LOCKS="+c.state+".locks", "HANDRAIL_CRASH_POINT="+strconv.Itoa(point),
		"HANDRAIL_CRASH_LOG="+c.state+".points")
	return cmd
}

func (c *crashed) handrail(point int, args ...string) (code int, out string) {
	c.t.Helper()
	cmd := c.command(point, args...)
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	if ws, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return killed, string(said)
	}
	return cmd.ProcessState.ExitCode(), string(said)
}

// killed stands for the exit code of a process that has killed itself.
const killed = -9

// whole checks that there is one group, begun once by the right one, and that nobody would begin another.
func (c *crashed) whole() {
	c.t.Helper()
	stands(c.t, c.g, "ONLINE, ONLINE primary, ONLINE")
	if c.g.Bootstraps() != 1 || c.g.Teams() != 1 {
		c.t.Errorf("%d groups were begun, %d live", c.g.Bootstraps(), c.g.Teams())
	}
}

// TestKilledBootstrapBeginsNoSecondGroup kills a real engine around and in the middle of the statements of a bootstrap; with
// HANDRAIL_TORTURE at each point that it passes.
func TestKilledBootstrapBeginsNoSecondGroup(t *testing.T) {
	bin := newKiller(t).bin
	c := approvedBootstrap(t, bin)
	put(t, c.state+".points", nil)
	if code, out := c.handrail(0, "resume", c.run); code != 0 {
		t.Fatalf("resume: exit %d\n%s", code, out)
	}
	c.whole()
	points := strings.Split(strings.TrimSpace(string(slurp(t, c.state+".points"))), "\n")
	every := torture.Times(t, 0, 1, 1) > 0
	kills := 0
	for i, what := range points {
		_, what, _ = strings.Cut(what, " ")
		effect := strings.HasSuffix(what, "/armed") || strings.HasSuffix(what, "/start") || strings.HasSuffix(what, "/disarmed")
		if every || effect && strings.HasPrefix(what, "after ") && strings.Contains(what, " of begin[") && !strings.Contains(what, "joined[") {
			kills++
			t.Run(strconv.Itoa(i+1), func(t *testing.T) { killedAt(t, bin, i+1, what) })
		}
	}
	if kills < 3 {
		t.Errorf("%d kills, of the points\n%s", kills, strings.Join(points, "\n"))
	}
	t.Run("in the middle of the start", func(t *testing.T) { killedInTheStart(t, bin) })
	t.Run("and begun by hand meanwhile", func(t *testing.T) {
		for i, what := range points {
			if strings.Contains(what, "after idempotent of ") && strings.HasSuffix(what, "/armed") {
				begunByHandMeanwhile(t, bin, i+1)
				return
			}
		}
		t.Fatal("there is no such point")
	})
}

func killedAt(t *testing.T, bin string, point int, what string) {
	c := approvedBootstrap(t, bin)
	// What is done side by side is written down in one line or in two, so the last points are not always there.
	if code, out := c.handrail(point, "resume", c.run); code != killed && (code != 0 || !strings.Contains(what, "proven")) {
		t.Fatalf("%s: exit %d\n%s", what, code, out)
	}
	if code, out := c.handrail(0, "resume", c.run); code != 0 && !strings.Contains(out, "has ended") {
		t.Errorf("killed %s: resume: exit %d\n%s", what, code, out)
	}
	c.whole()
}

// killedInTheStart: the server goes on with what the dead engine has sent.
func killedInTheStart(t *testing.T, bin string) {
	c := approvedBootstrap(t, bin)
	cmd := c.command(0, "resume", c.run)
	dead := make(chan struct{})
	started := make(chan struct{})
	c.g.Members[1].During(func() {
		<-started
		_ = cmd.Process.Kill()
		<-dead
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	_ = cmd.Wait() // it was killed
	close(dead)
	if code, out := c.handrail(0, "resume", c.run); code != 0 {
		t.Errorf("resume: exit %d\n%s", code, out)
	}
	c.whole()
	did(t, c.g, "1: "+begins, "2: "+arms, "2: "+begins, "2: "+disarms, "3: "+begins)
}

// begunByHandMeanwhile: the engine is killed with the setting on; then somebody begins the group with another member. A resume leaves
// it at that, and takes the setting back.
func begunByHandMeanwhile(t *testing.T, bin string, point int) {
	c := approvedBootstrap(t, bin)
	if code, out := c.handrail(point, "resume", c.run); code != killed {
		t.Fatalf("exit %d\n%s", code, out)
	}
	stands(t, c.g, "OFFLINE, OFFLINE bootstrap, OFFLINE")
	c.g.Members[2].Alone()
	if code, out := c.handrail(0, "resume", c.run); code == 0 || !strings.Contains(out, "says ONLINE") {
		t.Errorf("resume: exit %d\n%s", code, out)
	}
	stands(t, c.g, "OFFLINE, OFFLINE, ONLINE primary")
	if c.g.Bootstraps() != 0 {
		t.Error("a second group was begun")
	}
}
