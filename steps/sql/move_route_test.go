package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// prepared is what a move says of its tables BEFORE it begins.
func (g ground) prepared(t testing.TB, params engine.Record) error {
	t.Helper()
	s := g.step(t, "move", params)
	_, err := s.op.(steps.Preparer).Prepare(t.Context(), s.env)
	return err
}

// refusedMoves are tables between which nothing can be moved safely, and what is said of them.
var refusedMoves = []struct {
	name  string
	setup []string
	more  []any
	says  []string
	only  string
}{
	{"no such table", nil, []any{"move", "audits"}, []string{"there is no table", "audits to move rows from"}, ""},
	{"nowhere to go", []string{"DROP TABLE archive"}, nil, []string{"there is no table", "archive to move rows to; make it first"}, ""},
	{"to itself", nil, []any{"to", "audit"}, []string{"is the table that the rows are in"}, ""},
	{"a view", []string{"CREATE VIEW v AS SELECT * FROM audit"}, []any{"move", "v"}, []string{"v is a view"}, ""},
	{"no primary key", []string{"CREATE TABLE bare (a INT NOT NULL, b INT)"}, []any{"move", "bare"}, []string{"bare has no primary key; it has no unique key without NULLs"}, ""},
	{"another key", []string{"CREATE TABLE bare (a INT NOT NULL, b INT)", "CREATE UNIQUE INDEX by_a ON bare (a)"}, []any{"move", "bare"}, []string{"has no primary key; it could be walked by by_a; name it under `index`"}, ""},
	{"no such key", nil, []any{"index", "by_x"}, []string{"has no unique key called by_x; it could be walked by PRIMARY"}, ""},
	{"a key with NULLs", []string{"CREATE UNIQUE INDEX by_n ON audit (n)"}, []any{"index", "by_n"}, []string{"cannot be walked by by_n (n): n takes NULL"}, ""},
	{"a beginning of a column", []string{"CREATE UNIQUE INDEX by_what ON audit (what(3))"}, []any{"index", "by_what"}, []string{"it has only the beginning of what"}, "mysql"},
	{"a part of the rows", []string{"CREATE UNIQUE INDEX by_what ON audit (what) WHERE n > 1"}, []any{"index", "by_what"}, []string{"it is on a part of the rows"}, "sqlite"},
	{"floats", []string{"CREATE TABLE f (a DOUBLE PRECISION PRIMARY KEY NOT NULL, n INT)"}, []any{"move", "f"}, []string{"a is of type", "whose values cannot be told apart exactly"}, ""},
	{"a column that is missing", []string{"ALTER TABLE archive DROP COLUMN note"}, nil, []string{"archive has no column note, so what", "would be lost", "`columns`"}, ""},
	{"a column that must be filled", []string{"DROP TABLE archive", "CREATE TABLE archive (id INTEGER PRIMARY KEY, what TEXT, note TEXT, n INT, must INT NOT NULL)"}, nil, []string{"column must of", "takes no NULL and has no default"}, ""},
	{"a column that is computed", []string{"DROP TABLE archive", "CREATE TABLE archive (id INTEGER PRIMARY KEY, what TEXT, note TEXT, n INT GENERATED ALWAYS AS (id + 1) STORED)"}, nil, []string{"column n of", "is computed by the server"}, ""},
	{"no such column", nil, []any{"columns", engine.List{"id", "whatever"}}, []string{"columns", "has no column whatever"}, ""},
	{"cascades", []string{"CREATE TABLE child (id INTEGER PRIMARY KEY, audit_id INTEGER, FOREIGN KEY (audit_id) REFERENCES audit (id) ON DELETE CASCADE)"}, nil, []string{"a foreign key carries the removal", "rows of child", "`cascade: true`"}, ""},
	{"set null", []string{"CREATE TABLE child (id INTEGER PRIMARY KEY, audit_id INTEGER, FOREIGN KEY (audit_id) REFERENCES audit (id) ON DELETE SET NULL)"}, nil, []string{"a foreign key carries the removal"}, ""},
	{"no transactions", []string{"ALTER TABLE archive ENGINE=MyISAM"}, nil, []string{"archive is of engine MyISAM, which keeps no transactions", "convert it first"}, "mysql"},
	{"a trigger that may write anything", []string{"CREATE TABLE log (n INT) ENGINE=MyISAM", "CREATE TRIGGER tell AFTER DELETE ON audit FOR EACH ROW INSERT INTO log VALUES (1)"}, nil, []string{"trigger tell", "keeps no transactions"}, "mysql"},
}

func TestMoveRefusesWhatWouldLoseSomething(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		for _, c := range refusedMoves {
			if c.only == "mysql" && !g.mysql() || c.only == "sqlite" && g.mysql() {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				for _, name := range g.tables(t) {
					g.must(t, "DROP TABLE IF EXISTS "+name)
				}
				g.audit(t, 1)
				g.must(t, c.setup...)
				err := g.prepared(t, moved(c.more...))
				g.must(t, "DROP VIEW IF EXISTS v", "DROP TABLE IF EXISTS child")
				if err == nil {
					t.Fatal("it is not refused")
				}
				contains(t, err.Error(), c.says...)
				if got := g.one(t, "SELECT COUNT(*) FROM audit"); got != "1" {
					t.Errorf("%s rows are left", got)
				}
			})
		}
	})
}

// TestMoveWithoutAPlaceForItsMarkerIsRefused: it never falls to what a crash could repeat.
func TestMoveWithoutAPlaceForItsMarkerIsRefused(t *testing.T) {
	g := userGround(t, servers.MySQL(t), "SELECT ON %s.*")
	g.audit(t, 10)
	for _, table := range []string{"audit", "archive"} {
		g.must(t, "GRANT INSERT, UPDATE, DELETE ON "+table+" TO "+g.target.Settings["user"].(string)+"@'%'")
	}
	err := g.prepared(t, moved())
	if err == nil {
		t.Fatal("it is not refused")
	}
	contains(t, err.Error(), "rows are moved only where each batch can be committed together with its marker", "there can be no markers in database")
	impact := g.look(t, moved())
	if impact.Standing != engine.StandingUnknown {
		t.Errorf("the plan says %s", impact.Standing)
	}
	contains(t, impact.Why, "it would be refused", "has no right to CREATE the table")
}

func TestMoveWalksKeysOfEveryType(t *testing.T) {
	for _, c := range []struct{ name, columns, key, values string }{
		{"unsigned", "a BIGINT UNSIGNED NOT NULL PRIMARY KEY", "", "seq * 900000000000000000"},
		{"negative", "a INT NOT NULL PRIMARY KEY", "", "CAST(seq AS SIGNED) - 10"},
		{"zero in a column that counts", "a INT NOT NULL AUTO_INCREMENT PRIMARY KEY", "", "seq - 1"},
		{"two columns", "a INT NOT NULL, b VARCHAR(10) NOT NULL, PRIMARY KEY (a, b)", "", "seq MOD 3, CONCAT('k', seq)"},
		{"three columns", "a VARCHAR(4) NOT NULL, b INT NOT NULL, c INT NOT NULL, PRIMARY KEY (a, b, c)", "", "CHAR(65 + seq MOD 2), seq MOD 4, seq"},
		{"text with quotes", "a VARCHAR(30) NOT NULL PRIMARY KEY", "", `CONCAT('it''s "', seq, '" \\ %')`},
		{"text in a collation that ignores case", "a VARCHAR(30) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL PRIMARY KEY", "", "CONCAT(IF(seq MOD 2, 'Ä', 'b'), seq)"},
		{"bytes", "a BINARY(4) NOT NULL PRIMARY KEY", "", "UNHEX(CONCAT('FF00', LPAD(HEX(seq), 4, '0')))"},
		{"decimal", "a DECIMAL(30, 10) NOT NULL PRIMARY KEY", "", "seq + 0.0000000001"},
		{"datetime", "a DATETIME(6) NOT NULL PRIMARY KEY", "", "'2025-03-30 02:00:00.5' + INTERVAL seq MINUTE"},
		{"date and number", "a DATE NOT NULL, b INT NOT NULL, UNIQUE KEY by_day (a, b)", "by_day", "'2025-01-01' + INTERVAL (seq DIV 4) DAY, seq"},
		{"time", "a TIME NOT NULL PRIMARY KEY", "", "SEC_TO_TIME(seq * 3600)"},
		{"year", "a YEAR NOT NULL PRIMARY KEY", "", "2000 + seq"},
		{"uuid", "a UUID NOT NULL PRIMARY KEY", "", "CONCAT('00000000-0000-0000-0000-', LPAD(seq * 7, 12, '0'))"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := mysqlGround(t)
			g.must(t, "CREATE TABLE audit ("+c.columns+", keep INT NOT NULL DEFAULT 7) DEFAULT CHARSET utf8mb4", "CREATE TABLE archive LIKE audit")
			g.insertSeq(t, c.values)
			params := moved("where", "keep = 7", "batch", int64(3))
			delete(params, "args")
			if c.key != "" {
				params["index"] = c.key
			}
			before := g.one(t, "SELECT GROUP_CONCAT(HEX(CAST(a AS CHAR)) ORDER BY HEX(CAST(a AS CHAR))) FROM audit")
			if got := engine.Text(ok(t, g.step(t, "move", params).do())); got != "{batches: 7, left: 0, moved: 19}" {
				t.Errorf("result %s", got)
			}
			if arrived := g.one(t, "SELECT GROUP_CONCAT(HEX(CAST(a AS CHAR)) ORDER BY HEX(CAST(a AS CHAR))) FROM archive"); arrived != before {
				t.Errorf("the keys are\n%s, were\n%s", arrived, before)
			}
		})
	}
}

// insertSeq puts 19 rows into audit.
func (g ground) insertSeq(t testing.TB, values string) {
	t.Helper()
	conn, err := g.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{"SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')", "INSERT INTO audit SELECT " + values + ", 7 FROM seq_1_to_19"} {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func TestMoveInSQLiteWalksKeysOfEveryForm(t *testing.T) {
	for _, c := range []struct{ name, columns, index, a string }{
		{"rowid", "a INTEGER PRIMARY KEY, b TEXT", "PRIMARY", "%d"},
		{"text", "a TEXT NOT NULL PRIMARY KEY, b TEXT", "PRIMARY", "'k%03d'"},
		{"without rowid", "a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (b, a)) WITHOUT ROWID; --", "PRIMARY", "'k%03d'"},
		{"unique index", "a INT NOT NULL, b TEXT, CONSTRAINT u UNIQUE (a)", "sqlite_autoindex_audit_1", "%d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := sqliteGround(t)
			for _, table := range []string{"audit", "archive"} {
				g.must(t, "CREATE TABLE "+table+" ("+c.columns+")")
			}
			for n := range 19 {
				g.must(t, fmt.Sprintf("INSERT INTO audit VALUES ("+c.a+", 'x')", n-3))
			}
			params := moved("where", "b = 'x'", "batch", int64(3), "index", c.index)
			delete(params, "args")
			if got := engine.Text(ok(t, g.step(t, "move", params).do())); got != "{batches: 7, left: 0, moved: 19}" {
				t.Errorf("result %s", got)
			}
			if got := g.one(t, "SELECT COUNT(*) FROM archive"); got != "19" {
				t.Errorf("%s rows arrived", got)
			}
		})
	}
}

func TestMoveIntoATableThatHasTheRowAlready(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		g.must(t, "INSERT INTO archive VALUES (32, 'old', 'another one', 0)")
		s := g.step(t, "move", moved()).prepare()
		failed(t, s.execute(t.Context()), engine.EffectStands, "copy rows of", "21 rows were moved by 3 batches, which stand")
		if got := g.one(t, "SELECT COUNT(*) FROM audit"); got != "79" {
			t.Errorf("%s rows are left", got)
		}
		g.must(t, "DELETE FROM archive WHERE id = 32")
		ok(t, s.again(g, false).execute(t.Context()))
		g.wantSplit(t, 20, 80)
	})
}

// TestMoveCutsNothingOff: the server itself would store what is too long without a word.
func TestMoveCutsNothingOff(t *testing.T) {
	g := mysqlGround(t)
	g.audit(t, 10)
	g.must(t, "ALTER TABLE archive MODIFY note VARCHAR(3) CHARACTER SET latin1")
	failed(t, g.step(t, "move", moved()).do(), engine.EffectNone, "longer than the column", "no row was moved")
	g.must(t, "ALTER TABLE archive MODIFY note VARCHAR(50) CHARACTER SET latin1", "UPDATE audit SET note = '日本' WHERE id = 3")
	failed(t, g.step(t, "move", moved()).do(), engine.EffectNone, "no row was moved")
	g.wantSplit(t, 10, 0)
}

func TestMoveOfSomeColumnsSaysWhatIsLost(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 10)
		params := moved("columns", engine.List{"ID", "what"})
		impact := g.look(t, params)
		contains(t, strings.Join(impact.Warnings, "\n"), "not copied, and gone with the rows: note, n")
		ok(t, g.step(t, "move", params).do())
		if got := g.one(t, "SELECT COUNT(*) FROM archive WHERE note IS NULL AND n IS NULL AND what = 'old'"); got != "8" {
			t.Errorf("%s rows", got)
		}
	})
}

func TestMoveLeavesComputedColumnsToTheServer(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		for _, table := range []string{"audit", "archive"} {
			g.must(t, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, what VARCHAR(20) NOT NULL, twice INTEGER GENERATED ALWAYS AS (id * 2) STORED)")
		}
		g.must(t, "INSERT INTO audit (id, what) VALUES (1, 'old'), (2, 'young')")
		ok(t, g.step(t, "move", moved()).do())
		if got := g.one(t, "SELECT twice FROM archive"); got != "2" {
			t.Errorf("twice is %s", got)
		}
	})
}

func TestMoveBetweenDatabases(t *testing.T) {
	g, other := mysqlGround(t), mysqlGround(t)
	g.audit(t, 10)
	db := other.target.Settings["database"].(string)
	other.must(t, "CREATE TABLE archive (id INTEGER PRIMARY KEY, what VARCHAR(20), note TEXT, n INTEGER)",
		"GRANT ALL ON "+db+".* TO "+g.target.Settings["user"].(string)+"@'%'")
	ok(t, g.step(t, "move", moved("to", db+".archive")).do())
	if got := other.one(t, "SELECT COUNT(*) FROM archive") + " " + g.one(t, "SELECT COUNT(*) FROM audit"); got != "8 2" {
		t.Errorf("rows %s", got)
	}
}

// TestMoveUnderACorrectedConditionWalksAnew: what was moved under the first one stays moved.
func TestMoveUnderACorrectedConditionWalksAnew(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		first := g.step(t, "move", moved("where", "what = :what AND id > 50")).prepare()
		g.part(t, first, 2)
		second := g.step(t, "move", moved()).prepare()
		second.env.Call.Token, second.env.Call.Epoch = first.env.Call.Token, 2
		if got := engine.Text(ok(t, second.execute(t.Context()))["moved"]); got != "80" {
			t.Errorf("%s rows were moved", got)
		}
		g.wantSplit(t, 20, 80)
	})
}

// look is the preview of a move.
func (g ground) look(t testing.TB, params engine.Record) engine.Impact {
	t.Helper()
	s := g.stepUnder(t, steps.ReadOnly, "move", params)
	impact, err := s.op.Preview(t.Context(), s.env)
	if err != nil {
		t.Fatal(err)
	}
	return impact
}

func TestMovePreview(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		g.must(t, "CREATE TABLE child (id INTEGER PRIMARY KEY, audit_id INTEGER, FOREIGN KEY (audit_id) REFERENCES audit (id) ON DELETE CASCADE)")
		impact := g.look(t, moved("cascade", true))
		if f := impact.Figures; len(f) != 3 || f[0].Value != 80 || f[0].Certainty != engine.FigureExact || f[1].Value != 12 || f[1].Certainty != engine.FigureEstimate {
			t.Errorf("figures %+v", impact.Figures)
		}
		contains(t, impact.Facts[0].Value, "by PRIMARY (id)", "the condition says nothing of the key")
		contains(t, strings.Join(impact.Warnings, "\n"), "a foreign key carries the removal on to child")
		contains(t, strings.Join(impact.Details, "\n"), "WHERE what = :what", ":what = old")
		if f := g.look(t, moved("cascade", true, "limit", int64(10), "where", "what = :what AND id < 50")).Figures; f[0].Value != 10 {
			t.Errorf("figures %+v", f)
		}
		g.must(t, "DROP TABLE archive")
		contains(t, strings.Join(g.look(t, moved("cascade", true)).Warnings, "\n"), "there is no table", "a step before this one must make it")
		if got := g.one(t, "SELECT COUNT(*) FROM audit"); got != "100" {
			t.Errorf("%s rows are left", got)
		}
	})
}

// TestMoveInPostgresWalksKeysOfEveryType: in the order of the values, not of the texts that they are read as.
func TestMoveInPostgresWalksKeysOfEveryType(t *testing.T) {
	g := postgresGround(t)
	for _, c := range []struct{ name, columns, index, values string }{
		{"bigint", "a bigint PRIMARY KEY", "PRIMARY", "(seq - 10) * 900000000000000000"},
		{"identity", "a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "PRIMARY", "seq"},
		{"two columns", "a int NOT NULL, b text NOT NULL, PRIMARY KEY (a, b)", "PRIMARY", "seq % 3, 'k' || seq"},
		{"text with quotes", "a text PRIMARY KEY", "PRIMARY", `E'it\'s " \\ $1 ? ' || seq`},
		{"char", "a char(8) PRIMARY KEY", "PRIMARY", "'k' || seq"},
		{"bytes", "a bytea PRIMARY KEY", "PRIMARY", `decode('ff' || lpad(seq::text, 4, '0'), 'hex')`},
		{"numeric", "a numeric PRIMARY KEY", "PRIMARY", "(seq - 10) * 7 + 0.0000000001"},
		{"timestamptz", "a timestamptz PRIMARY KEY", "PRIMARY", "timestamptz '2025-10-26 00:30:00.000001+00' + seq * interval '7 minutes'"},
		{"before Christ", "a date PRIMARY KEY", "PRIMARY", "date '0001-01-05 BC' + seq"},
		{"uuid", "a uuid PRIMARY KEY", "PRIMARY", "('00000000-0000-0000-0000-' || lpad((seq * 7)::text, 12, '0'))::uuid"},
		{"another key", "a int NOT NULL, b int, CONSTRAINT by_a UNIQUE (a)", "by_a", "seq, NULL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.must(t, "DROP TABLE IF EXISTS audit, archive", "CREATE TABLE audit ("+c.columns+", keep int NOT NULL DEFAULT 7)", "CREATE TABLE archive (LIKE audit INCLUDING ALL)",
				"INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT "+c.values+" FROM generate_series(1, 19) seq")
			params := moved("where", "keep = :keep", "batch", int64(3), "index", c.index, "args", engine.Record{"keep": int64(7)})
			before := g.one(t, "SELECT string_agg(a::text, ',' ORDER BY a) FROM audit")
			if got := engine.Text(ok(t, g.step(t, "move", params).do())); got != "{batches: 7, left: 0, moved: 19}" {
				t.Errorf("result %s", got)
			}
			if arrived := g.one(t, "SELECT string_agg(a::text, ',' ORDER BY a) FROM archive"); arrived != before {
				t.Errorf("the keys are\n%s, were\n%s", arrived, before)
			}
		})
	}
}
