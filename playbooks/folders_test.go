package playbooks_test

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// appending writes lines to a file until stop is called.
func appending(t *testing.T, file string) (stop func()) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
				_, _ = f.WriteString("a line\n")
			}
		}
	}()
	return func() { close(end); <-done; _ = f.Close() }
}

// composed is a service under Compose that writes into a folder all the time.
func composed(t *testing.T) (folder, file string, target steps.Target) {
	t.Helper()
	return composedOf(t, "while :; do date >> /data/log; sleep 1; done")
}

func composedOf(t *testing.T, script string) (folder, file string, target steps.Target) {
	t.Helper()
	servers.Compose(t)
	folder = filepath.Join(t.TempDir(), "hr-folder-"+strings.ToLower(rand.Text()[:10])) // names the project
	if err := os.MkdirAll(filepath.Join(folder, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, "docker-compose.yaml")
	text := `services:
  writer:
    image: ` + servers.Image + `
    command: [sh, -c, "` + script + `"]
    stop_signal: KILL
    volumes: ["./data:/data"]
    healthcheck: {test: [CMD, test, -s, /data/log], interval: 300ms}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { composeOf(t, context.Background(), file, "down") })
	composeOf(t, t.Context(), file, "up", "-d")
	return folder, file, steps.Target{Name: "engine", Type: "docker", Settings: servers.Docker(t)}
}

func composeOf(t *testing.T, ctx context.Context, file string, args ...string) {
	t.Helper()
	words := append([]string{"docker-compose", "-f", file}, args...)
	if exec.Command("docker", "compose", "version").Run() == nil {
		words = append([]string{"docker", "compose", "-f", file}, args...)
	}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	host, _ := engine.Reveal(servers.Docker(t)["host"])
	c.Env = append(os.Environ(), "DOCKER_HOST="+host)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", words, err, out)
	}
}

func TestServiceFoldersAreBackedUpAndComeBack(t *testing.T) {
	folder, file, target := composed(t)
	data := filepath.Join(folder, "data")
	if err := os.WriteFile(filepath.Join(data, "kept"), []byte("yesterday"), 0o644); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 16<<20) // to read it takes longer than to write a line
	_, _ = rand.Read(noise)
	if err := os.WriteFile(filepath.Join(data, "noise"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	backups := t.TempDir()
	archive := filepath.Join(backups, "one.tar.gz")
	w := open(t, "rabbitmq-backup", target)
	w.written = []string{filepath.Join(data, "log")}
	given := map[string]any{"from": []any{data}, "to": archive, "compose": file}
	w.ends(w.run(given), engine.RunOK)

	// Without the stop the log grows while it is read. That is found, and nothing is left that looks like a backup.
	running := filepath.Join(backups, "running.tar.gz")
	stop := appending(t, filepath.Join(data, "log"))
	w.ends(w.run(map[string]any{"from": []any{data}, "to": running, "compose": file, "stop": false}), engine.RunFailed)
	stop()
	if _, err := os.Stat(running); !os.IsNotExist(err) {
		t.Errorf("there is an archive of what was written to meanwhile: %v", err)
	}

	if err := os.WriteFile(filepath.Join(data, "kept"), []byte("spoiled"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := open(t, "rabbitmq-restore", target)
	r.written = w.written
	r.yes = true
	back := map[string]any{"archive": archive, "into": folder, "safety": filepath.Join(backups, "before.tar.gz"), "compose": file}
	r.ends(r.run(back), engine.RunOK)
	if got, err := os.ReadFile(filepath.Join(data, "kept")); err != nil || string(got) != "yesterday" {
		t.Errorf("%q %v", got, err)
	}

	// An archive that was cut off is refused before the service is stopped.
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	back["safety"] = filepath.Join(backups, "again.tar.gz")
	cut := r.run(back)
	r.ends(cut, engine.RunFailed)
	if v, ok := cut.StepAt("restore/stop"); ok && v.State != engine.Pending {
		t.Errorf("stop is %s", v.State)
	}
	if v, _ := cut.StepAt("restore/whole"); v.State != engine.Failed {
		t.Errorf("whole is %s", v.State)
	}
}

// TestEachServiceHasItsPlaybooks: Harbor's and MinIO's, and those that they run. The service is quiet, so what the plans say of its
// files is exact.
func TestEachServiceHasItsPlaybooks(t *testing.T) {
	folder, file, target := composedOf(t, "sleep 600")
	data := filepath.Join(folder, "data")
	put(t, filepath.Join(data, "log"), []byte("it is well\n"))
	for i, service := range []string{"harbor", "minio", "service-folder"} {
		backups := t.TempDir()
		archive := filepath.Join(backups, "one.tar.gz")
		put(t, filepath.Join(data, "kept"), []byte(service))
		w := open(t, service+"-backup", target)
		w.ends(w.run(map[string]any{"from": []any{data}, "to": archive, "compose": file, "stop": i == 2}), engine.RunOK)
		put(t, filepath.Join(data, "kept"), []byte("spoiled"))
		r := open(t, service+"-restore", target)
		r.yes = true
		r.ends(r.run(map[string]any{"archive": archive, "into": folder, "safety": filepath.Join(backups, "before.tar.gz"), "compose": file}), engine.RunOK)
		if got := string(slurp(t, filepath.Join(data, "kept"))); got != service {
			t.Errorf("%s: %q came back", service, got)
		}
	}
}
