package playbook_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-dev/handrail/engine/playbook"
)

// TestExampleEnvironmentsFitTheirPlaybooks loads each file of environments/ with playbooks that it says it is for.
func TestExampleEnvironmentsFitTheirPlaybooks(t *testing.T) {
	cat := realCatalogue()
	fits := map[string][]string{
		"numbering": {"network-create", "redis-cluster-create", "redis-backup", "redis-restore", "mariadb-start", "mariadb-restore", "sequence-gap", "backends-start", "disaster-recovery"},
		"services":  {"redis-replication-status", "mysql-backup-retention", "minio-status", "harbor-restore"},
		"gateway":   {"threescale-restore", "threescale-redis-restore"},
		"sharding":  {"redis-cluster-health", "cache-failover-drill"},
		"shop":      {"tidb-restore", "redis-save-copy", "consistency-check"},
	}
	files, err := filepath.Glob(filepath.Join(root, "environments/*.yaml"))
	if err != nil || len(files) != len(fits) {
		t.Fatalf("%d files, %v; %d are known here", len(files), err, len(fits))
	}
	beside := func(_, name string) (playbook.File, error) {
		text, err := os.ReadFile(filepath.Join(root, "playbooks", name+".yaml"))
		return playbook.File{Name: name + ".yaml", Text: text}, err
	}
	for name, playbooks := range fits {
		file := filepath.Join(root, "environments", name+".yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		env, err := playbook.LoadEnvironment(file, text, cat)
		if err != nil {
			t.Errorf("%s", rendered(err))
			continue
		}
		for _, p := range playbooks {
			f, err := beside("", p)
			if err == nil {
				_, err = playbook.LoadTree(f.Name, f.Text, cat, env, beside)
			}
			if err := errors.Join(err); err != nil {
				t.Errorf("%s with %s: %s", p, name, rendered(err))
			}
		}
	}
}
