package container_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// newRunner makes a container that runs until the end of the test.
func newRunner(t *testing.T) (container.Runner, *client.Client) {
	t.Helper()
	settings := servers.Docker(t)
	conn, err := docker.New().Connect(t.Context(), steps.Target{Name: "engine", Type: "docker", Settings: settings}, steps.Full)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	address, _ := engine.Reveal(settings["host"])
	plain, err := client.NewClientWithOpts(client.WithHost(address), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	name := "hr-test-runner-" + strings.ToLower(rand.Text()[:10])
	if _, err := plain.ContainerCreate(t.Context(), &apicontainer.Config{Image: servers.Image, Cmd: []string{"sleep", "3600"}, StopSignal: "KILL"}, nil, nil, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plain.ContainerRemove(context.Background(), name, apicontainer.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	if err := plain.ContainerStart(t.Context(), name, apicontainer.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return container.Runner{Engine: conn.(container.Engine), Container: name}, plain
}

func TestAJobInAContainerStreamsItsInputAndOutput(t *testing.T) {
	r, _ := newRunner(t)
	in, out := sha256.New(), sha256.New()
	var errs bytes.Buffer
	e, err := r.Run(t.Context(), host.Job{
		Argv: []string{"sh", "-c", `cat; echo "$A in $PWD with $HANDRAIL_TOKEN" >&2; exit 3`}, Dir: "/tmp",
		Env: []string{"A=it's \"a\" $value"}, Token: "run/x",
		Stdin: io.TeeReader(io.LimitReader(rand.Reader, 16<<20), in), Stdout: out, Stderr: &errs})
	if err != nil || e.Code != 3 || e.Cut != nil {
		t.Fatalf("%+v %v", e, err)
	}
	if !bytes.Equal(in.Sum(nil), out.Sum(nil)) {
		t.Error("what came out is not what went in")
	}
	if got := errs.String(); got != "it's \"a\" $value in /tmp with run/x\n" {
		t.Errorf("%q", got)
	}
}

func TestAJobInAContainerThatCannotBeStartedHasNoEffect(t *testing.T) {
	r, _ := newRunner(t)
	for want, run := range map[string]func() (host.Ended, error){
		"there is no such program in it": func() (host.Ended, error) {
			return r.Run(t.Context(), host.Job{Argv: []string{"no-such-program"}})
		},
		"look at container no-such-container": func() (host.Ended, error) {
			return container.Runner{Engine: r.Engine, Container: "no-such-container"}.Run(t.Context(), host.Job{Argv: []string{"true"}})
		},
	} {
		var lost *host.LostError
		if _, err := run(); err == nil || errors.As(err, &lost) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAJobInAContainerIsEndedThere(t *testing.T) {
	r, _ := newRunner(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		_, _ = host.AwaitGone(t.Context(), r, "run/none", func(string) {}) // nothing carries it
		for {
			alive, err := r.Survivors(t.Context(), "run/long")
			if err != nil || len(alive) > 0 {
				cancel(enough)
				return
			}
		}
	}()
	e, err := r.Run(ctx, host.Job{Argv: []string{"sleep", "3000"}, Token: "run/long", KillAfter: 5 * time.Second})
	if err != nil || !errors.Is(e.Cut, enough) {
		t.Fatalf("%+v %v", e, err)
	}
	if alive, err := r.Survivors(t.Context(), "run/long"); err != nil || len(alive) > 0 {
		t.Errorf("%v %v", alive, err)
	}
}

func TestAWriterThatFailsEndsTheJobInTheContainer(t *testing.T) {
	r, _ := newRunner(t)
	read, write := io.Pipe()
	_ = read.CloseWithError(errors.New("the disk is full"))
	e, err := r.Run(t.Context(), host.Job{Argv: []string{"yes"}, Stdout: write, Token: "run/yes", KillAfter: time.Second})
	if err != nil || e.Cut == nil || !strings.Contains(e.Cut.Error(), "the disk is full") {
		t.Errorf("%+v %v", e, err)
	}
	if alive, err := r.Survivors(t.Context(), "run/yes"); err != nil || len(alive) > 0 {
		t.Errorf("%v %v", alive, err)
	}
}

func TestAJobWhoseContainerIsKilledIsNotTakenForWhole(t *testing.T) {
	r, plain := newRunner(t)
	started := &announcing{said: make(chan struct{}, 1)}
	over, failed := plain.ContainerWait(t.Context(), r.Container, apicontainer.WaitConditionNotRunning)
	go func() {
		<-started.said
		_ = plain.ContainerKill(context.WithoutCancel(t.Context()), r.Container, "KILL")
	}()
	e, err := r.Run(t.Context(), host.Job{Argv: []string{"sh", "-c", "echo started; sleep 3000"}, Stdout: started, Token: "run/killed"})
	if err == nil && e.Code == 0 {
		t.Errorf("%+v %v", e, err)
	}
	select {
	case <-over:
	case err := <-failed:
		t.Fatal(err)
	}
	if alive, err := r.Survivors(t.Context(), "run/killed"); err != nil || len(alive) > 0 {
		t.Errorf("%v %v", alive, err)
	}
}

type announcing struct{ said chan struct{} }

func (a *announcing) Write(p []byte) (int, error) {
	select {
	case a.said <- struct{}{}:
	default:
	}
	return len(p), nil
}
