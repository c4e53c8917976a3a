package exec_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker"
	"github.com/handrail-dev/handrail/steps/exec"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func newKind() *exec.Kind { return exec.New(docker.New()) }

// ledger is a file to which programs add one line for each time they ran.
type ledger struct{ path string }

func newLedger(t testing.TB) ledger { return ledger{filepath.Join(t.TempDir(), "ledger")} }

func (l ledger) text() string {
	b, err := os.ReadFile(l.path)
	if err != nil {
		return ""
	}
	return string(b)
}

func (l ledger) count(line string) int { return strings.Count(l.text(), line+"\n") }

func (l ledger) clear(t testing.TB) {
	if err := os.RemoveAll(l.path); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	l := newLedger(t)
	say := `echo ran >> "$LEDGER"; echo "the password is $PASSWORD"; echo "$PASSWORD" >&2; cat`
	record := func(extra engine.Record) engine.Record {
		r := engine.Record{
			"env":   engine.Record{"LEDGER": l.path, "PASSWORD": engine.NewSecret("PASSWORD", "hunter22-and-more")},
			"stdin": engine.NewSecret("INPUT", "line one of a secret\nline two of a secret"),
		}
		for k, v := range extra {
			r[k] = v
		}
		return r
	}
	common := steptest.Case{
		Operation: "exec", Setup: func(t testing.TB) { l.clear(t) }, Fingerprint: l.text,
		Effect: func() int { return l.count("ran") },
	}
	argv, shell, fails := common, common, common
	argv.Params = record(engine.Record{"argv": engine.List{"sh", "-c", say}, "codes": engine.List{int64(0)}, "kill_after": time.Second, "dir": "."})
	argv.Bad = []steptest.Bad{
		{Params: engine.Record{}, Path: ""},
		{Params: engine.Record{"argv": engine.List{"a"}, "shell": "a"}, Path: "shell"},
		{Params: engine.Record{"argv": engine.List{}}, Path: "argv"},
		{Params: engine.Record{"argv": engine.List{""}}, Path: "argv[0]"},
		{Params: engine.Record{"argv": engine.List{"a", engine.NewSecret("S", "secret")}}, Path: "argv[1]"},
		{Params: engine.Record{"argv": engine.List{"a", "b\x00c"}}, Path: "argv[1]"},
		{Params: engine.Record{"argv": engine.List{"a"}, "env": engine.Record{"HANDRAIL_TOKEN": "x"}}, Path: "env.HANDRAIL_TOKEN"},
		{Params: engine.Record{"argv": engine.List{"a"}, "env": engine.Record{"A=B": "x"}}, Path: "env.A=B"},
		{Params: engine.Record{"argv": engine.List{"a"}, "env": engine.Record{"A": engine.List{}}}, Path: "env.A"},
		{Params: engine.Record{"argv": engine.List{"a"}, "codes": engine.List{int64(256)}}, Path: "codes[0]"},
		{Params: engine.Record{"argv": engine.List{"a"}, "codes": engine.List{}}, Path: "codes"},
		{Params: engine.Record{"argv": engine.List{"a"}, "kill_after": -time.Second}, Path: "kill_after"},
		{Params: engine.Record{"argv": engine.List{"a"}, "inherit_env": engine.List{"A=B"}}, Path: "inherit_env[0]"},
	}
	shell.Params, shell.Name = record(engine.Record{"shell": say}), "shell"
	fails.Name = "idempotent by the author's word"
	fails.Params = engine.Record{"argv": engine.List{"sh", "-c", `echo ran > "$LEDGER"`}, "env": engine.Record{"LEDGER": l.path}}
	fails.Class = engine.ClassIdempotent
	steptest.Run(t, steptest.Suite{Kind: newKind(), Cases: []steptest.Case{argv, shell, fails, overSSH(t, argv), inContainer(t)}})
}

// overSSH is the same on another machine, which is this one.
func overSSH(t *testing.T, c steptest.Case) steptest.Case {
	c.Name = "over ssh"
	c.Target = &steps.Target{Name: "box", Type: "ssh", Settings: servers.SSH(t).Settings()}
	params := engine.Record{}
	for name, v := range c.Params {
		params[name] = v
	}
	delete(params, "dir") // of the machine there
	c.Params = params
	c.Bad = []steptest.Bad{
		{Params: engine.Record{"argv": engine.List{"a"}, "container": "db-1"}, Path: "container"},
		{Params: engine.Record{"argv": engine.List{"a"}, "user": "root"}, Path: "user"},
	}
	return c
}

// inContainer is a container of the test's own.
func inContainer(t *testing.T) steptest.Case {
	box := newBox(t)
	return steptest.Case{
		Operation: "exec", Name: "in a container", Target: &box.target,
		Params: engine.Record{"argv": engine.List{"sh", "-c", `echo ran >> /tmp/ledger; echo "$PASSWORD"; cat`}, "container": box.name,
			"user": "root", "dir": "/tmp", "codes": engine.List{int64(0)}, "kill_after": time.Second,
			"env":   engine.Record{"PASSWORD": engine.NewSecret("PASSWORD", "hunter22-and-more")},
			"stdin": engine.NewSecret("INPUT", "line one of a secret\nline two of a secret")},
		Setup:       func(t testing.TB) { box.run(t, "rm -f /tmp/ledger") },
		Fingerprint: func() string { return box.run(t, "cat /tmp/ledger 2>/dev/null || true") },
		Effect:      func() int { return strings.Count(box.run(t, "cat /tmp/ledger 2>/dev/null || true"), "ran\n") },
		Bad: []steptest.Bad{
			{Params: engine.Record{"argv": engine.List{"a"}}, Path: ""},
			{Params: engine.Record{"argv": engine.List{"a"}, "container": ""}, Path: ""},
		},
	}
}

// step is an attempt under test.
type step struct {
	env *steps.Env
	rec *steptest.Recorder
	op  steps.Operation
}

func newStep(t testing.TB, params engine.Record) *step {
	t.Helper()
	op, err := newKind().Decode("exec", params)
	if err != nil {
		t.Fatal(err)
	}
	s := &step{op: op}
	call := engine.Call{Step: "x", Kind: "exec", Operation: "exec", Class: engine.ClassUnrepeatable, Attempt: 1,
		Token: fmt.Sprintf("run-%d/x", time.Now().UnixNano())}
	s.env, s.rec = steptest.Env(t, newKind(), call, steps.Target{}, steps.Full)
	return s
}

func shell(text string, env engine.Record) engine.Record {
	return engine.Record{"shell": text, "env": env, "kill_after": 10 * time.Millisecond}
}

func (s *step) settle(ctx context.Context) engine.Settlement {
	return s.op.(steps.Settler).Settle(ctx, s.env)
}

func TestResultsAndFailuresSayWhatHappened(t *testing.T) {
	for _, c := range []struct {
		params engine.Record
		err    string
		want   engine.Record
	}{
		{shell("echo out; echo err >&2; printf 'more\n\n'", nil), "", engine.Record{"code": int64(0), "stdout": "out\nmore", "stderr": "err"}},
		{engine.Record{"argv": engine.List{"sh", "-c", "exit 3"}, "codes": engine.List{int64(0), int64(3)}}, "", engine.Record{"code": int64(3)}},
		{shell("echo it is broken >&2; exit 4", nil), "the shell exited with code 4: it is broken", engine.Record{"code": int64(4)}},
		{shell("false; echo not reached", nil), "the shell exited with code 1", engine.Record{"stdout": ""}},
		{shell("kill -9 $$", nil), "ended by signal 9 (killed)", engine.Record{"code": int64(137)}},
		{engine.Record{"argv": engine.List{"cat"}, "stdin": strings.Repeat("0123456789abcdef", 10000)}, "", engine.Record{"truncated": true}},
		{engine.Record{"argv": engine.List{"cat"}}, "", engine.Record{"stdout": "", "truncated": false}},
		{engine.Record{"argv": engine.List{"printf", `a\377b\342\202`}}, "", engine.Record{"stdout": "a\uFFFDb\uFFFD"}},
		{engine.Record{"argv": engine.List{"printf", "%s", "$(id) `id` ; ${{ x }}\n'\""}}, "", engine.Record{"stdout": "$(id) `id` ; ${{ x }}\n'\""}},
		{engine.Record{"argv": engine.List{"no-such-program"}}, "there is no command no-such-program in PATH", nil},
		{engine.Record{"argv": engine.List{"./no-such"}}, "there is no file", nil},
		{engine.Record{"argv": engine.List{"/etc"}}, "is a folder", nil},
		{engine.Record{"argv": engine.List{"/etc/passwd"}}, "may not be executed", nil},
		{engine.Record{"argv": engine.List{"true"}, "dir": "missing"}, "does not exist; `dir` says where", nil},
	} {
		s := newStep(t, c.params)
		o := s.op.Execute(t.Context(), s.env)
		if (c.err == "") != (o.Err == "") || !strings.Contains(o.Err, c.err) {
			t.Errorf("%s: error %q, want %q", engine.Text(c.params), o.Err, c.err)
		}
		for name, want := range c.want {
			if o.Result[name] != want {
				t.Errorf("%s: %s is %q, want %q", engine.Text(c.params), name, o.Result[name], want)
			}
		}
		if wantEffect := o.Err != "" && c.want != nil; wantEffect != (o.Effect == engine.EffectUnknown) {
			t.Errorf("%s: effect %s", engine.Text(c.params), o.Effect)
		}
		if len(s.rec.Notes()) > 0 {
			t.Errorf("%s: a short program costs a note in the journal", engine.Text(c.params))
		}
	}
}

func TestAScriptThatNamesNoInterpreterIsExplained(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"plain": "echo hello\n", "missing": "#!/no/such/interpreter\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"plain": "run it with a shell", "missing": "the interpreter that it names does not exist"} {
		s := newStep(t, engine.Record{"argv": engine.List{"./" + name}, "dir": dir})
		o := s.op.Execute(t.Context(), s.env)
		if !strings.Contains(o.Err, want) || o.Effect != engine.EffectNone {
			t.Errorf("%+v", o)
		}
		if s := s.settle(t.Context()); s.Verdict != engine.VerdictNotDone {
			t.Errorf("what could not be started leaves %+v", s)
		}
	}
}

func TestOnlyAFewVariablesAreInherited(t *testing.T) {
	t.Setenv("DB_PASSWORD", "hunter22")
	t.Setenv("WANTED", "yes")
	s := newStep(t, engine.Record{"argv": engine.List{"env"}, "inherit_env": engine.List{"WANTED"},
		"env": engine.Record{"N": int64(3), "LANG": "C"}})
	o := s.op.Execute(t.Context(), s.env)
	out := o.Result["stdout"].(string)
	for _, want := range []string{"WANTED=yes", "N=3", "LANG=C", "PATH=", "HANDRAIL_TOKEN=" + s.env.Call.Token} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if strings.Contains(out, "DB_PASSWORD") {
		t.Errorf("the engine's environment leaks:\n%s", out)
	}
}

func TestATimeoutEndsTheWholeGroup(t *testing.T) {
	l := newLedger(t)
	params := shell(`trap 'echo asked >> "$LEDGER"' TERM
		(trap '' TERM; sleep 1000) & echo $! > "$LEDGER.pid"; echo started >> "$LEDGER"; while :; do sleep 0.01 || true; done`,
		engine.Record{"LEDGER": l.path})
	params["kill_after"] = time.Second
	s := newStep(t, params)
	s.env.Call.Timeout = 7 * time.Second
	ctx, stop := withDeadlineOn(t.Context(), func() bool { return l.count("started") == 1 })
	defer stop()
	o := s.op.Execute(ctx, s.env)
	if !strings.Contains(o.Err, "the shell did not end within its timeout of 7s; it was ended by signal 9") || o.Effect != engine.EffectUnknown || o.InDoubt {
		t.Errorf("%+v", o)
	}
	if l.count("asked") == 0 {
		t.Error("it was not asked to end before")
	}
	b, err := os.ReadFile(l.path + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rest of the group ends", func() bool { return ended(strings.TrimSpace(string(b))) })
}

// ended: no such process lives.
func ended(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

// withDeadlineOn is a context that runs into its deadline as soon as something is so.
func withDeadlineOn(ctx context.Context, so func() bool) (context.Context, func()) {
	d := &deadlineWhen{Context: ctx, done: make(chan struct{}), stopped: make(chan struct{})}
	stop := make(chan struct{})
	go func() {
		defer close(d.stopped)
		for !so() {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
		close(d.done)
	}()
	return d, func() { close(stop); <-d.stopped }
}

type deadlineWhen struct {
	context.Context
	done, stopped chan struct{}
}

func (d *deadlineWhen) Done() <-chan struct{} { return d.done }

func (d *deadlineWhen) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	give := time.After(20 * time.Second)
	for !so() {
		select {
		case <-give:
			t.Fatalf("in vain: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func TestWhatIsLeftBehindDoesNotHoldTheStepUp(t *testing.T) {
	s := newStep(t, shell(`sleep 1000 & echo $!`, nil))
	o := s.op.Execute(t.Context(), s.env)
	pid := o.Result["stdout"].(string)
	defer kill(t, pid)
	if o.Err != "" || ended(pid) {
		t.Errorf("%+v", o)
	}
	if !strings.Contains(s.rec.Output(), "left behind still holds its output open") {
		t.Error(s.rec.Output())
	}
}

func TestNothingIsStartedBesideALivingOrphan(t *testing.T) {
	l := newLedger(t)
	s := newStep(t, shell(`setsid sleep 1000 & echo $!; echo ran >> "$LEDGER"; exit 1`, engine.Record{"LEDGER": l.path}))
	o := s.op.Execute(t.Context(), s.env)
	pid := strings.Fields(o.Result["stdout"].(string))[0]
	if !o.InDoubt || len(o.Evidence) == 0 {
		t.Errorf("%+v", o)
	}
	s.env.Call.Attempt = 2
	if o := s.op.Execute(t.Context(), s.env); !strings.Contains(o.Err, "still alive") || o.Effect != engine.EffectNone || l.count("ran") != 1 {
		t.Errorf("%+v, ran %d times", o, l.count("ran"))
	}
	kill(t, pid)
	eventually(t, "it ends", func() bool { return ended(pid) })
	if s.op.Execute(t.Context(), s.env); l.count("ran") != 2 {
		t.Errorf("ran %d times", l.count("ran"))
	}
	for _, name := range strings.Fields(s.rec.Output()) {
		if name != pid {
			kill(t, name)
		}
	}
}

func TestAHugeOutputDoesNotGrowMemory(t *testing.T) {
	s := newStep(t, engine.Record{"argv": engine.List{"head", "-c", "1000000000", "/dev/zero"},
		"env": engine.Record{"PASSWORD": engine.NewSecret("P", "hunter22")}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o := s.op.Execute(t.Context(), s.env)
	runtime.ReadMemStats(&after)
	if o.Err != "" || s.rec.Written() != 1_000_000_000 || o.Result["truncated"] != true || len(o.Result["stdout"].(string)) != 64<<10 {
		t.Errorf("%s, %d bytes written", o.Err, s.rec.Written())
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 32<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

func TestAPreviewStartsNothingAndSaysWhatWould(t *testing.T) {
	l := newLedger(t)
	for _, c := range []struct {
		params   engine.Record
		standing engine.Standing
		would    string
		why      string
	}{
		{engine.Record{"argv": engine.List{"touch", l.path}}, engine.StandingWould, "run touch " + l.path, ""},
		{engine.Record{"argv": engine.List{"echo", "it's", "a b", ""}}, engine.StandingWould, `run echo 'it'\''s' 'a b' ''`, ""},
		{engine.Record{"argv": engine.List{"brr", "backup"}}, engine.StandingUnknown, "run brr backup", "there is no command brr in PATH"},
		{engine.Record{"argv": engine.List{"true"}, "dir": "/nowhere"}, engine.StandingUnknown, "run true", "the folder /nowhere does not exist"},
		{engine.Record{"argv": engine.List{"echo", engine.Unknown{After: "count"}}}, engine.StandingWould, "run echo <known after step count>", "part of it is known after step count"},
		{engine.Record{"argv": engine.Unknown{After: "count"}}, engine.StandingWould, "run a program that is not known yet", "part of it is known after step count"},
		{engine.Record{"shell": "touch \"$L\"\nsecond", "env": engine.Record{"L": l.path}}, engine.StandingWould, "run in a shell: touch \"$L\" …", ""},
	} {
		s := newStep(t, c.params)
		s.env.Access = steps.ReadOnly
		impact, err := s.op.Preview(t.Context(), s.env)
		if err != nil || impact.Standing != c.standing || impact.Would != c.would || !strings.Contains(impact.Why, c.why) || impact.Risk != engine.RiskChanges {
			t.Errorf("%s: %+v %v", engine.Text(c.params), impact, err)
		}
		if o := s.op.Execute(t.Context(), s.env); !strings.Contains(o.Err, "a dry-run starts no program") {
			t.Errorf("%+v", o)
		}
	}
	if l.text() != "" {
		t.Error("something was started")
	}
	if _, err := os.Stat(l.path); err == nil {
		t.Error("something was started")
	}
}
