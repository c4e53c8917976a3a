package sql

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// edition is which server it is, by the text of VERSION().
type edition struct {
	maria  bool
	number int // 100411 is 10.4.11
}

var versionNumbers = regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)`)

// editionOf reads "10.11.6-MariaDB", also behind the "5.5.5-" that old ones begin with, and "8.0.36".
func editionOf(text string) edition {
	e := edition{maria: strings.Contains(text, "MariaDB")}
	found := versionNumbers.FindStringSubmatch(strings.TrimPrefix(text, "5.5.5-"))
	for i := 1; i < len(found); i++ {
		n, _ := strconv.Atoi(found[i]) // they are digits
		e.number = e.number*100 + n
	}
	return e
}

// since is the way from a version on.
type since struct {
	version int
	way     way
	blocks  bool // writers wait although it is in place
}

// mysqlRule is how one action is carried out on an InnoDB table, newest version first.
type mysqlRule struct{ maria, mysql []since }

// mysqlRules are taken from MariaDB's "InnoDB Online DDL Operations with the INSTANT, NOCOPY and INPLACE Alter Algorithm"
// (mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-online-ddl), and for MySQL from "Online DDL Operations"
// of the manuals of 5.7, 8.0 and 8.4 (dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html). A test holds those of MariaDB
// against the server. What is not here is unknown. It is never changed.
var mysqlRules = map[string]mysqlRule{
	"ADD COLUMN":       {maria: []since{{100400, wayInstant, false}, {0, wayRebuild, false}}, mysql: []since{{80029, wayInstant, false}, {0, wayRebuild, false}}},
	"DROP COLUMN":      {maria: []since{{100400, wayInstant, false}, {0, wayRebuild, false}}, mysql: []since{{80029, wayInstant, false}, {0, wayRebuild, false}}},
	"RENAME COLUMN":    {maria: []since{{100502, wayInstant, false}}, mysql: []since{{80028, wayInstant, false}, {0, wayInPlace, false}}},
	"SET DEFAULT":      {maria: []since{{100300, wayInstant, false}, {0, wayInPlace, false}}, mysql: []since{{80012, wayInstant, false}, {0, wayInPlace, false}}},
	"DROP DEFAULT":     {maria: []since{{100300, wayInstant, false}, {0, wayInPlace, false}}, mysql: []since{{80012, wayInstant, false}, {0, wayInPlace, false}}},
	"ADD INDEX":        {maria: []since{{0, wayInPlace, false}}, mysql: []since{{0, wayInPlace, false}}},
	"CREATE INDEX":     {maria: []since{{0, wayInPlace, false}}, mysql: []since{{0, wayInPlace, false}}},
	"ADD UNIQUE":       {maria: []since{{0, wayInPlace, false}}, mysql: []since{{0, wayInPlace, false}}},
	"ADD FULLTEXT":     {maria: []since{{0, wayInPlace, true}}, mysql: []since{{0, wayInPlace, true}}},
	"ADD SPATIAL":      {maria: []since{{0, wayInPlace, true}}, mysql: []since{{0, wayInPlace, true}}},
	"DROP INDEX":       {maria: []since{{0, wayInPlace, false}}, mysql: []since{{0, wayInPlace, false}}},
	"RENAME INDEX":     {maria: []since{{100502, wayInstant, false}}, mysql: []since{{0, wayInPlace, false}}},
	"ADD PRIMARY KEY":  {maria: []since{{0, wayRebuild, false}}, mysql: []since{{0, wayRebuild, false}}},
	"DROP PRIMARY KEY": {maria: []since{{0, wayCopy, true}}, mysql: []since{{0, wayCopy, true}}},
	"ADD FOREIGN KEY":  {maria: []since{{0, wayCopy, true}}, mysql: []since{{0, wayCopy, true}}},
	"DROP FOREIGN KEY": {maria: []since{{100300, wayInstant, false}, {0, wayInPlace, false}}, mysql: []since{{0, wayInPlace, false}}},
	"ADD CHECK":        {maria: []since{{100300, wayCopy, true}}},
	"DROP CONSTRAINT":  {maria: []since{{100300, wayInstant, false}}},
	"RENAME":           {maria: []since{{100300, wayInstant, false}, {0, wayInPlace, false}}, mysql: []since{{80012, wayInstant, false}, {0, wayInPlace, false}}},
	"COMMENT":          {maria: []since{{100300, wayInstant, false}}},
	"AUTO_INCREMENT":   {maria: []since{{100300, wayInstant, false}, {0, wayInPlace, false}}, mysql: []since{{0, wayInPlace, false}}},
	"FORCE":            {maria: []since{{0, wayRebuild, false}}, mysql: []since{{0, wayRebuild, false}}},
	"OPTIMIZE TABLE":   {maria: []since{{0, wayRebuild, false}}, mysql: []since{{0, wayRebuild, false}}},
	"TRUNCATE":         {maria: []since{{0, wayInstant, true}}, mysql: []since{{0, wayInstant, true}}},
	"TRUNCATE TABLE":   {maria: []since{{0, wayInstant, true}}, mysql: []since{{0, wayInstant, true}}},
	"DROP TABLE":       {maria: []since{{0, wayInstant, true}}, mysql: []since{{0, wayInstant, true}}},
}

// What others feel of it.
const (
	momentLocked  = "the table's definition, exclusively, for a moment at its beginning and its end: there it waits for every transaction that uses the table, and whoever comes after waits behind it; others read and write meanwhile"
	writersLocked = "the table's definition, exclusively, at its beginning and its end, and meanwhile against writers, who wait until it has ended"
	allLocked     = "the table's definition, exclusively: it waits for every transaction that uses the table, and whoever comes after waits behind it"
)

func (d *mysqlDialect) manner(ctx context.Context, q queryer, t statement.Name, def statement.Definition, f tableFacts) (manner, error) {
	switch {
	case d.tidb.Load():
		return undefined("TiDB changes definitions in steps of its own, while others read and write"), nil
	case f.engine != "InnoDB":
		return undefined("the table is of engine " + f.engine + ", and the rules that are known here are those of InnoDB"), nil
	}
	made, err := d.build(ctx, q, t)
	if err != nil {
		return manner{}, err
	}
	does := map[string]bool{}
	for _, a := range def.Actions {
		does[a.Does] = true
	}
	var all []manner
	for _, a := range def.Actions {
		m := d.one(a, made)
		switch {
		case a.Does == "LOCK":
			continue
		case a.Does == "ALGORITHM" && strings.EqualFold(a.Of, "COPY"):
			m = manner{way: wayCopy, waits: writersLocked, why: "the statement asks for it"}
		case a.Does == "ALGORITHM":
			continue // what it rules out is refused by the server
		case a.Does == "DROP PRIMARY KEY" && does["ADD PRIMARY KEY"]:
			m = manner{way: wayRebuild, waits: momentLocked}
		}
		all = append(all, m)
	}
	return worst(all), nil
}

// build is what of a table makes a difference.
type build struct {
	compressed, fulltext, virtual bool
	indexed                       map[string]bool // columns, in small letters
}

func (*mysqlDialect) build(ctx context.Context, q queryer, t statement.Name) (build, error) {
	b := build{indexed: map[string]bool{}}
	rows, err := q.rows(ctx, "look how "+t.String()+" is built", `SELECT 'index', COLUMN_NAME, INDEX_TYPE FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?
		UNION ALL SELECT 'column', COLUMN_NAME, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND EXTRA LIKE '%VIRTUAL%'
		UNION ALL SELECT 'table', '', ROW_FORMAT FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
		t.Schema, t.Table, t.Schema, t.Table, t.Schema, t.Table)
	for _, r := range rows {
		switch word(r[0]) {
		case "index":
			b.indexed[strings.ToLower(word(r[1]))] = true
			b.fulltext = b.fulltext || word(r[2]) == "FULLTEXT"
		case "column":
			b.virtual = true
		case "table":
			b.compressed = strings.EqualFold(word(r[2]), "COMPRESSED")
		}
	}
	return b, err
}

// one is how an action is carried out by itself.
func (d *mysqlDialect) one(a statement.Action, b build) manner {
	e, _ := d.edition.Load().(edition)
	switch does := a.Does; {
	case does == "MODIFY COLUMN":
		return undefined("it depends on what the column is now: a longer VARCHAR is instant, NULL or NOT NULL is in place, another type is copied row by row")
	case does == "CONVERT":
		return undefined("the table is copied, unless it has that character set already")
	case does == "ENGINE" && strings.EqualFold(a.Of, "InnoDB"):
		a.Does = "FORCE"
	case does == "ENGINE":
		return manner{way: wayCopy, waits: writersLocked}
	case does == "CREATE INDEX" && a.Says("FULLTEXT", "SPATIAL"):
		a.Does = "ADD FULLTEXT"
	}
	rule, ok := mysqlRules[a.Does]
	list := rule.mysql
	if e.maria {
		list = rule.maria
	}
	if !ok || len(list) == 0 {
		return undefined("there is no rule for it here")
	}
	var found since
	for _, s := range list {
		if found = s; e.number >= s.version {
			break
		}
	}
	if e.number < found.version {
		return undefined(fmt.Sprintf("there is no rule for it in a version this old (%d)", e.number))
	}
	m := manner{way: found.way, waits: momentLocked}
	switch {
	case found.way == wayInstant && found.blocks:
		m.waits = allLocked
	case found.blocks:
		m.waits = writersLocked
	}
	switch a.Does {
	case "ADD COLUMN":
		return added(a, b, e, m)
	case "DROP COLUMN":
		return withdrawn(a, b, m)
	case "FORCE", "OPTIMIZE TABLE":
		if b.fulltext {
			m.waits = writersLocked
		}
	case "ADD FULLTEXT":
		if !b.fulltext {
			m.way = wayRebuild
		}
	case "DROP TABLE", "TRUNCATE", "TRUNCATE TABLE":
		m.why = "the table's file is removed"
	}
	return m
}

// added: a new column is not always instant.
func added(a statement.Action, b build, e edition, m manner) manner {
	value := a.Default()
	places := a.Says("FIRST", "AFTER")
	switch {
	case a.Says("STORED", "PERSISTENT"):
		return manner{way: wayCopy, waits: writersLocked, why: "each row's value is computed and written"}
	case a.Says("UNIQUE", "PRIMARY", "KEY", "REFERENCES", "CHECK"):
		return undefined("the column brings an index or a constraint along")
	case value != "" && value != "constant" && value != "CURRENT_TIMESTAMP" && value != "NOW" && value != "CURRENT_DATE":
		return undefined("the column's DEFAULT is computed: that is copied row by row if it gives each row another value")
	case b.virtual && places:
		return undefined("the table has computed columns")
	case a.Says("AUTO_INCREMENT"), b.fulltext:
		return manner{way: wayRebuild, waits: writersLocked}
	case b.compressed:
		return manner{way: wayRebuild, waits: momentLocked}
	case !e.maria && e.number >= 80012 && e.number < 80029 && !places:
		m.way = wayInstant // as the last one
	}
	return m
}

func withdrawn(a statement.Action, b build, m manner) manner {
	switch {
	case b.virtual && b.indexed[strings.ToLower(a.Of)]:
		return undefined("the table has computed columns, and this one is in an index")
	case b.fulltext:
		return manner{way: wayRebuild, waits: writersLocked}
	case b.compressed:
		return manner{way: wayRebuild, waits: momentLocked}
	case b.indexed[strings.ToLower(a.Of)] && m.way == wayInstant:
		return manner{way: wayInPlace, waits: momentLocked, why: "the column is in an index; if that has other columns, too, the table is rebuilt"}
	}
	return m
}

// grip is what a change of rows locks.
func (*mysqlDialect) grip(class statement.Class, f tableFacts) string {
	switch {
	case !f.there:
		return ""
	case f.view:
		return "those of the tables behind the view"
	case f.leaky:
		return "the whole table, against everybody else, for as long as the statement takes"
	case event(class.Verb) == "INSERT":
		return "the new rows, and those that they collide with, until the end of the step; nobody changes the table's definition meanwhile"
	}
	return "each row that it reads on its way, exclusively, until the end of the step: those that it changes if an index leads to them, else every row of the table; nobody changes the table's definition meanwhile"
}

// forbids looks at the rights of the user. A right on columns is taken for enough: which columns are needed is not looked at.
func (d *mysqlDialect) forbids(ctx context.Context, q queryer, t statement.Name, need []string) (string, error) {
	named := make([]string, len(need))
	for i, n := range need {
		if named[i] = n; n == "TRUNCATE" {
			named[i] = "DROP"
		}
	}
	user, right, err := d.lacks(ctx, q, t.Schema, t.Table, named)
	if right == "" {
		return "", err
	}
	return fmt.Sprintf("the user %s has no right to %s on %s", user, right, t), nil
}
