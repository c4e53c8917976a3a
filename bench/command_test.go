package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// handrail runs the binary that make build made, in a folder of its own.
func handrail(b *testing.B, dir string, args ...string) time.Duration {
	b.Helper()
	binary, err := filepath.Abs("../bin/handrail")
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HANDRAIL_STATE="+filepath.Join(dir, "state"), "HANDRAIL_LOCKS="+filepath.Join(dir, "locks"))
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		b.Fatalf("handrail %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return took
}

// usual is the median of n times.
func usual(n int, f func() time.Duration) time.Duration {
	var all []time.Duration
	for range n {
		all = append(all, f())
	}
	return median(all)
}

func limitRow(work string, took, bar time.Duration, beside string) row {
	return row{work: work, bar: "at most " + bar.String(), handrail: ms(took), beside: beside, figure: ms(took), met: took <= bar}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// starts: what a person waits before anything happens. /bin/true shows what starting a process costs here.
func starts(b *testing.B) []row {
	dir := b.TempDir()
	write(b, filepath.Join(dir, "one.yaml"), "playbook: one\nsteps:\n  - {id: only, exec: {argv: [/bin/true]}}\n")
	bare := usual(20, func() time.Duration {
		began := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	})
	beside := "`/bin/true`: " + ms(bare)
	return []row{
		limitRow("a run of one step, whole", usual(20, func() time.Duration { return handrail(b, dir, "run", "one.yaml", "--yes") }), 30*time.Millisecond, beside),
		limitRow("`version`", usual(20, func() time.Duration { return handrail(b, dir, "version") }), 20*time.Millisecond, beside),
	}
}

// files: a playbook of 1,000 steps of several kinds, with expressions.
func files(b *testing.B) []row {
	dir := b.TempDir()
	write(b, filepath.Join(dir, "many.yaml"), thousand())
	return []row{
		limitRow("`validate`, 1,000 steps", usual(10, func() time.Duration { return handrail(b, dir, "validate", "many.yaml") }), 100*time.Millisecond, "—"),
		limitRow("`plan --offline`, 1,000 steps", usual(10, func() time.Duration {
			return handrail(b, dir, "plan", "many.yaml", "--offline", "-i", "type=COR")
		}), 200*time.Millisecond, "—"),
	}
}

func thousand() string {
	var s strings.Builder
	s.WriteString("playbook: many\ninputs:\n  type: {type: string}\ntargets:\n" +
		"  db: {mysql: {address: 127.0.0.1:3306, user: ops, database: numbering}}\n" +
		"  cache: {redis: {address: 127.0.0.1:6379}}\n  engine: {docker: {}}\nsteps:\n")
	for i := range 250 {
		fmt.Fprintf(&s, `  - id: look_%[1]d
    sql: {query: "SELECT max_value FROM configs WHERE type = :type", args: {type: "${{ inputs.type }}"}}
    expect: len(rows) == 1
  - id: raise_%[1]d
    when: steps.look_%[1]d.rows[0].max_value < 1000
    sql: {exec: "UPDATE configs SET max_value = :to WHERE type = :type", args: {type: "${{ inputs.type }}", to: "${{ steps.look_%[1]d.rows[0].max_value * 10 }}"}}
    expect: affected == 1
  - id: cache_%[1]d
    redis: {do: [SET, "max:${{ inputs.type }}", "%[1]d"]}
  - id: restart_%[1]d
    docker: {restart: ["api-%[1]d"], healthy: 60s}
`, i)
	}
	return s.String()
}

func write(b *testing.B, file, text string) {
	b.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}
