package sql_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestMistakesAreSaidInOneSentence: each says where, what is wrong and what to do, and never a password.
func TestMistakesAreSaidInOneSentence(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	change := func(name string, v engine.Value) ground {
		settings := engine.Record{}
		for k, x := range g.target.Settings {
			settings[k] = x
		}
		settings[name] = v
		return ground{target: steps.Target{Name: "db", Type: "mysql", Settings: settings}, db: g.db}
	}
	for _, c := range []struct {
		name string
		g    ground
		text string
		says []string
	}{
		{"refused", change("address", "127.0.0.1:1"), "SELECT 1", []string{"mysql 127.0.0.1:1", "cannot be reached", "check the address"}},
		{"no such host", change("address", "no-such-host.invalid:3306"), "SELECT 1", []string{"cannot be reached"}},
		{"no socket", change("address", "/nowhere/mysql.sock"), "SELECT 1", []string{"cannot be reached", "no such file"}},
		{"wrong password", change("password", engine.NewSecret("P", "other-secret-77")), "SELECT 1", []string{"does not accept the user and password", "check `user` and `password`"}},
		{"unknown database", change("database", "nowhere"), "SELECT 1", []string{"1044"}},
		{"no TLS there", change("tls", engine.Record{}), "SELECT 1", []string{"offers no TLS"}},
		{"bad zone", change("timezone", "Nowhere/Else"), "SELECT 1", []string{"settings of target db", "timezone", "is not a time zone"}},
		{"syntax", g, "SELECT FROM WHERE", []string{"not correct for this server", "near", "1064"}},
		{"no table", g, "SELECT * FROM stocks", []string{"no such table", "stocks"}},
		{"no column", g, "SELECT m FROM stock", []string{"no such column", "'m'"}},
		{"no rights", g, "SELECT * FROM mysql.user", []string{"the user may not do this", "GRANT"}},
	} {
		o := c.g.step(t, "query", query(c.text)).do()
		failed(t, o, engine.EffectNone, c.says...)
		if strings.Contains(o.Err, "\n") || strings.Contains(o.Err, "other-secret-77") || strings.Contains(o.Err, password) {
			t.Errorf("%s: %q", c.name, o.Err)
		}
	}
	root := servers.MySQL(t)
	root["database"] = "nowhere"
	o := (ground{target: targetOf(root)}).step(t, "query", query("SELECT 1")).do()
	failed(t, o, engine.EffectNone, "no such database", "check `database`")
	delete(root, "database")
	s := (ground{target: targetOf(root)}).step(t, "exec", exec("UPDATE stock SET n = 1"))
	if _, err := s.op.(steps.Preparer).Prepare(t.Context(), s.env); err == nil || !strings.Contains(err.Error(), "no database is chosen") {
		t.Errorf("no database: %v", err)
	}
}

// talker listens, greets everybody with a word, and waits.
func talker(t testing.TB, word string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(word))
			done.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); done.Wait() })
	return l.Addr().String()
}

func TestSomethingElseThatListensIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	g := ground{target: targetOf(engine.Record{"address": talker(t, "")})}
	failed(t, g.step(t, "query", query("SELECT 1")).do(), engine.EffectNone, "did not greet within 5s", "is it a database")
	// The step has less time than that.
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	failed(t, g.step(t, "query", query("SELECT 1")).execute(short), engine.EffectNone, "did not greet within the time allowed", "is it a database")
}

func TestMistakesWithSQLite(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string][]string{
		filepath.Join(dir, "missing.db"): {"cannot be opened", "check `file`"},
		text:                             {"is not an SQLite database"},
	} {
		g := ground{target: steps.Target{Name: "local", Type: "sqlite", Settings: engine.Record{"file": file}}}
		failed(t, g.step(t, "query", query("SELECT 1")).do(), engine.EffectNone, says...)
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.db")); err == nil {
		t.Error("a database was made")
	}
	g := sqliteGround(t)
	failed(t, g.step(t, "query", query("SELECT * FROM nowhere")).do(), engine.EffectNone, "no such table: nowhere")
	g = ground{target: steps.Target{Name: "x", Type: "redis"}}
	failed(t, g.step(t, "query", query("SELECT 1")).do(), engine.EffectNone, "of type redis")
}
