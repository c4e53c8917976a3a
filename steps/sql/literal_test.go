package sql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// hostile are texts that would end a literal, or be another text, if they were put in quotes without care.
var hostile = []string{
	"plain", "it's", `back\slash`, `\`, `\'`, `'; DROP TABLE stock; --`, `" OR 1=1 --`, "line\nbreak\r", `$$ x $$`, `:name ?  $1`, "ก\U0001F6E0", "\x1a", `''`, `\0`, "a/*b", "`",
}

// TestDDLTakesHostileValues: each value arrives as what it is, and nothing else happens.
func TestDDLTakesHostileValues(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		for i, text := range hostile {
			table := fmt.Sprintf("d%d", i)
			ok(t, g.step(t, "exec", exec("CREATE TABLE "+table+" (a INT DEFAULT (0 -:n), b VARCHAR(60) DEFAULT :text)", "text", text, "n", int64(-5))).do())
			g.must(t, "INSERT INTO "+table+" (a) VALUES (1)")
			if got := g.one(t, "SELECT b FROM "+table); got != text {
				t.Errorf("%q became %q", text, got)
			}
		}
		if g.n(t, 1) != "10" {
			t.Error("something else happened")
		}
		failed(t, g.step(t, "exec", exec("CREATE TABLE z (a VARCHAR(9) DEFAULT :text)", "text", "a\x00b")).do(), engine.EffectNone, "args.text", "zero byte")
		failed(t, g.step(t, "exec", exec("CREATE TABLE z (a VARCHAR(9) DEFAULT :text)", "text", "\xff")).do(), engine.EffectNone, "args.text", "not UTF-8")
	})
}

func TestDDLTakesValuesOfEveryType(t *testing.T) {
	g := mysqlGround(t)
	g.target.Settings["timezone"] = "UTC"
	at := time.Date(2026, 2, 28, 23, 59, 58, 123456000, time.UTC)
	ok(t, g.step(t, "exec", exec("CREATE TABLE v (a DECIMAL(10,2) DEFAULT :a, b VARBINARY(9) DEFAULT :b, c DATETIME(6) DEFAULT :c, d TIME DEFAULT :d, e BOOLEAN DEFAULT :e, f DOUBLE DEFAULT :f, g INT DEFAULT :g, h ENUM(:h))",
		"a", decimal(t, "-1.50"), "b", engine.Bytes{0, 255, '\''}, "c", at, "d", 27*time.Hour, "e", true, "f", 0.1, "g", nil, "h", engine.List{"x'", "y"})).do())
	g.must(t, "INSERT INTO v (h) VALUES ('x''')")
	if got := g.one(t, "SELECT CONCAT_WS('|', a, HEX(b), c, d, e, f, g, h) FROM v"); got != "-1.50|00FF27|2026-02-28 23:59:58.123456|27:00:00|1|0.1|x'" {
		t.Errorf("got %s", got)
	}
	p := postgresGround(t)
	p.target.Settings["timezone"] = "UTC"
	ok(t, p.step(t, "exec", exec("CREATE TABLE v (id int, a numeric DEFAULT :a, b bytea DEFAULT :b, c timestamptz DEFAULT :c, d interval DEFAULT :d, e boolean DEFAULT :e, f float8 DEFAULT :f)",
		"a", decimal(t, "-1.50"), "b", engine.Bytes{0, 255, '\''}, "c", at, "d", 27*time.Hour, "e", true, "f", 0.1)).do())
	p.must(t, "INSERT INTO v (id) VALUES (1)")
	if got := p.one(t, "SELECT concat_ws('|', a, b, c AT TIME ZONE 'UTC', d, e, f) FROM v"); got != `-1.50|\x00ff27|2026-02-28 23:59:58.123456|27:00:00|t|0.1` {
		t.Errorf("got %s", got)
	}
}

// TestASecretInDDLIsUsedAndNotTold: a user is made who can come in with it; no error, plan or evidence has it.
func TestASecretInDDLIsUsedAndNotTold(t *testing.T) {
	for typ, settings := range map[string]engine.Record{"mysql": servers.MySQL(t), "postgres": servers.Postgres(t)} {
		t.Run(typ, func(t *testing.T) {
			g := ground{target: targetOf(settings), db: servers.Open(t, settings)}
			create, drop := "CREATE USER ident_u IDENTIFIED BY :pw", "DROP USER ident_u"
			if typ == "postgres" {
				g.target.Type, g.db = typ, servers.OpenPostgres(t, settings)
				create = "CREATE USER ident_u PASSWORD :pw"
			}
			user := "u_" + strings.ToLower(settings["database"].(string)[2:])
			create, drop = strings.Replace(create, "ident_u", user, 1), strings.Replace(drop, "ident_u", user, 1)
			t.Cleanup(func() { g.must(t, drop) })
			word := `s3cr'et\` + user
			secret := engine.NewSecret("PW", word)
			hidden := func(text string) {
				for _, form := range []string{word, `s3cr''et`, `s3cr'et`} {
					if strings.Contains(text, form) {
						t.Errorf("the secret stands in %q", text)
					}
				}
			}
			i := g.preview(t, exec(create, "pw", secret))
			hidden(fmt.Sprintf("%+v", i))
			s := g.step(t, "exec", exec(create, "pw", secret))
			ok(t, s.do())
			hidden(fmt.Sprint(s.rec.Notes()))
			again := g.step(t, "exec", exec(create, "pw", secret)).do()
			if again.Err == "" {
				t.Fatal("the user was made twice")
			}
			hidden(again.Err + strings.Join(again.Evidence, " "))
			wrong := g.step(t, "exec", exec(strings.Replace(create, ":pw", ":pw WRONG WORDS", 1), "pw", secret)).do()
			failed(t, wrong, engine.EffectNone, "not correct for this server", "left out, because a secret stands in the statement")
			hidden(wrong.Err)
			in := engine.Record{"address": settings["address"], "user": user, "password": secret}
			if typ == "postgres" {
				in["database"] = settings["database"]
			}
			k := g
			k.target.Settings = in
			ok(t, k.step(t, "query", query("SELECT 1")).do())
		})
	}
}
