package remote

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func settingsOf(t testing.TB, r engine.Record) Settings {
	t.Helper()
	var s Settings
	if err := steps.Bind(r, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, s *servers.SSHServer) *Conn {
	t.Helper()
	c, err := Open(t.Context(), settingsOf(t, s.Settings()), steps.Full)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hostile are values that one shell or another would take for something else.
var hostile = []string{"", " ", "a b", "it's", `"`, "$HOME", "`id`", "$(id)", `back\slash\\`, "a\nb\n", "\t", "!!", "*", "~", "-n", "--", ";exit", "&", "|", "#", "é€", "\x01\x7f", `'\''`, "END", "<<END", "%s"}

func TestHostileValuesArriveAsTheyAre(t *testing.T) {
	c := open(t, servers.SSH(t))
	argv := append([]string{"printf", "%s\\0"}, hostile...)
	var out, errs bytes.Buffer
	e, err := c.Run(t.Context(), Command{Argv: argv, Stdout: &out, Stderr: &errs, Token: "run/'x' $y"})
	if err != nil || e.Code != 0 || out.String() != strings.Join(hostile, "\x00")+"\x00" {
		t.Errorf("%+v %v\n%q\n%q", e, err, &out, &errs)
	}
	for i, v := range hostile {
		var out bytes.Buffer
		e, err := Jobs{c}.Run(t.Context(), host.Job{Argv: []string{"sh", "-c", `printf %s "$V"; printf %s "$HANDRAIL_TOKEN" >&2; cat`}, Env: []string{"V=" + v},
			Stdin: strings.NewReader(v), Stdout: &out, Token: "run/y"})
		if err != nil || e.Code != 0 || out.String() != v+v {
			t.Errorf("%d %q: %+v %v %q", i, v, e, err, &out)
		}
	}
}

func TestACommandGetsItsInputFolderAndToken(t *testing.T) {
	s := servers.SSH(t)
	c := open(t, s)
	var out, errs bytes.Buffer
	in := strings.Repeat("0123456789\x00", 200_000)
	var noted []Trace
	e, err := c.Run(t.Context(), Command{Argv: []string{"sh", "-c", `pwd; echo "$HANDRAIL_TOKEN $A" >&2; wc -c; exit 7`}, Dir: "/usr", Env: []string{"A=b"},
		Stdin: in, Stdout: &out, Stderr: &errs, Token: "run/x", Noted: func(t Trace) error { noted = append(noted, t); return nil }})
	if err != nil || e.Code != 7 || e.Held || out.String() != "/usr\n2200000\n" || errs.String() != "run/x b\n" {
		t.Errorf("%+v %v %q %q", e, err, &out, &errs)
	}
	if len(noted) != 1 || !strings.HasPrefix(noted[0].Folder, s.Traces()) {
		t.Errorf("%+v", noted)
	}
}

func TestWhatCannotBeStartedHasNoEffect(t *testing.T) {
	c := open(t, servers.SSH(t))
	for want, cmd := range map[string]Command{
		"there is no command no-such-program on 127.0.0.1": {Argv: []string{"no-such-program"}},
		"the folder /no/such cannot be entered":            {Argv: []string{"true"}, Dir: "/no/such"},
		`a variable named "A-B" cannot be handed over`:     {Argv: []string{"true"}, Env: []string{"A-B=x"}},
		"the disk is full":                                 {Argv: []string{"true"}, Noted: func(Trace) error { return errors.New("the disk is full") }},
	} {
		cmd.Token = "run/" + want
		var lost *host.LostError
		if _, err := c.Run(t.Context(), cmd); err == nil || errors.As(err, &lost) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestACutEndsAllOfACommand(t *testing.T) {
	c := open(t, servers.SSH(t))
	for name, text := range map[string]string{
		"asked":  "echo started; sleep 1000; echo not reached",
		"killed": "trap '' TERM; echo started; while :; do sleep 1000; done",
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var out notingWriter
		out.on = func() { cancel(errors.New("enough")) }
		e, err := c.Run(ctx, Command{Argv: []string{"sh", "-c", text}, Stdout: &out, Token: "run/" + name, KillAfter: time.Second})
		if err != nil || e.Cut == nil || e.Cut.Error() != "enough" || e.Code <= 128 || e.Held {
			t.Errorf("%s: %+v %v", name, e, err)
		}
		alive, err := Jobs{c}.Survivors(t.Context(), "run/"+name)
		if err != nil || len(alive) > 0 {
			t.Errorf("%s: %v %v", name, alive, err)
		}
	}
}

// notingWriter calls back at its first byte.
type notingWriter struct {
	bytes.Buffer
	on func()
}

func (w *notingWriter) Write(p []byte) (int, error) {
	if w.on != nil {
		w.on()
		w.on = nil
	}
	return w.Buffer.Write(p)
}

func TestACommandOutlivesItsServer(t *testing.T) {
	s := servers.SSH(t)
	c := open(t, s)
	var out notingWriter
	killed := make(chan struct{})
	out.on = func() {
		go func() {
			defer close(killed)
			s.Restart()
		}()
	}
	var waited int
	text := `i=0; while [ $i -lt 40 ]; do echo "line $i of what it writes"; i=$((i+1)); sleep 0.05; done; exit 5`
	e, err := c.Run(t.Context(), Command{Argv: []string{"sh", "-c", text}, Stdout: &out, Token: "run/x", Waiting: func(string) { waited++ }})
	<-killed
	if err != nil || e.Code != 5 || waited == 0 {
		t.Errorf("%+v %v, waited %d times", e, err, waited)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 40 || lines[39] != "line 39 of what it writes" {
		t.Errorf("%d lines: %q", len(lines), out.String())
	}
}

func TestAMachineThatCannotBeBelievedOrReachedIsExplained(t *testing.T) {
	s := servers.SSH(t)
	good := s.Settings()
	with := func(change engine.Record) engine.Record {
		r := engine.Record{}
		for k, v := range good {
			r[k] = v
		}
		for k, v := range change {
			r[k] = v
		}
		return r
	}
	encrypted := s.NewKey("encrypted", "a long passphrase")
	pinned, err := os.ReadFile(strings.TrimSuffix(engine.Text(good["key"]), "key") + "host.pub")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(s.NewKey("foreign") + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	for what, c := range map[string]struct {
		settings engine.Record
		want     []string
	}{
		"as it is":           {good, nil},
		"pinned":             {with(engine.Record{"host_key": string(pinned), "known_hosts": "/no/such/file"}), nil},
		"no known_hosts":     {with(engine.Record{"known_hosts": "/no/such/file"}), []string{"host key of 127.0.0.1", "is not known", "SHA256:", "ssh-keyscan -p ", "nothing was sent"}},
		"pinned, another":    {with(engine.Record{"host_key": string(foreign)}), []string{"it is another machine, or somebody is in between", "nothing was sent"}},
		"not a host key":     {with(engine.Record{"host_key": "abc"}), []string{"host_key of 127.0.0.1", "is not a public key"}},
		"wrong key":          {with(engine.Record{"key": s.NewKey("other")}), []string{"does not let", "in with the key", "authorized_keys"}},
		"no key":             {with(engine.Record{"key": "/no/such/key"}), []string{"read the private key", "/no/such/key"}},
		"no passphrase":      {with(engine.Record{"key": encrypted}), []string{"is encrypted; give `passphrase`"}},
		"wrong passphrase":   {with(engine.Record{"key": encrypted, "passphrase": engine.NewSecret("P", "not this")}), []string{"cannot be read with this passphrase"}},
		"right passphrase":   {with(engine.Record{"key": encrypted, "passphrase": engine.NewSecret("P", "a long passphrase")}), []string{"does not let"}},
		"no key and agent":   {with(engine.Record{"key": ""}), []string{"there is nothing to log in", "SSH_AUTH_SOCK"}},
		"nobody listens":     {with(engine.Record{"address": "127.0.0.1:1"}), []string{"no ssh server answers at 127.0.0.1:1", "nothing was sent"}},
		"no such machine":    {with(engine.Record{"address": "no-such-machine.invalid"}), []string{"no-such-machine.invalid"}},
		"through a jump":     {with(engine.Record{"jump": engine.Record{"address": good["address"]}}), nil},
		"jump that is wrong": {with(engine.Record{"jump": engine.Record{"address": "127.0.0.1:1"}}), []string{"no ssh server answers at 127.0.0.1:1"}},
	} {
		conn, err := Open(t.Context(), settingsOf(t, c.settings), steps.Full)
		if err == nil {
			var out bytes.Buffer
			if e, err := (Jobs{conn}).Run(t.Context(), host.Job{Argv: []string{"echo", "hello"}, Stdout: &out}); err != nil || e.Code != 0 || out.String() != "hello\n" {
				t.Errorf("%s: %+v %v %q", what, e, err, &out)
			}
			_ = conn.Close()
		}
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", what, err)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
}

func TestAHostKeyThatHasChangedStopsEverything(t *testing.T) {
	s := servers.SSH(t)
	c := open(t, s)
	s.NewKey("host")
	s.Restart()
	_, err := Open(t.Context(), settingsOf(t, s.Settings()), steps.Full)
	if err == nil || !strings.Contains(err.Error(), "HAS CHANGED") || !strings.Contains(err.Error(), "ssh-keygen -f ") || errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
	// Nor does a connection that was there before find its way to it.
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}, Token: "run/x"}); err == nil || !strings.Contains(err.Error(), "HAS CHANGED") {
		t.Errorf("%v", err)
	}
}

func TestAnAgentHasTheKeys(t *testing.T) {
	s := servers.SSH(t)
	keys := agent.NewKeyring()
	text, err := os.ReadFile(engine.Text(s.Settings()["key"]))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(s.Traces()+"-agent", "socket")
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { _ = agent.ServeAgent(keys, conn) })
		}
	})
	t.Setenv("SSH_AUTH_SOCK", socket)
	settings := s.Settings()
	delete(settings, "key")
	conn, err := Open(t.Context(), settingsOf(t, settings), steps.Full)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = l.Close()
	served.Wait()
}

func TestADryRunOpensNoSession(t *testing.T) {
	s := servers.SSH(t)
	c, err := Open(t.Context(), settingsOf(t, s.Settings()), steps.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Run(t.Context(), Command{Argv: []string{"true"}, Token: "run/x"}); !errors.Is(err, errReadOnly) {
		t.Error(err)
	}
	if _, err := (Jobs{c}).Run(t.Context(), host.Job{Argv: []string{"true"}}); !errors.Is(err, errReadOnly) {
		t.Error(err)
	}
	if _, err := (Jobs{c}).Survivors(t.Context(), "run/x"); !errors.Is(err, errReadOnly) {
		t.Error(err)
	}
	if _, err := os.Stat(s.Traces()); err == nil {
		t.Error("there are traces of something")
	}
}

func TestHalfOfAScriptDoesNothing(t *testing.T) {
	dir := t.TempDir()
	for name, whole := range map[string]string{
		"start":   script(startText, given{{"folder", dir}, {"token", "x"}, {"command", "touch " + dir + "/effect"}, {"keeper", libText + keeperText}}),
		"prepare": script(prepareText, given{{"base", dir}, {"key", "k"}, {"token", "x"}, {"dir", ""}, {"path", ""}, {"program", "true"}}),
	} {
		for cut := 0; cut < len(whole)-1; cut += 101 {
			cmd := exec.Command("/bin/sh", "-c", `eval "$(cat)"`)
			cmd.Stdin = strings.NewReader(whole[:cut])
			_ = cmd.Run()
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("%s: %v %v", name, left, err)
		}
	}
}
