package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

func (*postgresDialect) system() string { return "postgres" }

// mustMatch: pg_dump refuses a server of a newer major version than its own, and rightly so.
func (*postgresDialect) mustMatch() bool { return true }

// programs: the one that is found first may be of another version than the server, where several are installed.
func (*postgresDialect) programs(server version) []string {
	major := strconv.Itoa(server.number[0])
	return []string{"pg_dump", "/usr/lib/postgresql/" + major + "/bin/pg_dump", "/usr/pgsql-" + major + "/bin/pg_dump"}
}

var postgresNumbers = regexp.MustCompile(`\d+(\.\d+)*`)

// postgresVersion: from 10 on the second number changes nothing that a dump has to know.
func postgresVersion(said string) version {
	v := versionOf(said, "")
	v.text = postgresNumbers.FindString(said)
	if v.number[0] == 0 {
		v.number[0], _ = strconv.Atoi(v.text) // 18devel
	}
	if v.number[0] >= 10 {
		v.number[1], v.number[2] = 0, 0
	}
	return v
}

// toolVersion knows "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func (*postgresDialect) toolVersion(said string) version {
	_, rest, ok := strings.Cut(said, "(PostgreSQL) ")
	if !ok {
		return version{}
	}
	return postgresVersion(rest)
}

func (*postgresDialect) serverVersion(ctx context.Context, q queryer) (version, error) {
	rows, err := q.rows(ctx, "ask for its version", "SELECT pg_catalog.current_setting('server_version')")
	if err != nil || len(rows) == 0 {
		return version{}, err
	}
	return postgresVersion(word(rows[0][0])), nil
}

// home: what this package calls a database is a schema here; what is dumped is the database.
func (d *postgresDialect) home(*Conn) string { return d.database }

func (*postgresDialect) spell(name, schema string) (string, error) {
	of, table, err := stream.ParsePostgresName(name)
	if err != nil {
		return "", err
	}
	if of == "" {
		of = schema
	}
	return stream.PostgresName(of, table), nil
}

func (*postgresDialect) unfit(params engine.Record) []engine.Problem {
	var out []engine.Problem
	add := func(path, why string) { out = append(out, engine.Problem{Path: path, Message: why}) }
	if _, given := params["databases"]; given {
		add("databases", "pg_dump dumps one database, that of the target's `database`; make a target and a dump of each")
	}
	if s, _ := params["snapshot"].(string); s != "" && s != snapshotTransaction {
		add("snapshot", "pg_dump always reads in one transaction, and nobody has to wait for it; leave it out")
	}
	for _, name := range []string{"routines", "events"} {
		if _, given := params[name]; given {
			add(name, "it is for MySQL and MariaDB; a dump of a whole database of PostgreSQL has its functions, one of tables has none")
		}
	}
	return out
}

// quoted is a table's canonical name as it stands in a statement, or a pattern of pg_dump.
func (d *postgresDialect) quoted(name string) string {
	schema, table, err := stream.ParsePostgresName(name)
	if err != nil {
		return d.quote(name)
	}
	if schema == "" {
		return d.quote(table)
	}
	return d.quote(schema) + "." + d.quote(table)
}

// job starts pg_dump. The dump takes away what it brings back, so that it can be restored over what is there.
// All of the connection stands in variables, which libpq takes as they are; what the user's own environment and
// files would add is shut out.
func (d *postgresDialect) job(t tool, _ version, o order) (host.Job, error) {
	env, err := d.variables(t)
	if err != nil {
		return host.Job{}, err
	}
	argv := []string{t.path, "--format=plain", "--clean", "--if-exists", "--encoding=UTF8", "--no-password"}
	for _, name := range o.tables {
		argv = append(argv, "--table="+d.quoted(name))
	}
	if len(o.tables) == 0 {
		argv = append(argv, "--exclude-table=*."+lockTableName)
	}
	return host.Job{Argv: append(argv, o.extra...), Env: append(env, "PGDATABASE="+o.database)}, nil
}

// nowhere is a file that is not there: one that is would be read.
const nowhere = "/nonexistent"

// variables are the connection as libpq's variables say it.
func (d *postgresDialect) variables(t tool) ([]string, error) {
	s := d.settings
	s.Address, s.TLS = s.Programs.seen(s.Address, s.TLS)
	at, port, err := postgresAddress(s.Address)
	if err != nil {
		return nil, err
	}
	set := map[string]string{"PGPORT": strconv.Itoa(int(port)), "PGUSER": s.User, "PGPASSWORD": s.Password.Reveal(),
		"PGPASSFILE": nowhere, "PGSSLCERT": nowhere, "PGSSLKEY": nowhere, "PGSSLROOTCERT": nowhere, "PGSSLCRL": nowhere,
		"PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "handrail"}
	if s.TLS != nil {
		set["PGSSLMODE"] = "verify-full"
		if set["PGSSLROOTCERT"], err = authorities(t, string(s.TLS.CA), s.Programs != nil); err != nil {
			return nil, err
		}
		if s.TLS.Cert != "" {
			set["PGSSLCERT"], set["PGSSLKEY"] = string(s.TLS.Cert), string(s.TLS.Key)
		}
		if name := s.TLS.ServerName; name != "" && name != at {
			if net.ParseIP(at) == nil {
				return nil, errors.New("the target's settings give `tls.server_name`, which pg_dump takes only beside an IP address; let the address be one, or the name in the server's certificate")
			}
			set["PGHOSTADDR"], at = at, name
		}
	}
	set["PGHOST"] = at
	env := make([]string, 0, len(set))
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env, nil
}

// authorities is the file of those that libpq is to trust. Since version 16 it knows those of the machine itself.
func authorities(t tool, given string, elsewhere bool) (string, error) {
	if given != "" {
		return given, nil
	}
	if t.version.number[0] >= 16 {
		return "system", nil
	}
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		if _, err := os.Stat(path); err == nil && !elsewhere {
			return path, nil
		}
	}
	return "", errors.New("pg_dump before version 16 does not find the authorities that its machine trusts; give their file as `ca` in the target's `tls`, or in `programs.tls`")
}

// stock leaves out what belongs to extensions, which a dump brings back by CREATE EXTENSION.
func (*postgresDialect) stock(ctx context.Context, q queryer, _ order) ([]stocked, error) {
	rows, err := q.rows(ctx, "look at the tables", `SELECT n.nspname, c.relname, CASE c.relkind WHEN 'p' THEN 0 ELSE c.reltuples::bigint END, pg_catalog.pg_table_size(c.oid)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
		AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
		ORDER BY 1, 2`)
	var out []stocked
	for _, r := range rows {
		if word(r[1]) == lockTableName {
			continue
		}
		out = append(out, stocked{database: word(r[0]), name: stream.PostgresName(word(r[0]), word(r[1])), engine: "heap", rows: max(-1, number(r[2])), bytes: number(r[3])})
	}
	return out, err
}

// harmlessToPostgres are options that leave a dump one that can be counted and restored.
var harmlessToPostgres = []string{"--exclude-table", "--exclude-table-data", "--schema", "--exclude-schema", "--inserts", "--column-inserts", "--rows-per-insert",
	"--no-owner", "--no-privileges", "--no-comments", "--no-publications", "--no-subscriptions", "--no-security-labels", "--no-tablespaces",
	"--no-table-access-method", "--no-toast-compression", "--no-unlogged-table-data", "--large-objects", "--blobs", "--no-large-objects", "--no-blobs",
	"--quote-all-identifiers", "--disable-dollar-quoting", "--lock-wait-timeout", "--serializable-deferrable", "--extra-float-digits"}

func (*postgresDialect) refusesExtra(option string) string {
	name, _, _ := strings.Cut(option, "=")
	if contains(harmlessToPostgres, name) {
		return ""
	}
	return fmt.Sprintf("%s is not among the options that can be added to pg_dump: %s", name, strings.Join(harmlessToPostgres, ", "))
}

// narrows: it leaves out tables that are there.
func narrows(option string) bool {
	return strings.HasPrefix(option, "--exclude-table") || strings.HasPrefix(option, "--schema") || strings.HasPrefix(option, "--exclude-schema")
}

func (*postgresDialect) hint(said string) string {
	low := strings.ToLower(said)
	switch {
	case strings.Contains(low, "password authentication failed"), strings.Contains(low, "no password supplied"):
		return "check `user` and `password` in the target's settings"
	case strings.Contains(low, "permission denied"):
		return "give the user SELECT on all tables and sequences and USAGE on their schemas, or GRANT pg_read_all_data"
	case strings.Contains(low, "row-level security"):
		return "the user sees only some rows of that table, which would make a backup with gaps; dump as its owner, or as a user with BYPASSRLS"
	case strings.Contains(low, "server version mismatch"):
		return "install the pg_dump of the server's version, or name it with `program`"
	case strings.Contains(low, "lock timeout"), strings.Contains(low, "lock-wait-timeout"):
		return "somebody alters a table or holds it locked; see pg_locks, and dump again afterwards"
	}
	return ""
}
