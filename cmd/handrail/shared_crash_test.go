package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
)

// TestAKillAroundALockBetweenHosts kills an engine around the taking, the asking and the freeing of a lock that two hosts share, and
// looks from the other host: it gets in by the stated rules alone, it is told what to type, and that works.
func TestAKillAroundALockBetweenHosts(t *testing.T) {
	kills, part := 0, 0
	eachKeeperOf(t, crashKeepers(t), func(t *testing.T, k keeper) {
		h := newHosts(t, k)
		part++
		for i, point := range h.lockPoints() {
			if torture.How(t) == torture.Light && i%3 != part%3 { // each kind of target has its share of the points
				continue
			}
			for lost := range torture.Times(t, 1, 2, 2) {
				key := fmt.Sprintf("p%d-%d", point, lost)
				h.let(key)
				a := h.at("alpha", guarded(key)...)
				a.Env = append(a.Env, "HANDRAIL_CRASH_POINT="+strconv.Itoa(point))
				h.dies(a)
				h.afterKill(key, (i+lost)%2 == 1)
				kills++
			}
		}
	})
	torture.Figure(t, 1, "%d kills around locks between hosts: each was explained and freed, and no two runs had it", kills)
}

// crashKeepers: the locks of a cluster are those of one server, by the same script.
func crashKeepers(t *testing.T) []string {
	names := []string{"mysql", "postgres", "redis"}
	if torture.How(t) != torture.Light {
		names = append(names, "cluster")
	}
	return names
}

// TestAKillWhileALockIsTaken kills an engine when a piece of its conversation with the target that keeps the locks is on its way, and
// lets that arrive, or not. In `make test` it is the one that takes the lock.
func TestAKillWhileALockIsTaken(t *testing.T) {
	kills := 0
	eachKeeperOf(t, []string{"mysql", "postgres", "redis"}, func(t *testing.T, k keeper) {
		h := newHosts(t, k)
		way := torture.NewCutter(t, engine.Text(k.where["address"]))
		where := maps.Clone(k.where)
		where["address"] = way.Addr
		h.environment("alpha.yaml", where)
		decides := []byte(map[string]string{"mysql": "COMMIT", "postgres": "COMMIT", "redis": "take"}[k.typ])
		whole := 1
		if torture.How(t) != torture.Light {
			whole = h.pieces(way)
		}
		for n := 1; n <= whole && !t.Failed(); n++ {
			for arrives := range 2 {
				key := fmt.Sprintf("w%d-%d", n, arrives)
				h.let(key)
				a := h.at("alpha", "run", "./guarded.yaml", "--env", "./alpha.yaml", "--yes", "-i", "key="+key)
				seen := 0
				dyingAt(t, way, a, func(piece []byte) bool {
					if torture.How(t) == torture.Light {
						return bytes.Contains(piece, decides)
					}
					seen++
					return seen == n
				}, arrives == 1)
				if torture.How(t) != torture.Light && a.ProcessState.Success() { // it sends fewer than the first, which made the tables
					n = whole
					break
				}
				h.killed(a)
				h.afterKill(key, (n+arrives)%2 == 1)
				kills++
			}
		}
	})
	torture.Figure(t, 1, "%d kills while a lock was taken: each was explained and freed, and no two runs had it", kills)
}

// pieces is how many pieces of a whole run go to the target.
func (h *hosts) pieces(way *torture.Cutter) int {
	h.t.Helper()
	h.let("pieces")
	way.Heal()
	h.do("alpha", 0, "", "run", "./guarded.yaml", "--env", "./alpha.yaml", "--yes", "-i", "key=pieces")
	_, chunks := way.Passed(torture.ToServer)
	return len(chunks)
}

// dyingAt runs a command and kills it when a piece that is meant goes to the target, which then arrives or does not.
func dyingAt(t *testing.T, way *torture.Cutter, c *exec.Cmd, meant func([]byte) bool, arrives bool) {
	t.Helper()
	dead := make(chan struct{})
	var mu sync.Mutex // of the process, and of what follows
	shot := false
	way.Watch(func(d torture.Direction, piece []byte) bool {
		mu.Lock()
		hit := !shot && d == torture.ToServer && meant(piece)
		if hit {
			shot = true
			_ = c.Process.Kill() // it may have ended
		}
		mu.Unlock()
		if !hit {
			return true
		}
		<-dead
		return arrives
	})
	mu.Lock()
	err := c.Start()
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // how it ended is in its state
	close(dead)
	way.Watch(nil)
}

// lockPoints are the numbers of the points at which something is done about locks, of a run that is not killed.
func (h *hosts) lockPoints() []int {
	h.t.Helper()
	h.let("whole")
	c := h.at("alpha", guarded("whole")...)
	log := filepath.Join(h.dir, "points")
	c.Env = append(c.Env, "HANDRAIL_CRASH_LOG="+log)
	h.ended(c, c.Run(), 0, "")
	b, err := os.ReadFile(log)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []int
	for _, m := range regexp.MustCompile(`(?m)^(\d+) .*\block`).FindAllSubmatch(b, -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, n)
	}
	if len(out) < 8 {
		h.t.Fatalf("there are only %d points around locks:\n%s", len(out), b)
	}
	return out
}

// dies waits for a command that is to be killed.
func (h *hosts) dies(c *exec.Cmd) {
	h.t.Helper()
	_ = c.Run() // how it ended is in its state
	h.killed(c)
}

func (h *hosts) killed(c *exec.Cmd) {
	h.t.Helper()
	if ws, _ := c.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() {
		h.t.Fatalf("%v was not killed: %s\n%s", c.Args[1:], c.ProcessState, c.Stderr)
	}
}

// afterKill: the engine on alpha is dead, and the other host wants the lock. lost: so is its host.
func (h *hosts) afterKill(key string, lost bool) {
	h.t.Helper()
	eventually(h.t, "what the dead process has sent was carried out", h.quiet)
	id := h.newest("alpha")
	has := h.inTarget("beta")
	state, begun := h.standing("alpha", id)
	over := !begun || state.Final()
	if has != "" && has != id {
		h.t.Fatalf("%s: the lock belongs to %s, and the run is %s", key, has, id)
	}
	if has == "" && !over {
		h.t.Fatalf("%s: the run is %s, and its lock is free", key, state)
	}
	other := key + "-beta"
	h.let(other)
	if has != "" {
		h.lifeless(id)
		h.do("beta", 4, "go on with it on alpha: handrail resume "+id, guarded(other)...)
		switch {
		case lost:
			h.do("beta", 0, "the lock numbering is free", "unlock", id, "--env", "./here.yaml")
		case over && strings.HasSuffix(key, "0"):
			h.do("alpha", 2, "had left behind, is free", "resume", id)
		case over:
			h.do("alpha", 2, "had left behind, is free", "cancel", id)
		default:
			h.do("alpha", 0, "", "resume", id)
		}
	}
	h.do("beta", 0, "", guarded(other)...)
	want := 0
	if begun {
		want = 1
	}
	if !over && lost {
		h.do("alpha", 0, "", "resume", id)
	}
	h.counted(key, want)
	h.counted(other, 1)
	if has := h.inTarget("beta"); has != "" {
		h.t.Errorf("%s: the lock is left with %s", key, has)
	}
	last := key + "-alpha" // the lock of the host itself is in nobody's way
	h.let(last)
	h.do("alpha", 0, "", guarded(last)...)
	h.counted(last, 1)
}

// newest is the run of a host that was made last; ids begin with their time, but not with its fractions.
func (h *hosts) newest(host string) string {
	h.t.Helper()
	runs, err := os.ReadDir(filepath.Join(h.dir, host, "runs"))
	if err != nil || len(runs) == 0 {
		h.t.Fatalf("%d runs, %v", len(runs), err)
	}
	var id string
	var at time.Time
	for _, r := range runs {
		info, err := os.Stat(filepath.Join(h.dir, host, "runs", r.Name(), "origin.json"))
		if err != nil {
			h.t.Fatal(err)
		}
		if info.ModTime().After(at) {
			id, at = r.Name(), info.ModTime()
		}
	}
	return id
}

// inTarget is the run that has the lock in the target, as a plan says.
func (h *hosts) inTarget(host string) string {
	h.t.Helper()
	held := h.lookAtLocks(host)
	if len(held) != 2 || held[1].Why != "" {
		h.t.Fatalf("the plan says of locks: %+v", held)
	}
	return held[1].Run
}

type plannedLock struct{ Name, In, Run, Held, Why string }

func (h *hosts) lookAtLocks(host string) []plannedLock {
	h.t.Helper()
	c := h.at(host, "plan", "./guarded.yaml", "--env", "./here.yaml", "-i", "key=plan", "-o", "json")
	out, _ := c.Output() // its exit code is about steps
	var p struct{ Locks []plannedLock }
	if err := json.Unmarshal(out, &p); err != nil {
		h.t.Fatalf("plan: %v\n%s%s", err, out, c.Stderr)
	}
	return p.Locks
}

// lifeless returns when nothing shows any more that a process has the run in hand, as it is after a while.
func (h *hosts) lifeless(id string) {
	h.t.Helper()
	if strings.HasPrefix(h.typ, "redis") || h.typ == "cluster" {
		h.cut()
	}
	eventually(h.t, "nothing shows that somebody has run "+id+" in hand", func() bool {
		held := h.lookAtLocks("beta")
		return len(held) == 2 && !strings.Contains(held[1].Held, "has it in hand")
	})
}

// standing is the state of a run of a host, if it has begun.
func (h *hosts) standing(host, id string) (state engine.RunState, begun bool) {
	h.t.Helper()
	c := h.at(host, "show", id, "-o", "json")
	out, err := c.Output()
	if err != nil && bytes.Contains(c.Stderr.(*bytes.Buffer).Bytes(), []byte("never began")) {
		return state, false
	}
	var v shown
	if err := json.Unmarshal(out, &v); err != nil {
		h.t.Fatalf("show: %v\n%s%s", err, out, c.Stderr)
	}
	return v.State, true
}
