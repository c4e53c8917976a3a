package sql_test

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

func TestAnExportedFile(t *testing.T) {
	g := mysqlGround(t)
	g.must(t, "CREATE TABLE v (id INT PRIMARY KEY, d DECIMAL(5,2), t VARCHAR(50), at DATETIME, day DATE, took TIME, raw VARBINARY(5))",
		`INSERT INTO v VALUES (1, 1.50, 'plain', '2026-01-02 03:04:05', '2026-01-02', '27:00:01', X'00ff'),
		 (2, NULL, 'a "b", c', NULL, NULL, NULL, NULL), (3, NULL, '\\N', NULL, NULL, NULL, NULL), (4, NULL, '', NULL, NULL, NULL, NULL), (5, NULL, 'x\ny ', NULL, NULL, NULL, NULL)`)
	s := g.step(t, "export", engine.Record{"export": "SELECT * FROM v WHERE id <= :max ORDER BY id", "to": "out.csv", "args": engine.Record{"max": int64(5)}})
	r := ok(t, s.do())
	file := filepath.Join(s.env.Dir, "out.csv")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "id,d,t,at,day,took,raw\n" +
		"1,1.50,plain,2026-01-02 03:04:05,2026-01-02,27:00:01,00ff\n" +
		`2,\N,"a ""b"", c",\N,\N,\N,\N` + "\n" + `3,\N,"\N",\N,\N,\N,\N` + "\n" + `4,\N,,\N,\N,\N,\N` + "\n" + "5,\\N,\"x\ny \",\\N,\\N,\\N,\\N\n"
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	sum := sha256.Sum256(text)
	if _, err := os.Stat(file + ".sha256"); err == nil {
		t.Error("a checksum file was written that nobody asked for")
	}
	if r["count"] != int64(5) || r["bytes"] != int64(len(text)) || r["sha256"] != hex.EncodeToString(sum[:]) || r["file"] != file {
		t.Errorf("result %v", r)
	}
	if records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll(); err != nil || len(records) != 6 {
		t.Errorf("another reader finds %d records, %v", len(records), err)
	}
	r = ok(t, g.step(t, "export", engine.Record{"export": "SELECT id, d FROM v WHERE id = 2", "to": file, "header": false, "null": "", "comma": "\t"}).do())
	if text, _ = os.ReadFile(file); string(text) != "2\t\n" || r["count"] != int64(1) {
		t.Errorf("got %q", text)
	}
}

func TestAnExportThatFailsLeavesTheFileAsItWas(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		dir := t.TempDir()
		file := filepath.Join(dir, "out.csv")
		if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"SELECT * FROM nowhere", "SELECT 1 AS x WHERE"} {
			failed(t, g.step(t, "export", engine.Record{"export": text, "to": file}).do(), engine.EffectNone)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		failed(t, g.step(t, "export", engine.Record{"export": "SELECT * FROM stock", "to": file}).execute(ctx), engine.EffectNone)
		entries, _ := os.ReadDir(dir)
		if text, _ := os.ReadFile(file); string(text) != "before" || len(entries) != 1 {
			t.Errorf("the file holds %q, the folder %v", text, entries)
		}
		failed(t, g.step(t, "export", engine.Record{"export": "SELECT 1", "to": filepath.Join(dir, "no", "x.csv")}).do(), engine.EffectNone, "no such file or directory")
	})
}

func TestAnExportIsNotLimited(t *testing.T) {
	g := sqliteGround(t)
	s := g.step(t, "export", engine.Record{"export": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n", "to": "n.csv"})
	if r := ok(t, s.do()); r["count"] != int64(50000) {
		t.Errorf("result %v", r)
	}
	if len(s.rec.Reports()) == 0 {
		t.Error("no progress is shown")
	}
}
