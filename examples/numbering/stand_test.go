package numbering_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// stand is a numbering stack of the test's own, and the program that acts on it.
type stand struct {
	t                  *testing.T
	dir, name, net     string
	program            string
	env                []string
	db                 *sql.DB
	cache              *goredis.ClusterClient
	environment, input string
}

// newStand starts the stack, as `make stack` does.
func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, dir: t.TempDir(), name: fmt.Sprintf("hr-stack-%08x", rand.Uint32()), net: fmt.Sprintf("10.%d.%d", 212+rand.IntN(40), rand.IntN(256))}
	s.program = filepath.Join(s.dir, "handrail")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.program, "../../cmd/handrail")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stack := filepath.Join(s.dir, "stack")
	s.environment, s.input = filepath.Join(stack, "environment.yaml"), filepath.Join(stack, "disaster-recovery.yaml")
	host, _ := servers.Docker(t)["host"].(string)
	s.env = append(os.Environ(), "HANDRAIL="+s.program, "NUMBERING_NAME="+s.name, "NUMBERING_NET="+s.net, "NUMBERING_DIR="+stack,
		"HANDRAIL_STATE="+filepath.Join(s.dir, "state"), "HANDRAIL_LOCKS="+filepath.Join(s.dir, "locks"), "DOCKER_HOST="+host)
	t.Cleanup(func() {
		c := exec.Command("./stack", "down")
		c.Env = s.env
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	s.stack("up")
	s.connect()
	return s
}

func (s *stand) stack(what string) {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), "./stack", what)
	c.Env = s.env
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("stack %s: %v: %s", what, err, out)
	}
}

func (s *stand) connect() {
	s.t.Helper()
	password, err := os.ReadFile(filepath.Join(s.dir, "stack", "db-password"))
	if err != nil {
		s.t.Fatal(err)
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName = "tcp", s.net+".1:3306", "numbering", strings.TrimSpace(string(password)), "lcbp3_production"
	connector, err := mysql.NewConnector(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.db = sql.OpenDB(connector)
	s.cache = goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{s.net + ".1:6379"}})
	s.t.Cleanup(func() { _, _ = s.db.Close(), s.cache.Close() })
}

// said is how the program ended.
type said struct {
	code     int
	out, err string
}

func (s *stand) handrail(args ...string) said {
	s.t.Helper()
	return s.kill("", 0, args...)
}

// kill runs the program with events as JSON, and kills it with -9 a while AFTER the step's intent was recorded, or as soon as its answer was,
// if that comes first. The code is -1 if it came that far.
func (s *stand) kill(step string, wait time.Duration, args ...string) said {
	s.t.Helper()
	if step != "" {
		args = append(args, "-o", "json")
	}
	ctx, stop := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer stop()
	c := exec.CommandContext(ctx, s.program, args...)
	c.Env = s.env
	var stdout, stderr bytes.Buffer
	c.Stderr = &stderr
	pipe, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewReader(io.TeeReader(pipe, &stdout))
	for {
		line, err := lines.ReadString('\n')
		var e struct{ Event, Step string }
		if step != "" && json.Unmarshal([]byte(line), &e) == nil && e.Step == step {
			kill := func() { _ = c.Process.Kill() } // it may have ended
			switch e.Event {
			case "intended":
				late := time.AfterFunc(wait, kill)
				defer late.Stop()
			case "finished":
				kill()
			}
		}
		if err != nil {
			break
		}
	}
	err = c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return said{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *stand) is(got said, code int, words ...string) said {
	s.t.Helper()
	if got.code != code {
		s.t.Fatalf("it ended with %d, wanted %d:\n%s%s", got.code, code, got.out, tail(got.err))
	}
	for _, w := range words {
		if !strings.Contains(got.out+got.err, w) {
			s.t.Errorf("%q is missing in:\n%s%s", w, got.out, tail(got.err))
		}
	}
	return got
}

func tail(text string) string { return text[max(0, len(text)-6000):] }

// backup takes both backups, by playbook.
func (s *stand) backup() {
	s.t.Helper()
	folder := filepath.Join(s.dir, "stack", "backups")
	s.is(s.handrail("run", "mariadb-backup", "--yes", "--env", s.environment, "-i", "folder="+folder+"/numbering"), 0)
	s.is(s.handrail("run", "redis-backup", "--yes", "--env", s.environment, "-i", "folder="+folder+"/redis",
		"-i", fmt.Sprintf("containers=%[1]s-redis-1,%[1]s-redis-2,%[1]s-redis-3", s.name)), 0)
}

var runID = regexp.MustCompile(`[0-9]{8}-[0-9]{6}-[a-z0-9]{4}`)

// run is the id of the run that the program has told of.
func (s said) run(t *testing.T) string {
	t.Helper()
	id := runID.FindString(s.out + s.err)
	if id == "" {
		t.Fatalf("no run was begun:\n%s", s.err)
	}
	return id
}

// approve says yes to whatever the run waits for. One step may be in doubt, the one that loads the dump: a dump is many statements, and
// MariaDB commits each by itself. The evidence shows that it is not done, and a person says so.
func (s *stand) approve(run string) {
	s.t.Helper()
	var shown struct {
		Steps []struct {
			Path, State, Ask string
			Waiting          bool
			Evidence         []string
		}
	}
	if err := json.Unmarshal([]byte(s.is(s.handrail("show", run, "-o", "json"), 0).out), &shown); err != nil {
		s.t.Fatal(err)
	}
	approved := 0
	for _, step := range shown.Steps {
		switch {
		case step.State == "in doubt" && step.Path == "data/restore":
			s.t.Logf("%s is in doubt: %q", step.Path, step.Evidence)
			s.is(s.handrail("resolve", run, step.Path, "not-done", "--because", "tables are missing"), 0)
			approved++
		case step.State == "in doubt":
			s.t.Fatalf("step %s is in doubt: %q", step.Path, step.Evidence)
		case step.Waiting && step.Ask != "":
			s.t.Logf("%s asks: %s", step.Path, step.Ask)
			s.is(s.handrail("approve", run, step.Path), 0)
			approved++
		}
	}
	if approved == 0 {
		s.t.Fatalf("run %s waits, and for nobody", run)
	}
}

// writers give out numbers on both back ends until stop is called, and remember each that they were given.
type writers struct {
	mu    sync.Mutex
	given map[string]time.Time // "COR ALL 17", and when its answer was there
	twice []string
	stop  func()
}

// client opens a connection for each request: one that is kept would be to a back end that is long gone, AFTER the disaster.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

func (s *stand) write(w *writers, port int) (number string, err error) {
	r, err := client.Post(fmt.Sprintf("http://%s.1:%d/numbers/COR", s.net, port), "", nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	var n struct {
		Type, Scope string
		Number      int64
	}
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil || r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %w", r.Status, err)
	}
	number = fmt.Sprintf("%s %s %d", n.Type, n.Scope, n.Number)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.given[number]; ok {
		w.twice = append(w.twice, number)
	}
	w.given[number] = time.Now()
	return number, nil
}

// begin lets two writers write, one on each back end.
func (s *stand) begin(w *writers) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var all sync.WaitGroup
	for _, port := range []int{3001, 3002} {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = s.write(w, port) // a back end that is gone gives no number
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
	w.stop = func() { cancel(); all.Wait() }
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.given)
}

// standing is what there is of the stack, with the times at which containers were started.
func (s *stand) standing() string {
	s.t.Helper()
	var all []string
	for _, args := range [][]string{
		{"ps", "-aq", "--no-trunc", "--filter", "name=^" + s.name}, {"volume", "ls", "-q", "--filter", "name=^" + s.name}, {"network", "ls", "-q", "--filter", "name=^" + s.name},
	} {
		out := s.docker(args...)
		all = append(all, out)
		if args[0] == "ps" {
			for _, id := range strings.Fields(out) {
				all = append(all, s.docker("inspect", "-f", "{{.Name}} {{.State.StartedAt}} {{.State.Status}}", id))
			}
		}
	}
	return strings.Join(all, "\n")
}

func (s *stand) docker(args ...string) string {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), "docker", args...)
	c.Env = s.env
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("docker %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
