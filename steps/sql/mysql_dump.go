package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

func (*mysqlDialect) system() string            { return "mysql" }
func (*mysqlDialect) programs(version) []string { return []string{"mariadb-dump", "mysqldump"} }
func (*mysqlDialect) mustMatch() bool           { return false }
func (*mysqlDialect) home(c *Conn) string       { return c.database }

func (*mysqlDialect) spell(name, _ string) (string, error) { return name, nil }
func (*mysqlDialect) unfit(engine.Record) []engine.Problem { return nil }

// toolVersion knows "Ver 10.19 Distrib 10.11.6-MariaDB", "from 11.4.2-MariaDB, client 10.19" and "Ver 8.0.36 for Linux".
func (*mysqlDialect) toolVersion(said string) version {
	flavor := ""
	if strings.Contains(said, "MariaDB") {
		flavor = "MariaDB"
	}
	for _, before := range []string{" Distrib ", " from ", " Ver "} {
		if _, rest, ok := strings.Cut(said, before); ok {
			return versionOf(rest, flavor)
		}
	}
	return version{flavor: flavor}
}

func (*mysqlDialect) serverVersion(ctx context.Context, q queryer) (version, error) {
	rows, err := q.rows(ctx, "ask for its version", "SELECT VERSION()")
	if err != nil || len(rows) == 0 {
		return version{}, err
	}
	said := word(rows[0][0])
	for _, flavor := range []string{"MariaDB", "TiDB"} {
		if strings.Contains(said, flavor) {
			return versionOf(said, flavor), nil
		}
	}
	return versionOf(said, ""), nil
}

// unable asks for each database of a dump.
func (d *mysqlDialect) unable(ctx context.Context, q queryer, database string, dump *proof.Dump) (string, error) {
	databases := dump.Databases
	if len(databases) == 0 {
		if database == "" {
			return "no database is chosen; give `database` in the target's settings", nil
		}
		databases = []string{database}
	}
	for _, name := range databases {
		if why, err := d.mayRestore(ctx, q, name); why != "" || err != nil {
			return strings.TrimPrefix(why+"; give it with GRANT", "; give it with GRANT"), err
		}
	}
	return "", nil
}

func (d *mysqlDialect) counting(dump *proof.Dump, name string) string {
	for _, db := range dump.Databases {
		if table, ok := strings.CutPrefix(name, db+"."); ok {
			return d.quote(db) + "." + d.quote(table)
		}
	}
	return d.quote(name)
}

// maxPacket is the largest row that is dumped: the most that a server takes.
const maxPacket = 1 << 30

// job starts the program with settings that nobody else has written: an option of somebody's own file, such
// as no-data, would make a backup with nothing in it. They come in by a pipe, so that neither the arguments
// nor the environment nor a file holds the password.
func (d *mysqlDialect) job(t tool, server version, o order) (host.Job, error) {
	settings, err := d.options(t)
	if err != nil {
		return host.Job{}, err
	}
	argv := []string{t.path, "--defaults-file=/dev/stdin", "--quick", "--comments", "--create-options", "--triggers",
		"--default-character-set=utf8mb4", "--no-tablespaces", fmt.Sprintf("--max-allowed-packet=%d", maxPacket)}
	switch {
	case o.snapshot == snapshotTransaction:
		argv = append(argv, "--single-transaction", "--skip-lock-tables")
	case o.snapshot == snapshotNone:
		argv = append(argv, "--skip-lock-tables")
	case len(o.databases) > 1:
		argv = append(argv, "--lock-all-tables")
	default:
		argv = append(argv, "--lock-tables")
	}
	if o.routines {
		argv = append(argv, "--routines")
	}
	if o.events {
		argv = append(argv, "--events")
	}
	if t.version.flavor == "" {
		// A restore may not change which transactions the server takes for known.
		argv = append(argv, "--set-gtid-purged=OFF")
		if t.version.number[0] >= 8 && (server.flavor != "" || server.number[0] < 8) {
			argv = append(argv, "--column-statistics=0") // the server has no such table
		}
	}
	argv = append(argv, o.extra...)
	if len(o.tables) == 0 {
		for _, database := range o.within() {
			argv = append(argv, "--ignore-table="+database+"."+lockTableName)
		}
	}
	if len(o.databases) > 0 {
		argv = append(append(argv, "--databases", "--"), o.databases...)
	} else {
		argv = append(append(argv, "--", o.database), o.tables...)
	}
	return host.Job{Argv: argv, Stdin: strings.NewReader(settings)}, nil
}

// options are the connection as an option file says it.
func (d *mysqlDialect) options(t tool) (string, error) {
	s := d.settings
	s.Address, s.TLS = s.Programs.seen(s.Address, s.TLS)
	var b strings.Builder
	b.WriteString("[client]\n")
	set := func(name, value string) {
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(value)
		fmt.Fprintf(&b, "%s=\"%s\"\n", name, escaped)
	}
	set("user", s.User)
	set("password", s.Password.Reveal())
	if strings.HasPrefix(s.Address, "/") {
		set("socket", s.Address)
	} else {
		at, port, err := net.SplitHostPort(s.Address)
		if err != nil {
			at, port = s.Address, "3306"
		}
		set("host", at)
		set("port", port)
		set("protocol", "TCP")
	}
	if s.TLS == nil {
		return b.String(), nil
	}
	if s.TLS.ServerName != "" {
		return "", errors.New("the target's settings give `tls.server_name`, and the programs that dump take no other name of a server than its address; let the address be the name in its certificate")
	}
	for name, file := range map[string]string{"ssl-ca": string(s.TLS.CA), "ssl-cert": string(s.TLS.Cert), "ssl-key": string(s.TLS.Key)} {
		if file != "" {
			set(name, file)
		}
	}
	if t.version.flavor == "MariaDB" {
		b.WriteString("ssl\nssl-verify-server-cert\n")
	} else {
		set("ssl-mode", "VERIFY_IDENTITY")
	}
	return b.String(), nil
}

// stock asks database by database: for anything but an equality MariaDB opens every table of the server.
func (*mysqlDialect) stock(ctx context.Context, q queryer, o order) ([]stocked, error) {
	var out []stocked
	for _, database := range o.within() {
		rows, err := q.rows(ctx, "look at the tables of "+database, `SELECT t.TABLE_NAME, t.ENGINE, t.TABLE_ROWS, t.DATA_LENGTH, e.TRANSACTIONS
			FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
			WHERE t.TABLE_SCHEMA = ? AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY t.TABLE_NAME`, database)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if word(r[0]) == lockTableName {
				continue
			}
			s := stocked{database: database, name: word(r[0]), engine: word(r[1]), rows: -1, bytes: number(r[3]), leaky: word(r[4]) != "YES"}
			if r[2] != nil {
				s.rows = number(r[2])
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// harmless are options that leave a dump one that can be counted and restored.
var harmless = []string{"--hex-blob", "--skip-tz-utc", "--ignore-table", "--where", "--net-buffer-length", "--order-by-primary", "--complete-insert",
	"--skip-extended-insert", "--skip-triggers", "--skip-add-locks", "--skip-disable-keys", "--no-autocommit", "--column-statistics",
	"--set-gtid-purged", "--gtid", "--master-data", "--source-data", "--skip-ssl-verify-server-cert", "--network-timeout"}

func (*mysqlDialect) refusesExtra(option string) string {
	name, _, _ := strings.Cut(option, "=")
	if contains(harmless, name) {
		return ""
	}
	return fmt.Sprintf("%s is not among the options that can be added: %s", name, strings.Join(harmless, ", "))
}

func (*mysqlDialect) hint(said string) string {
	low := strings.ToLower(said)
	switch {
	case strings.Contains(low, "1045") || strings.Contains(low, "using password"):
		return "check `user` and `password` in the target's settings"
	case strings.Contains(low, "denied"), strings.Contains(low, "insufficient privileges"), strings.Contains(low, "1044"), strings.Contains(low, "1142"):
		return "give the user SELECT, SHOW VIEW and TRIGGER with GRANT (for snapshot: lock also LOCK TABLES, of several databases RELOAD; for routines and events also SELECT on mysql.proc and EVENT; or say routines: false)"
	case strings.Contains(low, "definition has changed"):
		return "a table was altered while it was dumped; dump again when nobody does"
	case strings.Contains(low, "max_allowed_packet"):
		return "raise max_allowed_packet at the server"
	case strings.Contains(low, "couldn't find table"), strings.Contains(low, "unknown database"):
		return "check `tables` and the target's database"
	}
	return ""
}
