package stream

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// sink keeps the rows of a COPY beside its statement.
type sink struct {
	to   *[]string
	text strings.Builder
	head string
}

func (s *sink) Write(p []byte) (int, error) { return s.text.Write(p) }

func (s *sink) Close() error {
	*s.to = append(*s.to, s.head+" <"+s.text.String()+">")
	return nil
}

// postgresPieces writes a text in pieces of n bytes, and gives what would be sent.
func postgresPieces(t testing.TB, text string, n int) (Scanner, []string, error) {
	t.Helper()
	scan, err := New("postgres")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	s := NewSplitter(scan, 1<<20, func(b []byte) error { got = append(got, strings.TrimSpace(string(b))); return nil })
	s.Copies(func(b []byte) (io.WriteCloser, error) {
		return &sink{to: &got, head: strings.TrimSpace(string(b))}, nil
	})
	for i := 0; i < len(text); i += n {
		if _, err := s.Write([]byte(text[i:min(i+n, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	return scan, got, s.Close()
}

// key is as long as those of pg_dump.
const key = "HfKC4JNc7yXuOiUW6rg1BZHj0uRXt0hDPONyGcyS356IfvjdxwMftbe3W4WvUHJ"

// TestWhatAServerOfPostgreSQLWouldTake: which statements there are, which rows go with them, and what is
// counted, by every way to cut the text in pieces.
func TestWhatAServerOfPostgreSQLWouldTake(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		sent       []string
	}{
		"rows":               {"CREATE TABLE public.a (\n x int\n);\nCOPY public.a (x) FROM stdin;\n1\n2\n\\.\n\n\nSELECT 1;\n", "public.a 2", []string{"CREATE TABLE public.a (\n x int\n)", "COPY public.a (x) FROM stdin <1\n2\n>", "SELECT 1"}},
		"no rows":            {"COPY public.a (x) FROM stdin;\n\\.\nSELECT 1;", "public.a 0", []string{"COPY public.a (x) FROM stdin <>", "SELECT 1"}},
		"empty rows":         {"COPY public.a  FROM stdin;\n\n\n\\.\n", "public.a 2", []string{"COPY public.a  FROM stdin <\n\n>"}},
		"rows like the end":  {"COPY a (x) FROM stdin;\n\\\\.\n\\N\n.\n\\.x\n\\\n;\n--\n'\n\\.\n", "a 8", []string{"COPY a (x) FROM stdin <\\\\.\n\\N\n.\n\\.x\n\\\n;\n--\n'\n>"}},
		"lines of CR and LF": {"COPY a (x) FROM stdin;\r\n1\r\n\\.\r\nSELECT 1;\r\n", "a 1", []string{"COPY a (x) FROM stdin <1\r\n>", "SELECT 1"}},
		"rows like SQL":      {"COPY a (x) FROM stdin;\nCOPY b FROM stdin;\n-- PostgreSQL database dump complete\n\\.\n", "a 2", []string{"COPY a (x) FROM stdin <COPY b FROM stdin;\n-- PostgreSQL database dump complete\n>"}},
		"names":              {`CREATE UNLOGGED TABLE IF NOT EXISTS "S ""x"."t(;" (a int);` + "COPY \"S \"\"x\".\"t(;\" (\"VALUES\", \"FROM\") FROM STDIN;\n1\t2\n\\.\nINSERT INTO Foo.BAR VALUES (1);", `"S ""x"."t(;" 1, foo.bar 1`, nil},
		"reserved, quoted":   {`CREATE TABLE public."order" (a int);INSERT INTO public.order VALUES (1);`, "public.order 1", nil},
		"many columns":       {"COPY public.a (" + strings.Repeat("c, ", 60) + "d) FROM stdin;\n1\n\\.\n", "public.a 1", nil},
		"inserts":            {"INSERT INTO public.a VALUES\n\t(1, 'x'),\n\t(2, NULL);\nINSERT INTO public.a (x, y) OVERRIDING SYSTEM VALUE VALUES (3, '(');", "public.a 3", nil},
		"default values":     {"INSERT INTO public.a DEFAULT VALUES;INSERT INTO a VALUES (DEFAULT);", "public.a 1, a 1", nil},
		"from a query":       {"INSERT INTO a SELECT (1), (2);CREATE VIEW v AS VALUES (1), (2);COPY a TO stdout;", "", nil},
		"strings":            {`INSERT INTO a VALUES ('a;'), ('\'), (E'\'),('), ('it''s;'), (E'\\'), (U&'\0041');`, "a 6", nil},
		"strings go on":      {"INSERT INTO a VALUES (E'x''\\';'), (E'a'\n  '\\'b;'), ('a'\n'\\'); SELECT 1;", "a 3", []string{"INSERT INTO a VALUES (E'x''\\';'), (E'a'\n  '\\'b;'), ('a'\n'\\')", "SELECT 1"}},
		"old strings":        {`SET standard_conforming_strings = off;INSERT INTO a VALUES ('\'),(');SET standard_conforming_strings = on;INSERT INTO a VALUES ('\'),(2);`, "a 3", nil},
		"dollars":            {"SELECT $$a;b$c$;$$;SELECT $b1$ $b$ $$ ; $b1$;SELECT $1;SELECT a$b$c;SELECT $ä$;$ä$;SELECT $a$a$$a$;", "", []string{"SELECT $$a;b$c$;$$", "SELECT $b1$ $b$ $$ ; $b1$", "SELECT $1", "SELECT a$b$c", "SELECT $ä$;$ä$", "SELECT $a$a$$a$"}},
		"comments":           {"-- INSERT INTO b VALUES (1);\n/* ; /* ; */ INSERT INTO b VALUES (1); */ SELECT 1 -- ;\n - 2 / 3;--\n--", "", []string{"-- INSERT INTO b VALUES (1);\n/* ; /* ; */ INSERT INTO b VALUES (1); */ SELECT 1 -- ;\n - 2 / 3"}},
		"a routine": {"CREATE FUNCTION f() RETURNS int\n LANGUAGE sql\n BEGIN ATOMIC\n INSERT INTO b VALUES (1);\n SELECT CASE WHEN true THEN 1 END AS \"case\";\nEND;\nCREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END;SELECT 1;",
			"", []string{"CREATE FUNCTION f() RETURNS int\n LANGUAGE sql\n BEGIN ATOMIC\n INSERT INTO b VALUES (1);\n SELECT CASE WHEN true THEN 1 END AS \"case\";\nEND", "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", "SELECT 1"}},
		"a routine of text": {"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $_$ BEGIN INSERT INTO b VALUES ($1); END; $_$;SELECT 1;", "", []string{"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $_$ BEGIN INSERT INTO b VALUES ($1); END; $_$", "SELECT 1"}},
		"a rule":            {"CREATE RULE r AS ON INSERT TO a DO (INSERT INTO b VALUES (1); INSERT INTO b VALUES (2));SELECT 1;", "", []string{"CREATE RULE r AS ON INSERT TO a DO (INSERT INTO b VALUES (1); INSERT INTO b VALUES (2))", "SELECT 1"}},
		"begin and end":     {"BEGIN;SELECT CASE WHEN true THEN 1 END;COMMIT;", "", []string{"BEGIN", "SELECT CASE WHEN true THEN 1 END", "COMMIT"}},
		"bound to a key":    {"--\n\\restrict " + key + "\n\nSELECT 1;\n\\unrestrict " + key + "\n", "", []string{"SELECT 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= len(c.text); n++ {
				scan, got, err := postgresPieces(t, c.text, n)
				if shown(scan) != c.want || c.sent != nil && !slices.Equal(got, c.sent) || err != nil || scan.Refused() != "" {
					t.Fatalf("in pieces of %d:\n%s\nwant %s\n%q\nwant %q\n%v %s", n, shown(scan), c.want, got, c.sent, err, scan.Refused())
				}
			}
		})
	}
}

// TestWhatCannotBeRestoredIsSaid: nothing that is for psql reaches it or the server.
func TestWhatCannotBeRestoredIsSaid(t *testing.T) {
	for text, want := range map[string]string{
		"\\connect other\nSELECT 1;":                                `\connect`,
		"SELECT 1;\n\\! rm -rf /\n":                                 `\! rm -rf /`,
		"SELECT 1 \\gexec\n;":                                       "in the middle of a statement",
		"\\restrict a\n\\unrestrict b\n":                            `\unrestrict b`,
		"COPY a FROM stdin WITH (FORMAT csv);\n1\n\\.\n":            "not in the form of text",
		"COPY a FROM stdin; SELECT 1;\n1\n\\.\n":                    "behind a COPY",
		"CREATE DATABASE x;":                                        "CREATE DATABASE",
		"DROP DATABASE x;":                                          "DROP DATABASE",
		"ROLLBACK;":                                                 "ROLLBACK",
		"SET SESSION AUTHORIZATION 'postgres';":                     "SESSION AUTHORIZATION",
		"PGDMP\x01\x0e\x00\x04\x08\x01\x01\x01\x00\x00\x00\x00\x10": "custom format",
	} {
		for n := 1; n <= len(text); n++ {
			if scan, _, _ := postgresPieces(t, text, n); !strings.Contains(scan.Refused(), want) {
				t.Errorf("%q in pieces of %d: %q", text, n, scan.Refused())
			}
		}
	}
}

func TestOnlyItsMarkSaysThatADumpOfPostgreSQLIsComplete(t *testing.T) {
	const mark = "--\n-- PostgreSQL database dump complete\n--\n\n"
	for text, want := range map[string]bool{
		"SELECT 1;\n" + mark:                                    true,
		"SELECT 1;\n-- PostgreSQL database dump complete":       true,
		"SELECT 1;\r\n-- PostgreSQL database dump complete\r\n": true,
		"SELECT 1;\n-- PostgreSQL database dump compl":          false,
		"SELECT 1;\n-- PostgreSQL database dump complete now\n": false,
		"SELECT 1;\n-- PostgreSQL database dump\n":              false,
		"SELECT 1\n" + mark:                                     false,
		mark + "SELECT 1;\n":                                    false,
		mark + ";\n":                                            false,
		mark + "/* ":                                            false,
		mark + "COPY a FROM stdin;\n":                           false,
		"SELECT '\n" + mark + "';\n":                            false,
		"SELECT $$\n" + mark + "$$;\n":                          false,
		"/*\n" + mark + "*/\n":                                  false,
		"COPY a FROM stdin;\n" + mark:                           false,
		"COPY a FROM stdin;\n" + mark + "\\.\n":                 false,
		"\\restrict " + key + "\nSELECT 1;\n" + mark:            false,
		"\\restrict " + key + "\nSELECT 1;\n" + mark + "\\unrestrict " + key + "\n":          true,
		"\\restrict " + key + "\nSELECT 1;\n" + mark + "\\unrestrict " + key:                 true,
		"\\restrict " + key + "\nSELECT 1;\n" + mark + "\\unrestr":                           false,
		"\\restrict " + key + "\nSELECT 1;\n" + mark + "\\unrestrict " + key + "\nSELECT 1;": false,
		"": false,
	} {
		for n := 1; n <= max(1, len(text)); n++ {
			if scan, _, _ := postgresPieces(t, text, n); scan.Complete() != want {
				t.Errorf("%q in pieces of %d: complete %v", text, n, !want)
			}
		}
	}
	if _, _, err := postgresPieces(t, "COPY a FROM stdin;\n1\n", 5); err == nil || !strings.Contains(err.Error(), "in the middle of statement") {
		t.Errorf("rows without an end: %v", err)
	}
}

func TestNamesOfPostgreSQLAreReadAsTheyAreWritten(t *testing.T) {
	for _, c := range [][2]string{{"public", "a"}, {"", "a1_b"}, {"S", "x.y"}, {`q"q`, `"`}, {"", "1a"}, {"ä", "order"}} {
		text := PostgresName(c[0], c[1])
		schema, table, err := ParsePostgresName(text)
		if err != nil || schema != c[0] || table != c[1] {
			t.Errorf("%q is written %s and read %q %q %v", c, text, schema, table, err)
		}
	}
	for text, want := range map[string]string{"Shelf": "|Shelf", "a.B c": "a|B c", `a."b.c"`: "a|b.c", "a.b.c": "a|b.c"} {
		if schema, table, err := ParsePostgresName(text); err != nil || schema+"|"+table != want {
			t.Errorf("%s is read as %s|%s %v", text, schema, table, err)
		}
	}
	for _, text := range []string{"", ".", "a.", ".b", `"a`, `"a"b`, `"".a`, `a."b"."c"`, `a"b"`} {
		if schema, table, err := ParsePostgresName(text); err == nil {
			t.Errorf("%q is taken for %q %q", text, schema, table)
		}
	}
}

// BenchmarkRowsOfCOPY is what counting costs, beside the program that dumps.
func BenchmarkRowsOfCOPY(b *testing.B) {
	var text strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&text, "%d\tsome name of a thing\t2026-01-01 00:00:00\t\\N\tmore text of it\n", i)
	}
	chunk := []byte(text.String())
	b.SetBytes(int64(len(chunk)))
	scan := newPostgres()
	_, _ = scan.Write([]byte("COPY a FROM stdin;\n"))
	for b.Loop() {
		_, _ = scan.Write(chunk)
	}
}
