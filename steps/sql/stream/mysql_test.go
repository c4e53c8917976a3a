package stream

import (
	"fmt"
	"strings"
	"testing"
)

// pieces writes a text in pieces of n bytes.
func pieces(t testing.TB, text string, n int) (Scanner, []string) {
	t.Helper()
	scan, err := New("mysql")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	s := NewSplitter(scan, 1<<20, func(b []byte) error { got = append(got, strings.TrimSpace(string(b))); return nil })
	for i := 0; i < len(text); i += n {
		if _, err := s.Write([]byte(text[i:min(i+n, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close() // a text that is cut off is a case below
	return scan, got
}

func shown(s Scanner) string {
	var parts []string
	for _, table := range s.Tables() {
		parts = append(parts, fmt.Sprintf("%s %d", table.Name, table.Rows))
	}
	return strings.Join(parts, ", ")
}

// TestRowsAreCountedInWhatInsertsRows: by every way to cut the text in pieces.
func TestRowsAreCountedInWhatInsertsRows(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		statements int
	}{
		"MariaDB":          {"CREATE TABLE `a` (\n `x` int\n);\nINSERT INTO `a` VALUES\n(1,'x'),\n(2,NULL);\nINSERT INTO `a` VALUES\n(3,'');\n", "a 3", 3},
		"MySQL":            {"INSERT INTO `a` VALUES (1,'x'),(2,NULL),(-3,_binary 'y'),(0x4142,-1.5e-7);\n", "a 4", 1},
		"no space":         {"insert into a values(1),(2);INSERT INTO `B b`(`x`,`VALUES`)VALUES(1);", "a 2, B b 1", 2},
		"empty table":      {"CREATE TABLE IF NOT EXISTS `a` (`x` int);\n", "a 0", 1},
		"doubled quotes":   {"CREATE TABLE `a``(b)``` (x int);INSERT INTO `a``(b)```VALUES(1);USE `d`;INSERT INTO `e`.`f`(`g``h`)VALUES(1),(2);", "a`(b)` 1, e.f 2", 4},
		"named columns":    {"INSERT INTO `a` (`x`, `y(`, `VALUES`) VALUES (1,2,3),(4,5,6);", "a 2", 1},
		"twenty columns":   {"INSERT INTO `a` (" + strings.Repeat("`c`, ", 20) + "`d`) VALUES (1);", "a 1", 1},
		"ignore, replace":  {"INSERT  IGNORE INTO `a` VALUES (1);REPLACE INTO `a` VALUES (2),(3);", "a 3", 2},
		"strings":          {`INSERT INTO a VALUES ('),(\'),(',"),("),('it''s)',('\\'));`, "a 2", 1},
		"long string":      {"INSERT INTO a VALUES ('" + strings.Repeat(`0123456789(),;\'\\`, 40) + "'),(2);", "a 2", 1},
		"many escapes":     {"INSERT INTO a VALUES ('" + strings.Repeat(`\'`, 300) + "'),(2);", "a 2", 1},
		"brackets in rows": {"INSERT INTO a VALUES (POINT(1,2)),((3));", "a 2", 1},
		"databases":        {"USE `one`;\nCREATE TABLE `a` (x int);\nINSERT INTO `a` VALUES (1);\nUSE `two`;\nINSERT INTO `a` VALUES (1),(2);INSERT INTO `one`.`a` VALUES (3);", "one.a 2, two.a 2", 6},
		"from a query":     {"INSERT INTO a SELECT (1),(2);INSERT INTO a SET x = (1);", "", 2},
		"in a string":      {"SET @a = 'INSERT INTO b VALUES (1);\nINSERT INTO b VALUES (2);';", "", 1},
		"in comments":      {"-- INSERT INTO b VALUES (1);\n# INSERT INTO b VALUES (1);\n/* INSERT INTO b VALUES (1); */ /**/ INSERT INTO a VALUES (1);", "a 1", 1},
		"a view":           {"/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a`*/;\n/*!50001 CREATE TABLE `v` (`a` int)*/;", "", 2},
		"temporary":        {"CREATE TEMPORARY TABLE x (a int);CREATE DATABASE `d`;CREATE SEQUENCE `s` start with 1;SELECT SETVAL(`s`, 1, 0);", "", 4},
		"a routine": {"DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\nINSERT INTO b VALUES (1);\nINSERT INTO b VALUES (2);\nEND ;;\nDELIMITER ;\nINSERT INTO a VALUES (1);",
			"a 1", 2},
		"a trigger": {"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET new.x = ';;'; END */;;\nDELIMITER ;\nINSERT INTO a VALUES (1);",
			"a 1", 2},
		"other delimiters": {"delimiter //\nCREATE PROCEDURE p() SELECT 1/2; //\ndelimiter $$\nSELECT 1; SELECT '$'$$\nDELIMITER ;\nSELECT 2;", "", 3},
		"no escapes":       {"/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */ ;\nINSERT INTO a VALUES ('\\'),('\\');\nSET sql_mode = @old;\nINSERT INTO a VALUES ('\\'),(');", "a 3", 4},
		"quoted names":     {"SET SQL_MODE='ANSI_QUOTES';CREATE TABLE \"a\\\" (x int);INSERT INTO \"a\\\" VALUES (1);", `a\ 1`, 3},
		"dashes":           {"INSERT INTO a VALUES (1--1),(5-\n2),(3 / 4);SELECT 1 - - 1;", "a 3", 2},
		"sandbox":          {"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n/*!40101 SET NAMES utf8mb4 */;\n", "", 1},
		"nothing":          {" ; ;; -- a\n /* b */ ;", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= len(c.text); n += 1 + n/8 {
				scan, got := pieces(t, c.text, n)
				if shown(scan) != c.want || len(got) != c.statements {
					t.Fatalf("in pieces of %d: %q, want %q; statements %q", n, shown(scan), c.want, got)
				}
				if scan.open() {
					t.Fatalf("in pieces of %d: it is said to be in the middle of a statement", n)
				}
			}
		})
	}
}

// TestWhatIsCutIsWhatWasWritten: nothing of a statement is lost, and no delimiter and no command is in it.
func TestWhatIsCutIsWhatWasWritten(t *testing.T) {
	text := "SET a = 1;\nDELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT ';'; SELECT 2; END ;;\nDELIMITER ;\n-- b\nINSERT INTO `a` VALUES ('\\';'),(2) ;"
	want := []string{"SET a = 1", "CREATE PROCEDURE p() BEGIN SELECT ';'; SELECT 2; END", "-- b\nINSERT INTO `a` VALUES ('\\';'),(2)"}
	for n := 1; n <= len(text); n++ {
		if _, got := pieces(t, text, n); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("in pieces of %d: %q", n, got)
		}
	}
}

func TestOnlyItsLastLineSaysThatADumpIsComplete(t *testing.T) {
	const mark = "-- Dump completed on 2026-11-24 14:56:55"
	for text, want := range map[string]bool{
		"SELECT 1;\n" + mark + "\n":                        true,
		"SELECT 1;\n" + mark:                               true,
		"SELECT 1;\n-- Dump completed\n\n":                 true,
		"SELECT 1;\n":                                      false,
		"":                                                 false,
		mark[:10]:                                          false,
		"SELECT 1\n" + mark + "\n":                         false, // in a statement
		"SELECT '\n" + mark + "\n":                         false, // in a string
		"SELECT '\n" + mark + "\n';\n":                     false,
		"/*\n" + mark + "\n":                               false,
		"/*\n" + mark + "\n*/\n":                           false,
		mark + "\nSELECT 1;\n":                             false, // something follows
		mark + "\nINSERT INTO a VALUES (1":                 false,
		mark + "\n/* and then":                             false,
		"DELIMITER ;;\nSELECT 1 ;\n" + mark + "\n":         false,
		"INSERT INTO a VALUES (1),\n" + mark + "\n":        false,
		"INSERT INTO a VALUES ('-- Dump completed on x');": false,
	} {
		for n := 1; n <= max(1, len(text)); n++ {
			scan, _ := pieces(t, text, n)
			if scan.Complete() != want {
				t.Errorf("%q in pieces of %d: complete is %v", text, n, !want)
				break
			}
		}
	}
}

func TestLongestStatement(t *testing.T) {
	for n := 1; n < 30; n++ {
		if scan, _ := pieces(t, "SELECT 1;SELECT 12345;SELECT 1;", n); scan.Longest() != int64(len("SELECT 12345;")) {
			t.Errorf("in pieces of %d: %d", n, scan.Longest())
		}
	}
}

// FuzzPieces: how a text is cut changes nothing.
func FuzzPieces(f *testing.F) {
	for _, text := range []string{"INSERT INTO a VALUES ('\\'),(1);-- x\n", "DELIMITER ;;\n/*!5 ' */;;", "/*M!1*/`a``b`\"\\", "--\n#\n/**/*/;;"} {
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		whole, a := pieces(t, text, max(1, len(text)))
		cut, b := pieces(t, text, max(1, int(n)))
		if shown(whole) != shown(cut) || strings.Join(a, "\x00") != strings.Join(b, "\x00") || whole.Complete() != cut.Complete() || whole.open() != cut.open() {
			t.Errorf("%q: %s %q %v, in pieces of %d: %s %q %v", text, shown(whole), a, whole.Complete(), n, shown(cut), b, cut.Complete())
		}
	})
}

func BenchmarkScan(b *testing.B) {
	row := "(123456,'COR-2026-000017','A title of a document that is somewhat longer','2026-11-24 14:56:55',-17.25,NULL,'{\\\"reason\\\": \\\"x\\\"}'),\n"
	text := []byte("INSERT INTO `a` VALUES\n" + strings.Repeat(row, 7000) + "(1);\n")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s, _ := New("mysql")
		_, _ = s.Write(text)
	}
}
