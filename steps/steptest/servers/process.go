package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// startLimit is how long a server may take until it answers; two cores shared by all packages' tests
// can make a start slow.
const startLimit = 60 * time.Second

// errEnded: among other reasons, because another process was quicker to take the port.
var errEnded = errors.New("ended at its start")

// process is one server of a test's own: a child, or a container where the machine has no such
// program. The goroutine that starts the child waits for it and closes ended.
type process struct {
	name      string
	argv      []string
	container string   // its name, when it runs as one
	engine    string   // DOCKER_HOST for that; empty: the usual place
	account   *account // whom it runs as; nil: the user of the test
	output    string   // file that takes what it prints
	answers   func(context.Context) error
	child     *os.Process
	ended     chan struct{}
}

// start begins the process and waits until it answers.
func (p *process) start() error {
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := p.command(p.argv...)
	cmd.Stdout, cmd.Stderr = out, out
	dieWithParent(cmd)
	p.account.take(cmd)
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The kernel binds "die with the parent" to the thread that made the child, so that
		// thread must live as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed as a rule; how it ended is in its output
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.child, p.ended = cmd.Process, ended
	return p.await()
}

func (p *process) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	if p.engine != "" {
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+p.engine)
	}
	return cmd
}

// asContainer: the machine has no such program.
func (p *process) asContainer(t testing.TB, dir string) {
	t.Helper()
	p.container, p.engine = containerName(dir), setting(t, "DOCKER_HOST")
}

func (p *process) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = p.answers(ctx); last == nil {
			return nil
		}
		select {
		case <-p.ended:
			tail, _ := os.ReadFile(p.output)
			return fmt.Errorf("%s %w: %s", p.name, errEnded, tail[max(0, len(tail)-2000):])
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not answer, its output is in %s", p.name, p.output), last)
		case <-tick.C:
		}
	}
}

// kill is SIGKILL; it returns when the process is gone, and does nothing the second time.
func (p *process) kill() {
	if p.child == nil {
		return
	}
	if p.container != "" {
		_ = p.command("docker", "rm", "-f", p.container).Run() // gone already is as good
	}
	_ = p.child.Kill()
	<-p.ended
	p.child = nil
}

// startOnFreePort tries again when another process was quicker to take the port.
func startOnFreePort(t testing.TB, p *process, with func(port int)) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		with(freePort(t))
		err := p.start()
		if err == nil {
			return
		}
		p.kill()
		if attempt == 3 || !errors.Is(err, errEnded) {
			t.Fatal(err)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// folder is a short path (a socket's may have 107 bytes) that goes away with the test.
func folder(t testing.TB, pattern string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // files of a container may be another user's
	return dir
}

// containerName is unlike that of any other test on the machine.
func containerName(dir string) string {
	return "handrail-test-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(dir)
}
