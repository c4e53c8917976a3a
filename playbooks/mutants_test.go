package playbooks_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// mutant is what a preview could do if its author had not thought of the dry-run, and who must see it.
type mutant struct {
	what   string
	write  func()
	seenBy []string
}

// mutants write one thing each. Each witness sees one that another does not see.
func mutants(t *testing.T, w *world, c *client.Client, name string, cache *servers.RedisServer, unlogged, unbinned func(string)) []mutant {
	t.Helper()
	const general, binary, files, events = "db, general log", "db, binary log", "file system", "engine, events"
	monitor, info, stats := cache.Addr+", MONITOR", cache.Addr+", INFO", cache.Addr+", commandstats"
	_, state := w.store.Path(), filepath.Join(filepath.Dir(w.store.Path()), "locks")
	file := filepath.Join(t.TempDir(), "target")
	put(t, file, []byte("one"))
	at, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	redis := cache.Client()
	do(redis.Ping(t.Context()).Err())
	return []mutant{
		{"a row that the general log is not told of", func() { unlogged("UPDATE document_numbering_configs SET max_value = max_value + 1") }, []string{binary}},
		{"a row that the binary log is not told of", func() { unbinned("UPDATE document_numbering_configs SET max_value = max_value + 1") }, []string{general}},
		{"a lock", func() { unbinned("SELECT GET_LOCK('handrail', 0)") }, []string{general}},
		{"a key", func() { do(redis.Set(t.Context(), "a", "b", 0).Err()) }, []string{monitor, info, stats}},
		{"a setting", func() { do(redis.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err()) }, []string{stats}},
		{"a volume", func() {
			_, err := c.VolumeCreate(t.Context(), volume.CreateOptions{Name: name})
			do(err)
			do(c.VolumeRemove(t.Context(), name, true))
		}, []string{events}},
		{"a file of the same length and time", func() { put(t, file, []byte("two")); do(os.Chtimes(file, at.ModTime(), at.ModTime())) }, []string{files}},
		{"the mode of a file", func() { do(os.Chmod(file, 0o640)) }, []string{files}},
		{"the state folder", func() { do(os.Mkdir(state, 0o700)) }, []string{files}},
	}
}
