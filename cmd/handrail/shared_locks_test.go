package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// guardedPlaybook waits for a file, and then has an effect in the target that keeps its lock.
const guardedPlaybook = `playbook: guarded
description: Has an effect under a lock that two hosts share.
locks: [numbering]
inputs:
  key: {type: string, description: What this run writes}
targets: {keeper: %s}
steps:
  - id: waiting
    wait: {until: [{file: {stat: "${{ inputs.key }}.go"}, expect: exists}], every: 20ms}
    timeout: 2m
  - id: effect
    on: keeper
    %s
`

// keeper is a target that keeps locks, and a ledger in it.
type keeper struct {
	built  string // the binary
	typ    string
	where  engine.Record
	effect string
	times  func(key string) int
	cut    func()      // ends what shows that the owner of the lock lives, as a network that is cut does
	quiet  func() bool // nobody else is connected any more, so all that a dead process has sent was carried out
}

func mysqlKeeper(t *testing.T) keeper {
	where := servers.MySQL(t)
	others := " FROM information_schema.PROCESSLIST WHERE DB = '" + where["database"].(string) + "' AND ID <> CONNECTION_ID()"
	return sqlKeeper(t, "mysql", where, servers.Open(t, where), "SELECT COUNT(*) FROM ledger WHERE k = ?", "SELECT COUNT(*)"+others, func(db *sql.DB) error {
		ids, err := numbers(db, "SELECT ID"+others)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := db.Exec(fmt.Sprintf("KILL CONNECTION %d", id)); err != nil && !strings.Contains(err.Error(), "Unknown thread") {
				return err
			}
			eventually(t, "the server has closed the connection", func() bool {
				left, err := numbers(db, fmt.Sprintf("SELECT ID FROM information_schema.PROCESSLIST WHERE ID = %d", id))
				return err == nil && len(left) == 0
			})
		}
		return nil
	})
}

func postgresKeeper(t *testing.T) keeper {
	where := servers.Postgres(t)
	others := " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
	return sqlKeeper(t, "postgres", where, servers.OpenPostgres(t, where), "SELECT COUNT(*) FROM ledger WHERE k = $1", "SELECT COUNT(*)"+others, func(db *sql.DB) error {
		_, err := db.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid, 30000)"+others)
		return err
	})
}

// numbers are what a query gives.
func numbers(db *sql.DB, query string) (all []int64, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

func sqlKeeper(t *testing.T, typ string, where engine.Record, db *sql.DB, count, others string, cut func(*sql.DB) error) keeper {
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (k VARCHAR(64))"); err != nil {
		t.Fatal(err)
	}
	number := func(query string, args ...any) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return keeper{"", typ, where, `sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}`,
		func(key string) int { return number(count, key) },
		func() {
			if err := cut(db); err != nil {
				t.Fatal(err)
			}
		},
		func() bool { return number(others) == 0 }}
}

func redisKeeper(t *testing.T) keeper {
	s := servers.Redis(t)
	return keysKeeper(t, "redis", s.Settings(), s.Client())
}

func clusterKeeper(t *testing.T) keeper {
	c := servers.RedisClusterOf(t, 3, 0)
	return keysKeeper(t, "cluster", c.Settings(), c.Client())
}

func keysKeeper(t *testing.T, typ string, where engine.Record, client redis.Cmdable) keeper {
	ctx := t.Context()
	return keeper{"", typ, where, `redis: {transaction: [[RPUSH, "ledger:{${{ inputs.key }}}", x]]}`,
		func(key string) int {
			n, err := client.LLen(ctx, "ledger:{"+key+"}").Result()
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		},
		func() { // the sign of life expires: no process that sleeps renews it
			runs, err := client.HGet(ctx, "handrail:{handrail-lock}:numbering", "run").Result()
			if err == nil {
				err = client.Del(ctx, "handrail:{handrail-lock}/"+runs).Err()
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		func() bool { // a cluster is not asked: nothing is on its way there when its tests look
			c, single := client.(*redis.Client)
			return !single || strings.Count(c.ClientList(ctx).Val(), "\n") == 1
		}}
}

// hosts is a stand with two hosts: each has a state folder, a folder for locks and a name of its own.
type hosts struct {
	*stand
	keeper
}

func newHosts(t *testing.T, k keeper) *hosts {
	t.Helper()
	h := &hosts{&stand{t: t, dir: t.TempDir(), bin: k.built}, k}
	h.write("guarded.yaml", fmt.Sprintf(guardedPlaybook, k.typ, k.effect))
	h.environment("here.yaml", k.where)
	return h
}

// environment writes one that says where the keeper is.
func (h *hosts) environment(file string, where engine.Record) {
	h.write(file, fmt.Sprintf("locks: keeper\ntargets:\n  keeper: {%s: %s}\n", h.typ, flow(h.t, where)))
}

// at is a command on a host.
func (h *hosts) at(host string, args ...string) *exec.Cmd {
	c := exec.CommandContext(h.t.Context(), h.bin, args...)
	c.Dir = h.dir
	c.Env = append(os.Environ(), "HANDRAIL_STATE="+filepath.Join(h.dir, host), "HANDRAIL_LOCKS="+filepath.Join(h.dir, "locks-"+host), "HANDRAIL_HOST="+host)
	c.Stderr = &bytes.Buffer{}
	return c
}

// do runs a command on a host to its end, and checks its exit code and what it says.
func (h *hosts) do(host string, want int, says string, args ...string) string {
	h.t.Helper()
	c := h.at(host, args...)
	return h.ended(c, c.Run(), want, says)
}

func (h *hosts) ended(c *exec.Cmd, _ error, want int, says string) string {
	h.t.Helper()
	said := c.Stderr.(*bytes.Buffer).String()
	if got := c.ProcessState.ExitCode(); got != want {
		h.t.Fatalf("%v: exit code %d, want %d\n%s", c.Args[1:], got, want, said)
	}
	if !strings.Contains(said, says) {
		h.t.Fatalf("%v does not say %q:\n%s", c.Args[1:], says, said)
	}
	return said
}

func guarded(key string, more ...string) []string {
	return append([]string{"run", "./guarded.yaml", "--env", "./here.yaml", "--yes", "-i", "key=" + key}, more...)
}

// begin starts a run on a host, and waits until it waits for its file. It gives the run's id.
func (h *hosts) begin(host, key string) (*exec.Cmd, string) {
	h.t.Helper()
	before := map[string]bool{}
	for _, f := range h.journals(host) {
		before[f] = true
	}
	c := h.at(host, guarded(key)...)
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	for range 1000 {
		for _, f := range h.journals(host) {
			if b, err := os.ReadFile(f); err == nil && !before[f] && bytes.Contains(b, []byte(`"run_started"`)) {
				return c, filepath.Base(filepath.Dir(f))
			}
		}
		wait(h.t.Context(), 20*time.Millisecond)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	h.t.Fatalf("the run on %s does not begin\n%s", host, c.Stderr)
	return nil, ""
}

func (h *hosts) journals(host string) []string {
	found, err := filepath.Glob(filepath.Join(h.dir, host, "runs", "*", "journal.jsonl"))
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// copied gives a host a copy of the state folder of another, without the locks of that host.
func (h *hosts) copied(from, to string) {
	h.t.Helper()
	if out, err := exec.CommandContext(h.t.Context(), "cp", "-a", filepath.Join(h.dir, from), filepath.Join(h.dir, to)).CombinedOutput(); err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	if err := os.RemoveAll(filepath.Join(h.dir, to, "locks")); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hosts) let(key string) { h.write(key+".go", "") }

func (h *hosts) counted(key string, want int) {
	h.t.Helper()
	if n := h.times(key); n != want {
		h.t.Errorf("the effect of %s happened %d times, want %d", key, n, want)
	}
}

func eachKeeper(t *testing.T, f func(t *testing.T, k keeper)) {
	t.Helper()
	eachKeeperOf(t, []string{"mysql", "postgres", "redis", "cluster"}, f)
}

func eachKeeperOf(t *testing.T, names []string, f func(t *testing.T, k keeper)) {
	t.Helper()
	s := newFileStand(t)
	makers := map[string]func(*testing.T) keeper{"mysql": mysqlKeeper, "postgres": postgresKeeper, "redis": redisKeeper, "cluster": clusterKeeper}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			k := makers[name](t)
			k.built = s.bin
			f(t, k)
		})
	}
}

// TestTwoHostsExcludeEachOther: a lock in a target keeps a run on another host out, says who has it, outlives kill -9, and
// goes to whoever waits when its run ends.
func TestTwoHostsExcludeEachOther(t *testing.T) {
	eachKeeper(t, func(t *testing.T, k keeper) {
		h := newHosts(t, k)
		a, id := h.begin("alpha", "one")
		said := h.do("beta", 4, "has it in hand", guarded("two")...)
		for _, part := range []string{"numbering", "target keeper", id, fmt.Sprintf("process %d of ", a.Process.Pid), "@alpha", "handrail cancel " + id} {
			if !strings.Contains(said, part) {
				t.Errorf("it does not say %q:\n%s", part, said)
			}
		}
		h.planned("beta", id)
		h.do("beta", 2, "has no lock", "unlock", "20260101-000000-aaaa", "--env", "./here.yaml")
		h.do("beta", 2, "not the whole id", "unlock", id[:len(id)-1], "--env", "./here.yaml")
		h.do("beta", 4, "has it in hand", "unlock", id, "--env", "./here.yaml")

		if err := a.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = a.Wait() // it was killed
		if strings.HasPrefix(k.typ, "redis") || k.typ == "cluster" {
			k.cut()
		}
		h.do("beta", 4, "nothing shows that somebody has now: go on with it on alpha: handrail resume "+id, guarded("two")...)
		h.do("beta", 4, "handrail unlock "+id+" --env here", guarded("two")...)

		b := h.at("beta", guarded("two", "--wait-for-lock", "2m")...)
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		h.let("one")
		h.let("two")
		h.do("alpha", 0, "", "resume", id)
		h.ended(b, b.Wait(), 0, "")
		h.counted("one", 1)
		h.counted("two", 1)
		h.let("three")
		h.do("alpha", 0, "", guarded("three")...)
	})
}

// planned: a plan says who has the lock.
func (h *hosts) planned(host, id string) {
	h.t.Helper()
	c := h.at(host, "plan", "./guarded.yaml", "--env", "./here.yaml", "-i", "key=two", "-o", "json")
	out, err := c.Output()
	var p struct {
		Locks []struct{ Name, In, Run, Held, Why string }
	}
	if err := json.Unmarshal(out, &p); err != nil {
		h.t.Fatalf("plan: %v\n%s%s", err, out, c.Stderr)
	}
	if err != nil && c.ProcessState.ExitCode() != 1 {
		h.t.Fatal(err)
	}
	if len(p.Locks) != 2 || p.Locks[0].Run != "" || p.Locks[1].Run != id || p.Locks[1].In != "target keeper" || !strings.Contains(p.Locks[1].Held, "@alpha") {
		h.t.Errorf("the plan says of locks: %+v", p.Locks)
	}
}

// TestALostConnectionLosesNoLock: what shows that the owner lives is cut. It has its lock all the same, and goes on.
func TestALostConnectionLosesNoLock(t *testing.T) {
	eachKeeper(t, func(t *testing.T, k keeper) {
		h := newHosts(t, k)
		a, _ := h.begin("alpha", "one")
		k.cut()
		h.let("one")
		h.ended(a, a.Wait(), 0, "")
		h.counted("one", 1)
		h.let("two")
		h.do("beta", 0, "", guarded("two")...)
	})
}

// TestAStaleEngineOnAnotherHostChangesNothing: an engine sleeps, its lock is unlocked by a person and taken by another
// host, and it wakes up.
func TestAStaleEngineOnAnotherHostChangesNothing(t *testing.T) {
	eachKeeper(t, func(t *testing.T, k keeper) {
		h := newHosts(t, k)
		a, id := h.begin("alpha", "one")
		sendSignal(t, a, syscall.SIGSTOP)
		k.cut()
		h.do("beta", 0, "the lock numbering is free", "unlock", id, "--env", "./here.yaml")
		b, other := h.begin("beta", "two")
		h.let("one")
		sendSignal(t, a, syscall.SIGCONT)
		said := h.ended(a, a.Wait(), 5, "not this run's any more")
		if !strings.Contains(said, other) {
			t.Errorf("it does not say who has the lock:\n%s", said)
		}
		h.counted("one", 0)
		h.do("alpha", 4, other, "resume", id)
		h.let("two")
		h.ended(b, b.Wait(), 0, "")
		h.do("alpha", 0, "", "resume", id)
		h.counted("one", 1)
		h.counted("two", 1)
	})
}

// TestARunThatGoesOnElsewhereShutsTheFirstEngineOut: another host goes on with a copy of the state folder.
func TestARunThatGoesOnElsewhereShutsTheFirstEngineOut(t *testing.T) {
	eachKeeper(t, func(t *testing.T, k keeper) {
		h := newHosts(t, k)
		a, id := h.begin("alpha", "one")
		h.copied("alpha", "beta")
		h.do("beta", 4, "@alpha has it in hand", "resume", id)
		sendSignal(t, a, syscall.SIGSTOP)
		k.cut()
		h.let("one")
		h.do("beta", 0, "", "resume", id)
		sendSignal(t, a, syscall.SIGCONT)
		h.ended(a, a.Wait(), 5, "not this run's any more")
		h.counted("one", 1)
	})
}

func sendSignal(t *testing.T, c *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
