package playbooks_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

func put(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func slurp(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sha(t *testing.T, file string) string {
	t.Helper()
	h := sha256.Sum256(slurp(t, file))
	return hex.EncodeToString(h[:])
}

func tar(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
		t.Fatalf("tar %v: %v: %s", args, err, out)
	}
}

// repack changes what is in an archive of redis-backup, so that all its checksums agree afterwards.
func repack(t *testing.T, file string, change func(dir string, nodes []map[string]any)) {
	t.Helper()
	dir := t.TempDir()
	tar(t, "-xzf", file, "-C", dir)
	name := filepath.Join(dir, "redis", "manifest.json")
	var m struct {
		Made, Run string
		Nodes     []map[string]any
	}
	if err := json.Unmarshal(slurp(t, name), &m); err != nil {
		t.Fatal(err)
	}
	change(dir, m.Nodes)
	for _, n := range m.Nodes {
		n["sha256"] = sha(t, filepath.Join(dir, "redis", n["container"].(string)+".tar"))
	}
	text, err := json.Marshal(map[string]any{"made": m.Made, "run": m.Run, "nodes": m.Nodes})
	if err != nil {
		t.Fatal(err)
	}
	put(t, name, text)
	tar(t, "-czf", file, "-C", dir, "redis")
	put(t, file+".sha256", []byte(sha(t, file)+"  "+filepath.Base(file)+"\n"))
}

func TestRedisRestoreRefusesBeforeItTouchesAnything(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	c := r.client()
	r.fill(c, "reservation", 300)
	file := r.backup().Outputs()["file"].(string)
	r.fill(c, "later", 50)
	whole, proof := slurp(t, file), slurp(t, file+".sha256")
	refused := func(what, at string) {
		t.Helper()
		w, run := r.restore(nil)
		w.ends(run, engine.RunFailed)
		if got := w.state(run, at); got != engine.Failed {
			t.Errorf("%s: %s is %s", what, at, got)
		}
		if n := r.keys(c); n != 350 {
			t.Errorf("%s: %d keys are left", what, n)
		}
		if out := r.docker("ps", "--format", "{{.Names}}", "--filter", "name="+r.name); strings.Count(out, "\n") != 2 || strings.Contains(out, "handrail") {
			t.Errorf("%s: what runs now is\n%s", what, out)
		}
		put(t, file, whole)
		put(t, file+".sha256", proof)
	}
	put(t, file, whole[:len(whole)-100])
	refused("a truncated archive", "whole")

	repack(t, file, func(dir string, _ []map[string]any) {
		part := filepath.Join(dir, "redis", r.node(2)+".tar")
		tar(t, "-xf", part, "-C", dir)
		snapshot := filepath.Join(dir, "handrail-copy", "dump.rdb")
		bytes := slurp(t, snapshot)
		put(t, snapshot, bytes[:len(bytes)/2])
		tar(t, "-cf", part, "-C", dir, "handrail-copy")
	})
	refused("a spoiled snapshot in an archive that is as its checksum says", "restored")

	repack(t, file, func(_ string, nodes []map[string]any) { nodes[1]["keys"] = 1 })
	refused("a snapshot that has not the keys of the manifest", "restored")

	repack(t, file, func(_ string, nodes []map[string]any) {
		nodes[0]["node"] = strings.Replace(nodes[0]["node"].(string), "0-5460", "0-5459", 1)
	})
	refused("another division of the slots", "same")
}

// TestRedisBackupMissesNoMaster: with one of the containers left out, a third of the keys would not be in it.
func TestRedisBackupMissesNoMaster(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	r.fill(r.client(), "reservation", 30)
	r.backup()
	r.killed(newKiller(t))
	w := open(t, "redis-backup", r.engine, r.target)
	run := w.run(map[string]any{"containers": r.containers[:2], "folder": r.folder, "keep_for": "1h"})
	w.ends(run, engine.RunFailed)
	if w.state(run, "complete") != engine.Failed {
		t.Errorf("complete is %s", w.state(run, "complete"))
	}
	if entries, err := filepath.Glob(r.folder + "/redis_cluster_*.tar.gz"); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
	// A node that is down: no archive, and none is removed for it.
	r.docker("kill", r.node(3))
	r.until("the cluster says so", func() bool {
		out, _ := docker(t.Context(), r.host, "exec", r.node(1), "redis-cli", "-p", strconv.Itoa(r.port), "CLUSTER", "INFO")
		return strings.Contains(out, "cluster_state:fail")
	})
	w = open(t, "redis-backup", r.engine, r.target)
	w.ends(w.run(map[string]any{"containers": r.containers, "folder": r.folder, "keep_for": "1h"}), engine.RunFailed)
	if entries, err := filepath.Glob(r.folder + "/redis_cluster_*.tar.gz"); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}
