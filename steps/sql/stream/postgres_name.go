package stream

import (
	"fmt"
	"strings"
)

// PostgresName writes the name of a table as a manifest has it: its schema and its own name, each in quotes only
// where it holds more than small letters, digits and _. Which words are reserved differs from version to version,
// so that decides nothing.
func PostgresName(schema, table string) string {
	if schema == "" {
		return postgresPart(table)
	}
	return postgresPart(schema) + "." + postgresPart(table)
}

func postgresPart(name string) string {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9' || i == 0) {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

// ParsePostgresName reads what [PostgresName] writes, and what people write in its place: a name without quotes is
// taken as it stands, and its first dot ends the schema.
func ParsePostgresName(text string) (schema, table string, err error) {
	bad := fmt.Errorf(`%q is not the name of a table; write table, schema.table, or schema."Table.1"`, text)
	if !strings.Contains(text, `"`) {
		schema, table, ok := strings.Cut(text, ".")
		if !ok {
			schema, table = "", schema
		}
		if table == "" || ok && schema == "" {
			return "", "", bad
		}
		return schema, table, nil
	}
	first, rest, ok := postgresPartOf(text)
	switch {
	case !ok:
		return "", "", bad
	case rest == "":
		return "", first, nil
	case rest[0] != '.':
		return "", "", bad
	}
	second, rest, ok := postgresPartOf(rest[1:])
	if !ok || rest != "" {
		return "", "", bad
	}
	return first, second, nil
}

// postgresPartOf takes one part of a name from the front of a text.
func postgresPartOf(text string) (part, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, `."`)
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], end > 0
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '"':
			b.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == '"':
			b.WriteByte('"')
			i++
		default:
			return b.String(), text[i+1:], b.Len() > 0
		}
	}
	return "", "", false
}
