//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// memoryPlaybook has an effect whose marker decides, and one of which only its ledger can say what became of it.
const memoryPlaybook = `playbook: memory
locks: [memory]
inputs:
  key: {type: string, description: What this run writes}
targets: {file: sqlite}
steps:
  - id: lite
    sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}
    retry: {attempts: 5, backoff: 1s}
  - id: command
    exec: {argv: [sh, -c, "echo $1 >> ledger.txt", sh, "${{ inputs.key }}"]}
`

// TestMemoryThatRunsOut: at a point of a run the system gives no more memory, and the runtime ends the process in the middle of whatever
// its goroutines do.
func TestMemoryThatRunsOut(t *testing.T) {
	t.Setenv("HANDRAIL_CRASH_BY", "memory")
	s := newFileStand(t)
	ends := s.memoryEnds(func(state string, point int, key string) {
		code, killed, _, stderr := s.handrail(state, point, s.memoryRun(key)...)
		// The runtime says it in other words wherever it is: out of memory, cannot allocate memory, no new thread.
		if killed || code != 2 || !strings.Contains(stderr, "fatal error: ") {
			t.Fatalf("point %d: exit %d, killed %v\n%s", point, code, killed, stderr)
		}
	})
	torture.Figure(t, 6, "memory ran out at %d points, 0 lost, 0 twice", ends)
}

// TestMemoryOfAControlGroupThatRunsOut: the engine is in a container whose memory is limited, and the kernel ends it there.
func TestMemoryOfAControlGroupThatRunsOut(t *testing.T) {
	t.Setenv("HANDRAIL_CRASH_BY", "kernel")
	s := newFileStand(t)
	s.docker, _ = servers.Docker(t)["host"].(string)
	ends := s.memoryEnds(func(state string, point int, key string) {
		name := fmt.Sprintf("handrail-memory-%d-%s", os.Getpid(), key)
		args := []string{"run", "--name", name, "--memory", "256m", "--memory-swap", "256m", "--network", "none",
			"--pid", "host", "--uts", "host", // the same host, to whoever takes the run over
			"-v", s.dir + ":" + s.dir, "-v", filepath.Dir(s.bin) + ":" + filepath.Dir(s.bin), "-w", s.dir}
		for _, v := range []string{"STATE=" + state, "LOCKS=" + filepath.Join(s.dir, "locks"), "CRASH_POINT=" + strconv.Itoa(point), "CRASH_BY=kernel"} {
			args = append(args, "-e", "HANDRAIL_"+v)
		}
		_ = s.dockerCommand(t.Context(), append(append(args, servers.RedisImage, s.bin), s.memoryRun(key)...)...).Run() // an image with the C library; how it ended is in the container
		t.Cleanup(func() { _ = s.dockerCommand(context.Background(), "rm", "-f", name).Run() })
		if how := s.dockerCLI("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", name); strings.TrimSpace(how) != "true 137" {
			t.Fatalf("point %d: killed for want of memory, exit code: %s\n%s", point, how, s.dockerCLI("logs", name))
		}
	})
	torture.Figure(t, 6, "the kernel ended the engine for want of memory in a control group at %d points, 0 lost, 0 twice", ends)
}

// memoryEnds lets the engine end at each point, takes the run over, and asks the ledgers.
func (s *stand) memoryEnds(end func(state string, point int, key string)) (ends int) {
	t := s.t
	t.Helper()
	s.write("memory.yaml", memoryPlaybook)
	s.write("here.yaml", fmt.Sprintf("targets:\n  file: {sqlite: {file: %q}}\n", s.liteFile))
	for _, point := range s.pointsOf("before transactional of lite", "after transactional of lite", "after unrepeatable of command") {
		key := "m" + strconv.Itoa(point)
		state := filepath.Join(s.dir, "state-"+key)
		end(state, point, key)
		ends++
		if run := s.begun(state); run != "" {
			if v := s.show(state, run); !v.State.Final() && v.State != engine.Interrupted {
				t.Errorf("point %d: the run is %s", point, v.State)
			}
			s.untilDone(state, run, key, "", 0)
		} else if code, _, _, stderr := s.handrail(state, 0, s.memoryRun(key)...); code != 0 { // the lock is in nobody's way
			t.Fatalf("point %d: exit %d\n%s", point, code, stderr)
		}
		for id, n := range s.countInFiles(key) {
			if n != 1 {
				t.Errorf("memory ran out at point %d: the effect of step %s happened %d times", point, id, n)
			}
		}
	}
	return ends
}

func (s *stand) memoryRun(key string) []string {
	return []string{"run", "./memory.yaml", "--env", "./here.yaml", "--yes", "-i", "key=" + key}
}

// pointsOf are all points of a run, or in `make test` those of these names.
func (s *stand) pointsOf(names ...string) []int {
	s.t.Helper()
	log := filepath.Join(s.dir, "points")
	s.t.Setenv("HANDRAIL_CRASH_LOG", log)
	if code, _, _, stderr := s.handrail(filepath.Join(s.dir, "state-whole"), 0, s.memoryRun("whole")...); code != 0 {
		s.t.Fatalf("exit %d\n%s", code, stderr)
	}
	s.t.Setenv("HANDRAIL_CRASH_LOG", "")
	b, err := os.ReadFile(log)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []int
	for _, m := range regexp.MustCompile(`(?m)^(\d+) (.*)$`).FindAllStringSubmatch(string(b), -1) {
		for _, name := range names {
			if torture.How(s.t) == torture.Light && m[2] != name {
				continue
			}
			n, err := strconv.Atoi(m[1])
			if err != nil {
				s.t.Fatal(err)
			}
			out = append(out, n)
			break
		}
	}
	if len(out) < len(names) {
		s.t.Fatalf("not all of %q are there:\n%s", names, b)
	}
	return out
}
