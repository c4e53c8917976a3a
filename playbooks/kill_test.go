package playbooks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps"
)

// scene is a world of its own for one run of a shipped playbook.
type scene struct {
	targets []steps.Target
	given   map[string]any
	secret  map[string]string // inputs of type secret
	// end says how the world is AFTER the run. However often the engine was killed on the way, it says the same.
	end func() string
	// doubt is what somebody would say who has looked at the target: done or not-done. nil: no step of it may ever be in doubt.
	doubt func(step string) string
}

// killer is the engine with crash points.
type killer struct{ bin string }

func newKiller(t *testing.T) killer {
	t.Helper()
	k := killer{filepath.Join(t.TempDir(), "handrail")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "crashpoints", "-o", k.bin, "../cmd/handrail").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return k
}

// killing is one run, with a state folder of its own.
type killing struct {
	killer
	t   *testing.T
	dir string
	env []string
	scene
	playbook string
}

// kill runs a shipped playbook once without harm, and then once for each of some places, at which the engine kills itself with SIGKILL, and in `make
// torture` once more in its recovery. It is resumed until it has ended, and the world must be as AFTER the first run. `make test` has light places,
// spread over the run, and `make torture` all.
func (k killer) kill(t *testing.T, playbook string, light int, fresh func(t *testing.T) scene) {
	t.Helper()
	t.Run(playbook, func(t *testing.T) {
		places, want := k.everyPlace(t, playbook, fresh(t))
		chosen := spread(places, light)
		if torture.How(t) != torture.Light {
			chosen = slices.DeleteFunc(slices.Clone(places), func(at int) bool { return !torture.Mine(t, at) })
		}
		for _, at := range chosen {
			t.Run(fmt.Sprintf("point %d", at), func(t *testing.T) {
				run := k.begin(t, playbook, fresh(t))
				second := 0
				if torture.How(t) != torture.Light {
					second = 1 + at%13
				}
				run.through(at, second)
				if got := run.end(); got != want {
					t.Errorf("killed at point %d of %d the world is\n%s\nand without\n%s", at, len(places), got, want)
				}
			})
		}
		torture.Figure(t, 1, "killed at %d of %d points", len(chosen), len(places))
	})
}

// everyPlace runs the playbook to its end, and gives the points that it has passed.
func (k killer) everyPlace(t *testing.T, playbook string, s scene) (places []int, end string) {
	t.Helper()
	run := k.begin(t, playbook, s)
	log := filepath.Join(run.dir, "points")
	run.env = append(run.env, "HANDRAIL_CRASH_LOG="+log)
	run.through(0, 0)
	for i := range strings.Count(string(slurp(t, log)), "\n") {
		places = append(places, i+1)
	}
	if len(places) < 10 {
		t.Fatalf("%s has passed %d points: %s", playbook, len(places), slurp(t, log))
	}
	return places, run.end()
}

// spread picks some of the places, the middle of each part.
func spread(places []int, count int) []int {
	var out []int
	for i := range count {
		out = append(out, places[(2*i+1)*len(places)/(2*count)])
	}
	return slices.Compact(out)
}

func (k killer) begin(t *testing.T, playbook string, s scene) *killing {
	t.Helper()
	run := &killing{killer: k, t: t, dir: t.TempDir(), scene: s, playbook: playbook}
	run.env = append(os.Environ(), "HANDRAIL_STATE="+filepath.Join(run.dir, "state"), "HANDRAIL_LOCKS="+filepath.Join(run.dir, "locks"), "KILL_DB_PASSWORD=correct horse")
	var env strings.Builder
	env.WriteString("targets:\n")
	for _, target := range s.targets {
		settings, err := json.Marshal(shown(target.Settings))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&env, "  %s: {%s: %s}\n", target.Name, target.Type, settings)
	}
	env.WriteString("secrets:\n  DB_PASSWORD: {env: KILL_DB_PASSWORD}\n  DB_ROOT_PASSWORD: {env: KILL_DB_PASSWORD}\n")
	put(t, filepath.Join(run.dir, "environment.yaml"), []byte(env.String()))
	given := s.given
	if given == nil {
		given = map[string]any{}
	}
	inputs, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(run.dir, "inputs.yaml"), inputs)
	return run
}

// shown are settings as an environment file has them.
func shown(settings engine.Record) map[string]any {
	out := map[string]any{}
	for name, v := range settings {
		out[name] = v
		if text, secret := engine.Reveal(v); secret {
			out[name] = text
		}
	}
	return out
}

// handrail runs the program, which kills itself at a point; 0: at none.
func (k *killing) handrail(point int, args ...string) (code int, dead bool, out, errs string) {
	k.t.Helper()
	c := exec.CommandContext(k.t.Context(), k.bin, args...)
	c.Dir = k.dir
	c.Env = append(slices.Clone(k.env), fmt.Sprintf("HANDRAIL_CRASH_POINT=%d", point))
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		k.t.Fatal(err)
	}
	status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	return c.ProcessState.ExitCode(), status.Signaled() && status.Signal() == syscall.SIGKILL, stdout.String(), stderr.String()
}

// begun is the run whose first event is there. One that was killed before that has only its folder.
func (k *killing) begun() string {
	k.t.Helper()
	runs, err := os.ReadDir(filepath.Join(k.dir, "state", "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.t.Fatal(err)
	}
	for _, run := range runs {
		if code, _, _, _ := k.handrail(0, "show", run.Name(), "-o", "json"); code == 0 {
			return run.Name()
		}
	}
	return ""
}

// through runs the playbook, killed at the first point, and resumes it until it has ended, killed in the first resume at the second.
func (k *killing) through(first, second int) {
	k.t.Helper()
	var secrets []string
	for _, name := range slices.Sorted(maps.Keys(k.secret)) {
		secrets = append(secrets, "-i", name+"="+k.secret[name])
	}
	args := append([]string{"run", k.playbook, "--yes", "--env", "./environment.yaml", "--inputs", "inputs.yaml"}, secrets...)
	points := []int{first, second}
	for try := range 20 {
		point := 0
		if try < len(points) {
			point = points[try]
		}
		code, dead, _, errs := k.handrail(point, args...)
		id := k.begun()
		switch {
		case code == 0 || id != "" && dead && k.well(id):
			return
		case dead && id != "":
			args = append([]string{"resume", id}, secrets...)
		case dead: // before the run had begun; another is
		case code == 3:
			k.answer(id)
			args = append([]string{"resume", id}, secrets...)
		default:
			k.t.Fatalf("%v, killed at %d: it ended with %d\n%s", args, first, code, errs)
		}
	}
	k.t.Fatal("it comes to no end")
}

// view is what show says of a run.
type view struct {
	State engine.RunState
	Steps []engine.StepView
}

func (k *killing) view(id string) view {
	k.t.Helper()
	_, _, out, errs := k.handrail(0, "show", id, "-o", "json")
	var v view
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		k.t.Fatalf("%v: %s%s", err, out, errs)
	}
	return v
}

// well: it had ended already when it was killed.
func (k *killing) well(id string) bool {
	v := k.view(id)
	return v.State == engine.RunOK || v.State == engine.RunDegraded
}

// answer says yes to what is asked, and of what is in doubt what the scene says.
func (k *killing) answer(id string) {
	k.t.Helper()
	answered := 0
	for _, s := range k.view(id).Steps {
		switch {
		case s.State == engine.InDoubt && k.doubt == nil:
			k.t.Fatalf("step %s is in doubt: %q", s.Path, s.Evidence)
		case s.State == engine.InDoubt:
			k.must("resolve", id, s.Path, k.doubt(s.Path), "--because", "I looked")
			answered++
		case s.Waiting && s.Ask != "":
			k.must("approve", id, s.Path)
			answered++
		}
	}
	if answered == 0 {
		k.t.Fatalf("run %s waits, and for nobody", id)
	}
}

func (k *killing) must(args ...string) {
	k.t.Helper()
	if code, _, out, errs := k.handrail(0, args...); code != 0 {
		k.t.Fatalf("%v ended with %d: %s%s", args, code, out, errs)
	}
}
