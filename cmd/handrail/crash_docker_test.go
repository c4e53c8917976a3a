package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// dockerCrashPlaybook makes a network and a container, and restarts a Compose project, which takes the
// command a while.
const dockerCrashPlaybook = `playbook: docker-crash
inputs: {name: {type: string}, subnet: {type: string}}
targets: {engine: docker}
steps:
  - {id: net, docker: {network: "${{ inputs.name }}", subnet: "${{ inputs.subnet }}"}}
  - id: svc
    docker: {run: {name: "${{ inputs.name }}", image: "handrail-test/base:1", network: "${{ inputs.name }}", command: [sh, -c, "echo started; exec sleep 600"]}}
  - {id: stack, docker: {compose: restart, file: compose.yaml, project: "${{ inputs.name }}", grace: 1s}}
  - {id: proven, verify: [{docker: {networks: "${{ inputs.name }}"}, expect: "networks[0].subnets == [inputs.subnet]"}]}
`

const dockerCrashStack = `services:
  web: {image: "handrail-test/base:1", stop_signal: KILL, command: [sh, -c, "echo started; exec sleep 600"]}
`

// TestAKillWhileDockerWorksLosesAndRepeatsNothing kills a real engine from outside while Docker, or the
// Compose command, is at work for it. Both go on without the engine.
func TestAKillWhileDockerWorksLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	servers.Compose(t)
	s := newFileStand(t)
	s.docker, _ = servers.Docker(t)["host"].(string)
	s.write("docker-crash.yaml", dockerCrashPlaybook)
	s.write("compose.yaml", dockerCrashStack)
	s.write("here.yaml", fmt.Sprintf("targets:\n  engine: {docker: {host: %q}}\n", s.docker))
	for i, when := range []struct {
		what string
		so   func(name, state string) bool
	}{
		{"the network is made", func(name, _ string) bool {
			return s.dockerCLI("network", "ls", "-q", "--filter", "name="+name+"$") != ""
		}},
		{"the container is made", func(name, _ string) bool { return s.dockerCLI("ps", "-aq", "--filter", "name="+name+"$") != "" }},
		{"the Compose command has begun", func(_, state string) bool {
			locks, err := filepath.Glob(filepath.Join(state, "runs", "*", "scratch", "*.lock"))
			return err == nil && len(locks) > 0
		}},
		{"the Compose command has restarted it", func(name, _ string) bool { return s.saidStarted(name+"-web-1", name+"_web_1") == 2 }},
	} {
		t.Run(when.what, func(t *testing.T) {
			name := fmt.Sprintf("handrail-crash-%d-%d", os.Getpid(), i)
			b := make([]byte, 2)
			_, _ = rand.Read(b) // it never fails
			subnet := fmt.Sprintf("10.%d.%d.32/28", 96+b[0]%128, b[1])
			state := filepath.Join(s.dir, "state-"+name)
			s.compose(name, "up", "-d")
			t.Cleanup(func() { s.sweep(name) })
			run := exec.CommandContext(t.Context(), s.bin, "run", "./docker-crash.yaml", "--env", "./here.yaml", "--yes", "-i", "name="+name, "-i", "subnet="+subnet)
			run.Dir = s.dir
			run.Env = append(os.Environ(), "HANDRAIL_STATE="+state, "HANDRAIL_LOCKS="+filepath.Join(s.dir, "locks"))
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.After(3 * time.Minute)
			for !when.so(name, state) {
				select {
				case <-late:
					t.Fatal("it never came to that")
				case <-time.After(10 * time.Millisecond):
				}
			}
			_ = run.Process.Kill() // it may have ended
			_ = run.Wait()
			runs, err := os.ReadDir(filepath.Join(state, "runs"))
			if err != nil || len(runs) != 1 {
				t.Fatalf("%d runs, %v", len(runs), err)
			}
			if code, _, _, errs := s.handrail(state, 0, "resume", runs[0].Name()); code != 0 && s.show(state, runs[0].Name()).State.String() != "ok" {
				t.Fatalf("resume: exit %d\n%s", code, errs)
			}
			if n := strings.Count(s.dockerCLI("network", "ls", "--format", "{{.Name}}", "--filter", "name="+name+"$"), name); n != 1 {
				t.Errorf("there are %d networks", n)
			}
			if n := s.saidStarted(name); n != 1 {
				t.Errorf("the container was started %d times", n)
			}
			if n := s.saidStarted(name+"-web-1", name+"_web_1"); n != 2 {
				t.Errorf("the service was started %d times, the first time included", n)
			}
		})
	}
}

// saidStarted says how often a container has said so. Versions of Compose name it differently.
func (s *stand) saidStarted(names ...string) int {
	n := 0
	for _, name := range names {
		out, _ := s.dockerCommand(s.t.Context(), "logs", name).CombinedOutput() // one of them is not there
		n += strings.Count(string(out), "started\n")
	}
	return n
}

func (s *stand) compose(name string, args ...string) {
	s.t.Helper()
	argv := append([]string{"docker-compose"}, "-p", name, "-f", filepath.Join(s.dir, "compose.yaml"))
	if _, err := exec.LookPath("docker-compose"); err != nil {
		argv = append([]string{"docker", "compose"}, argv[1:]...)
	}
	c := exec.CommandContext(s.t.Context(), argv[0], append(argv[1:], args...)...)
	c.Env = append(os.Environ(), "DOCKER_HOST="+s.docker)
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("compose: %v\n%s", err, out)
	}
}

// sweep removes what the test has made.
func (s *stand) sweep(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, args := range [][]string{{"rm", "-f", name, name + "-web-1", name + "_web_1"}, {"network", "rm", name, name + "_default"}} {
		_ = s.dockerCommand(ctx, args...).Run() // not all of them are there
	}
}
