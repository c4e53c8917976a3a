package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// crashPlaybook has an effect of every class, each on a real target, each of which counts in the
// target how often it happened. Without Docker it is quick.
func crashPlaybook(name string, docker bool) string {
	input, target, step := "", "", ""
	if docker {
		input = "  container: {type: string, description: The container to restart}\n"
		target = ", engine: docker"
		step = "  - id: container\n    docker: {restart: \"${{ inputs.container }}\"}\n"
	}
	return "playbook: " + name + `
description: Every class of effect, counted where it happens.
inputs:
  key: {type: string, description: What this run writes}
` + input + `targets: {file: sqlite, db: mysql, pg: postgres, cache: redis, shards: cluster` + target + `}
steps:
  - id: before
    on: db
    sql: {query: "SELECT COUNT(*) AS n FROM ledger WHERE k = :k", args: {k: "${{ inputs.key }}"}}
  - id: lite
    on: file
    sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}
    expect: affected == 1
  - id: maria
    on: db
    sql:
      args: {k: "${{ inputs.key }}"}
      transaction:
        - {query: "SELECT COUNT(*) AS n FROM ledger WHERE k = :k", as: had}
        - {exec: "INSERT INTO ledger (k) VALUES (:k)", expect: affected == 1}
        - {exec: "UPDATE total SET n = n + 1", expect: affected == 1}
  - id: ledger
    on: pg
    sql:
      args: {k: "${{ inputs.key }}"}
      transaction:
        - {query: "SELECT n FROM total FOR UPDATE", as: had}
        - {exec: "INSERT INTO ledger (k) VALUES (:k)", expect: affected == 1}
        - {exec: "UPDATE total SET n = :n + 1", args: {n: "${{ had.rows[0].n }}"}, expect: affected == 1}
  - id: queue
    on: cache
    redis: {transaction: [[RPUSH, "ledger:${{ inputs.key }}", x], [INCR, "total:${{ inputs.key }}"]]}
  - id: sharded
    on: shards
    redis: {transaction: [[RPUSH, "ledger:{${{ inputs.key }}}", x], [INCR, "total:{${{ inputs.key }}}"]]}
  - id: everywhere
    on: shards
    redis: {snapshot: {}, nodes: masters}
  - id: command
    exec: {argv: [sh, -c, "echo $1 >> ledger.txt", sh, "${{ inputs.key }}"]}
` + step + `  - id: proven
    verify:
      - on: db
        sql: {query: "SELECT COUNT(*) AS n FROM ledger WHERE k = :k", args: {k: "${{ inputs.key }}"}}
        expect: rows[0].n == 1
`
}

// stand is the world of the crash tests: a binary with crash points, and a ledger in every target.
type stand struct {
	t                *testing.T
	dir, bin         string
	lite, maria      *sql.DB
	postgres         *sql.DB
	redis            *servers.RedisServer
	shards           *redis.ClusterClient
	docker           string
	liteFile, ledger string
	firstStart       map[string]string // when each container was made, as the engine writes it
}

// crashBinary builds the binary with crash points, once for all tests; TestMain takes it away.
var crashBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "handrail-crash-*")
	if err != nil {
		return "", err
	}
	crashFolder = dir
	bin := filepath.Join(dir, "handrail")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-tags", "crashpoints", "-o", bin, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, err
})

var crashFolder string

// tidy takes away what all tests have used.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	code := m.M.Run()
	if crashFolder != "" {
		_ = os.RemoveAll(crashFolder) // the tests have ended
	}
	return code
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := newFileStand(t)
	db := servers.MySQL(t)
	s.maria = servers.Open(t, db)
	pg := servers.Postgres(t)
	s.postgres = servers.OpenPostgres(t, pg)
	s.redis = servers.Redis(t)
	cluster := servers.RedisClusterOf(t, 3, 0)
	s.shards = cluster.Client()
	s.docker, _ = servers.Docker(t)["host"].(string)
	s.exec(s.maria, "CREATE TABLE ledger (k VARCHAR(64), KEY (k)) ENGINE=InnoDB", "CREATE TABLE total (n INT) ENGINE=InnoDB", "INSERT INTO total VALUES (0)")
	s.exec(s.postgres, "CREATE TABLE ledger (k text)", "CREATE INDEX ON ledger (k)", "CREATE TABLE total (n int)", "INSERT INTO total VALUES (0)")
	env := fmt.Sprintf("targets:\n  file: {sqlite: {file: %q}}\n  db: {mysql: %s}\n  pg: {postgres: %s}\n  cache: {redis: {address: %q}}\n  shards: {cluster: %s}\n  engine: {docker: %s}\n",
		s.liteFile, flow(t, db), flow(t, pg), s.redis.Addr, flow(t, cluster.Settings()), flow(t, servers.Docker(t)))
	s.write("crash.yaml", crashPlaybook("crash", true))
	s.write("quick.yaml", crashPlaybook("quick", false))
	s.write("here.yaml", env)
	return s
}

// newFileStand is a stand whose targets are files.
func newFileStand(t *testing.T) *stand {
	t.Helper()
	bin, err := crashBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, dir: t.TempDir(), bin: bin}
	s.liteFile, s.ledger = filepath.Join(s.dir, "ledger.db"), filepath.Join(s.dir, "ledger.txt")
	s.lite = openSQLite(t, s.liteFile)
	s.exec(s.lite, "CREATE TABLE ledger (k TEXT)")
	return s
}

// flow writes settings as YAML in flow style, of which JSON is a part.
func flow(t *testing.T, r engine.Record) string {
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *stand) exec(db *sql.DB, statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		if _, err := db.ExecContext(s.t.Context(), q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

func (s *stand) write(name, text string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// container starts a container that writes a line at each of its starts.
func (s *stand) container(key string) string {
	s.t.Helper()
	// Another checkout may run the same test on the same engine.
	name := fmt.Sprintf("handrail-crash-%d-%s", os.Getpid(), key)
	s.dockerCLI("run", "-d", "--name", name, "--stop-timeout", "0", "handrail-test/base:1", "sh", "-c", "echo started; exec sleep 600")
	if s.firstStart == nil {
		s.firstStart = map[string]string{}
	}
	s.firstStart[name] = s.dockerCLI("inspect", "-f", "{{.State.StartedAt}}", name)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = s.dockerCommand(ctx, "rm", "-f", name).Run()
	})
	return name
}

func (s *stand) dockerCommand(ctx context.Context, args ...string) *exec.Cmd {
	if s.docker != "" {
		args = append([]string{"-H", s.docker}, args...)
	}
	return exec.CommandContext(ctx, "docker", args...)
}

func (s *stand) dockerCLI(args ...string) string {
	s.t.Helper()
	out, err := s.dockerCommand(s.t.Context(), args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// handrail runs the binary; point is where it kills itself, 0: nowhere.
func (s *stand) handrail(state string, point int, args ...string) (code int, killed bool, stdout, stderr string) {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), s.bin, args...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "HANDRAIL_STATE="+state, "HANDRAIL_LOCKS="+filepath.Join(s.dir, "locks"), "HANDRAIL_CRASH_POINT="+strconv.Itoa(point))
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	_ = c.Run() // how it ended is in its state
	ws, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	return c.ProcessState.ExitCode(), ws.Signaled() && ws.Signal() == syscall.SIGKILL, out.String(), err.String()
}

// shown is what `show -o json` says.
type shown struct {
	State engine.RunState
	Steps []engine.StepView
}

func (s *stand) show(state, run string) shown {
	s.t.Helper()
	_, _, out, errs := s.handrail(state, 0, "show", run, "-o", "json")
	var v shown
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		s.t.Fatalf("show: %v\n%s%s", err, out, errs)
	}
	return v
}

// count asks each target how often its effect happened.
func (s *stand) count(key, container string) map[string]int {
	s.t.Helper()
	got := s.counts(key)
	if s.maria != nil {
		if container != "" {
			got["container"] = s.starts(container)
		}
		n, err := s.shards.LLen(s.t.Context(), "ledger:{"+key+"}").Result()
		if err != nil {
			s.t.Fatal(err)
		}
		got["sharded"] = int(n)
	}
	return got
}

// starts is how often a container was started again. On a busy machine it is some time until one that was
// started has said so.
func (s *stand) starts(container string) int {
	s.t.Helper()
	since := s.dockerCLI("inspect", "-f", "{{.State.StartedAt}}", container)
	restarted := since != s.firstStart[container]
	for range 200 {
		if n := strings.Count(s.dockerCLI("logs", container), "started") - 1; n > 0 || !restarted {
			return n
		}
		wait(s.t.Context(), 50*time.Millisecond)
	}
	return 0
}

// counts asks those that are quick to answer.
func (s *stand) counts(key string) map[string]int {
	s.t.Helper()
	got := s.countInFiles(key)
	if s.maria == nil {
		return got
	}
	got["maria"] = s.rows(s.maria, key)
	got["ledger"] = s.rows(s.postgres, key)
	n, err := s.redis.Client().LLen(s.t.Context(), "ledger:"+key).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	got["queue"] = int(n)
	return got
}

func (s *stand) countInFiles(key string) map[string]int {
	got := map[string]int{"lite": s.rows(s.lite, key), "command": 0}
	b, _ := os.ReadFile(s.ledger)
	for _, line := range strings.Split(string(b), "\n") {
		if line == key {
			got["command"]++
		}
	}
	return got
}

func (s *stand) rows(db *sql.DB, key string) int {
	s.t.Helper()
	query := "SELECT COUNT(*) FROM ledger WHERE k = ?"
	if db == s.postgres {
		query = "SELECT COUNT(*) FROM ledger WHERE k = $1"
	}
	var n int
	if err := db.QueryRowContext(s.t.Context(), query, key).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// untilDone resumes a run until it is ok, and says how often it was killed at the point called second. Of a step in doubt it says what the
// step's own target says.
func (s *stand) untilDone(state, run, key, container string, second int) (kills int) {
	s.t.Helper()
	for try := range 12 {
		point := 0
		if try == 0 {
			point = second
		}
		code, killed, _, stderr := s.handrail(state, point, "resume", run)
		switch {
		case killed:
			kills++
		case code == 0, s.show(state, run).State == engine.RunOK: // it was killed when it had ended
			return kills
		case code == 3:
			for _, step := range s.show(state, run).Steps {
				if step.State != engine.InDoubt {
					continue
				}
				word := "not-done"
				if s.count(key, container)[step.ID] > 0 {
					word = "done"
				}
				if code, _, _, errs := s.handrail(state, 0, "resolve", run, step.Path, word, "--because", "the ledger says so"); code != 0 {
					s.t.Fatalf("resolve %s: exit %d\n%s", step.Path, code, errs)
				}
			}
		default:
			s.t.Fatalf("resume: exit %d\n%s", code, stderr)
		}
	}
	s.t.Fatal("the run does not come to an end")
	return 0
}

// crashLanes is how many runs are under way at once: most of a run is waiting for servers.
const crashLanes = 2

// everyPointAgain is how often the full column comes back to Docker: a container takes longer than all the rest.
const everyPointAgain = 50

// TestACrashAtEveryPointLosesAndRepeatsNothing kills a real engine at each point that it passes, on real
// targets, and again in its recovery; the targets' own ledgers are asked how often each effect happened.
func TestACrashAtEveryPointLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	kills, points := 0, 0
	for pass := 0; pass == 0 || kills < torture.Share(t, 0, 0, 50_000) && !t.Failed(); pass++ {
		n, passed := s.everyPoint(pass)
		kills, points = kills+n, max(points, passed)
	}
	torture.Figure(t, 1, "%d points, %d kills, 0 lost, 0 twice", points, kills)
}

// everyPoint kills a run at each of its points, and its recovery at another.
func (s *stand) everyPoint(pass int) (kills, points int) {
	s.t.Helper()
	name := "crash.yaml"
	if pass%everyPointAgain > 0 {
		name = "quick.yaml"
	}
	var lanes [crashLanes]struct{ kills, points int }
	s.t.Run(fmt.Sprintf("pass %d", pass), func(t *testing.T) {
		for lane := range crashLanes {
			t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
				t.Parallel()
				own := *s
				own.t, own.firstStart = t, nil
				for point := lane + 1; ; point += crashLanes {
					n := own.atPoint(name, pass, point)
					if n == 0 {
						break
					}
					lanes[lane].kills += n
					lanes[lane].points = point
				}
			})
		}
	})
	for _, lane := range lanes {
		kills += lane.kills
		points = max(points, lane.points)
	}
	if points < 30 {
		s.t.Errorf("the run passed only %d points", points)
	}
	return kills, points
}

// atPoint kills a run at one point, if it comes to that, and says how often it was killed with its recovery.
func (s *stand) atPoint(playbook string, pass, point int) (kills int) {
	t := s.t
	t.Helper()
	key, container := fmt.Sprintf("k%d-%d", pass, point), ""
	state := filepath.Join(s.dir, "state-"+key)
	args := []string{"run", "./" + playbook, "--env", "./here.yaml", "--yes", "-i", "key=" + key}
	if playbook == "crash.yaml" {
		container = s.container(key)
		args = append(args, "-i", "container="+container)
	}
	code, killed, _, stderr := s.handrail(state, point, args...)
	if !killed && code != 0 {
		t.Fatalf("point %d: exit %d\n%s", point, code, stderr)
	}
	if killed {
		runs, err := os.ReadDir(filepath.Join(state, "runs"))
		if err != nil || len(runs) != 1 {
			t.Fatalf("point %d: %v runs, %v", point, len(runs), err)
		}
		second := point % 11
		if pass > 0 {
			second = 1 + torture.Rand(t, uint64(pass*1000+point)).IntN(max(1, 80-point))
		}
		kills = 1 + s.untilDone(state, runs[0].Name(), key, container, second)
	}
	for id, n := range s.count(key, container) {
		if n != 1 {
			t.Errorf("pass %d, killed at point %d: the effect of step %s happened %d times", pass, point, id, n)
		}
	}
	if container != "" {
		s.dockerCLI("rm", "-f", container)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Error(err)
	}
	return kills
}
