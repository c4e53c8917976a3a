package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

const (
	// dumpSize names how many MiB of SQL are dumped, when that is not to be 1,024.
	dumpSize = "HANDRAIL_BENCH_DUMP_MIB"
	// dumpAddress, and the others beside it, tell the child where the database is.
	dumpAddress, dumpDatabase, dumpUser, dumpPassword = "HANDRAIL_BENCH_ADDRESS", "HANDRAIL_BENCH_DATABASE", "HANDRAIL_BENCH_USER", "HANDRAIL_BENCH_PASSWORD"
	dumpMode                                          = "dump"
)

// dumps: a table of about 1 GiB of SQL into a zstd file, with every row counted and the file summed and synced,
// beside the pipe that a shell would make of it.
func dumps(b *testing.B) []row {
	mib := 1024
	if text := os.Getenv(dumpSize); text != "" {
		var err error
		if mib, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	server := servers.PrivateMySQL(b, "--innodb-buffer-pool-size=2G", "--innodb-flush-log-at-trx-commit=0")
	settings := server.Settings()
	rows := fillDocuments(b, settings, mib)
	w := newWorld(b)
	w.targets = []steps.Target{{Name: "db", Type: "mysql", Settings: settings}}
	dir, n := b.TempDir(), 0
	ours := func() time.Duration {
		n++
		file := filepath.Join(dir, fmt.Sprintf("%d.sql.zst", n))
		took := w.must(b, w.mustLoad(b, fmt.Sprintf("  - {id: dump, sql: {dump: %q}, expect: rows == %d}", file, rows)))
		removed(b, file, file+".manifest.json")
		return took
	}
	c := inTurn(ours, func() time.Duration { return shellDump(b, settings, dir) })
	work := fmt.Sprintf("`sql.dump` to zstd, %d MiB of SQL", mib)
	speed := func(d time.Duration) string { return fmt.Sprintf("%.0f MiB/s", float64(mib)/d.Seconds()) }
	return []row{
		{work: work, bar: "at least 0.8 x as fast", handrail: speed(c.ours),
			beside: "`mariadb-dump \\| zstd -T0`, which counts and proves nothing: " + speed(c.theirs),
			figure: number(1 / c.ratio), met: 1/c.ratio >= 0.8},
		dumpMemory(b, settings, work),
	}
}

// fillDocuments makes a table like those of the guides, so large that its dump has so many MiB.
func fillDocuments(b *testing.B, settings engine.Record, mib int) int {
	db := servers.Open(b, settings)
	const perRow = 203 // bytes of a row in the dump
	rows := mib << 20 / perRow
	for _, q := range []string{
		`CREATE TABLE documents (id BIGINT UNSIGNED PRIMARY KEY, number VARCHAR(40), title VARCHAR(200), made DATETIME, size INT, note TEXT)`,
		fmt.Sprintf(`INSERT INTO documents SELECT seq, CONCAT('COR-2026-', LPAD(seq, 8, '0')), CONCAT('Drawing of level ', seq %% 97, ', revision ', MD5(seq)),
			'2026-01-01' + INTERVAL seq SECOND, seq %% 100000, CONCAT('It''s "', SHA1(seq + 7), '" as of', CHAR(10), REPEAT('sheet ', seq %% 5)) FROM seq_1_to_%d`, rows),
	} {
		if _, err := db.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	return rows
}

func removed(b *testing.B, files ...string) {
	b.Helper()
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			b.Fatal(err)
		}
	}
}

func shellDump(b *testing.B, settings engine.Record, dir string) time.Duration {
	host, port, _ := strings.Cut(engine.Text(settings["address"]), ":")
	file := filepath.Join(dir, "shell.sql.zst")
	began := time.Now()
	cmd := exec.Command("sh", "-c", fmt.Sprintf("mariadb-dump --no-defaults --single-transaction -h %s -P %s -u %s %s | zstd -q -T0 -o %s",
		host, port, engine.Text(settings["user"]), engine.Text(settings["database"]), file))
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+engine.Text(settings["password"]))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	took := time.Since(began)
	removed(b, file)
	return took
}

// dumpMemory has a child dump, and looks at its memory; mariadb-dump is a process of its own.
func dumpMemory(b *testing.B, settings engine.Record, work string) row {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+dumpMode, "HANDRAIL_BENCH_DIR="+b.TempDir(), dumpAddress+"="+engine.Text(settings["address"]),
		dumpDatabase+"="+engine.Text(settings["database"]), dumpUser+"="+engine.Text(settings["user"]), dumpPassword+"="+engine.Text(settings["password"]))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	kib, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		b.Fatal(err)
	}
	return row{work: "peak memory, " + work, bar: "at most 64 MiB", handrail: fmt.Sprintf("%d MiB", kib/1024), beside: "—",
		figure: fmt.Sprintf("%d MiB", kib/1024), met: kib <= 64*1024}
}

// dumpChild is what the child does.
func dumpChild(w *world) string {
	settings := engine.Record{"address": os.Getenv(dumpAddress), "database": os.Getenv(dumpDatabase), "user": os.Getenv(dumpUser),
		"password": engine.NewSecret("password", os.Getenv(dumpPassword))}
	w.targets = []steps.Target{{Name: "db", Type: "mysql", Settings: settings}}
	return fmt.Sprintf("  - {id: dump, sql: {dump: %q}}\n", filepath.Join(os.Getenv("HANDRAIL_BENCH_DIR"), "child.sql.zst"))
}
