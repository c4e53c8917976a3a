package sql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// mysqlSettings say where a server is.
type mysqlSettings struct {
	Address  string           `param:"address" doc:"host:port, or the path of a Unix socket; the port may be left out when it is 3306"`
	Several  []string         `param:"addresses" doc:"the addresses of several servers with the same data, of which one takes writes: the one where read_only is off. Which that is is asked anew for each step"`
	User     string           `param:"user" doc:"the user"`
	Password engine.Secret    `param:"password" doc:"the password"`
	Database string           `param:"database" doc:"the database that names without one belong to"`
	Timezone string           `param:"timezone" doc:"the zone in which the server keeps DATETIME values, such as Asia/Bangkok; the session is set to it. Otherwise the server's own zone holds, with its present distance from UTC"`
	TLS      *tlsSettings     `param:"tls" doc:"connect by TLS; {} trusts the authorities of this machine"`
	Programs *programSettings `param:"programs" doc:"where mariadb-dump or mysqldump runs, if not on this machine"`
}

type tlsSettings struct {
	CA         steps.Path `param:"ca" doc:"file with the authorities to trust, PEM"`
	Cert       steps.Path `param:"cert" doc:"file with the client's certificate, PEM"`
	Key        steps.Path `param:"key" doc:"file with the client's key, PEM"`
	ServerName string     `param:"server_name" doc:"the name in the server's certificate, when it is not that of the address"`
}

// previewLimit is how long the server works on one statement of a dry-run.
const previewLimit = 10 * time.Second

// mysqlDialect is MySQL, MariaDB and TiDB.
type mysqlDialect struct {
	limit    time.Duration  // for a statement of a dry-run
	tidb     atomic.Bool    // known AFTER the first greeting
	edition  atomic.Value   // of type edition; likewise
	loc      *time.Location // in which the driver reads and writes times
	zone     string         // for SET time_zone; empty: as the server has it
	settings mysqlSettings
}

func (c *Conn) openMySQL(ctx context.Context, given engine.Record) (driver.Connector, error) {
	var s mysqlSettings
	if err := steps.Bind(given, &s); err != nil {
		return nil, err
	}
	if err := s.Programs.check(s.TLS); err != nil {
		return nil, err
	}
	d := &mysqlDialect{settings: s, limit: c.limit}
	c.programs.settings = s.Programs
	c.d, c.where = d, "mysql "+s.Address
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", s.Address, s.User, s.Password.Reveal(), s.Database
	cfg.ClientFoundRows, cfg.ParseTime = true, true
	cfg.MaxAllowedPacket = maxPacket // the server's own bound holds
	cfg.Logger = &mysql.NopLogger{}  // errors are returned; nothing is printed beside them
	if strings.HasPrefix(s.Address, "/") {
		cfg.Net = "unix"
	}
	if s.TLS != nil {
		var err error
		if cfg.TLS, err = s.TLS.config(s.Address); err != nil {
			return nil, err
		}
	}
	if s.Timezone != "" {
		zone, err := time.LoadLocation(s.Timezone)
		if err != nil {
			return nil, engine.Problem{Path: "timezone", Message: fmt.Sprintf("%q is not a time zone, such as Asia/Bangkok", s.Timezone)}
		}
		cfg.Loc, d.zone = zone, s.Timezone
		if s.Timezone == "UTC" {
			d.zone = "+00:00" // a server without zone tables knows it by this name only
		}
	}
	d.loc = cfg.Loc
	made, err := mysql.NewConnector(cfg)
	if err != nil || s.Timezone != "" {
		return made, err
	}
	if cfg.Loc, err = c.zoneOf(ctx, made); err != nil {
		return nil, err
	}
	d.loc = cfg.Loc
	return mysql.NewConnector(cfg)
}

func (s tlsSettings) config(address string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if host, _, err := net.SplitHostPort(address); err == nil && c.ServerName == "" {
		c.ServerName = host
	} else if c.ServerName == "" {
		c.ServerName = address
	}
	if s.CA != "" {
		pem, err := os.ReadFile(string(s.CA))
		if err != nil {
			return nil, engine.Problem{Path: "tls.ca", Message: err.Error()}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, engine.Problem{Path: "tls.ca", Message: fmt.Sprintf("%s holds no certificate in PEM form", s.CA)}
		}
	}
	if s.Cert != "" || s.Key != "" {
		pair, err := tls.LoadX509KeyPair(string(s.Cert), string(s.Key))
		if err != nil {
			return nil, engine.Problem{Path: "tls.cert", Message: err.Error()}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// zoneOf asks in which zone the server's sessions are.
func (c *Conn) zoneOf(ctx context.Context, made driver.Connector) (zone *time.Location, err error) {
	ctx, cancel := connecting(ctx)
	defer cancel()
	raw, err := made.Connect(ctx)
	if err != nil {
		return nil, c.notSent("", noGreeting(ctx, err))
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	row, err := rawRow(ctx, raw, "SELECT @@session.time_zone, @@system_time_zone, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())")
	if err != nil {
		return nil, c.faultOf("ask for its time zone", err)
	}
	name, offset := word(row[0]), int(number(row[2]))
	if strings.EqualFold(name, "SYSTEM") {
		name = word(row[1])
	}
	if offset == 0 && (name == "UTC" || name == "GMT" || strings.HasPrefix(name, "+00")) {
		return time.UTC, nil
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
		if _, there := time.Now().In(zone).Zone(); there == offset {
			return zone, nil
		}
	}
	return time.FixedZone(fmt.Sprintf("UTC%+03d:%02d", offset/3600, abs(offset)/60%60), offset), nil
}

func abs(n int) int { return max(n, -n) }

// rawRow asks on a connection that the pool does not have yet.
func rawRow(ctx context.Context, raw driver.Conn, text string) (row []any, err error) {
	q, ok := raw.(driver.QueryerContext)
	if !ok {
		return nil, fmt.Errorf("the driver's connection is a %T", raw)
	}
	rows, err := q.QueryContext(ctx, text, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	dest := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(dest); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the server gave no answer")
		}
		return nil, err
	}
	for _, v := range dest {
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		row = append(row, v)
	}
	return row, nil
}

// modes are those of sql_mode in which quotes and backslashes mean something else than package
// statement takes them for, and the names that stand for several modes with one of them.
var modes = []string{"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"}

// greet makes every session alike, so that a statement means the same on every server.
func (d *mysqlDialect) greet(ctx context.Context, raw driver.Conn, readOnly bool) (int64, error) {
	row, err := rawRow(ctx, raw, "SELECT CONNECTION_ID(), @@sql_mode, @@autocommit, VERSION()")
	if err != nil {
		return 0, err
	}
	d.edition.Store(editionOf(word(row[3])))
	if strings.Contains(word(row[3]), "TiDB") {
		d.tidb.Store(true)
		if err := tidbOldness(word(row[3])); err != nil && !readOnly {
			return 0, refusal{err.Error()}
		}
	}
	var set []string
	if mode := word(row[1]); mode != "" {
		var kept []string
		for _, m := range strings.Split(mode, ",") {
			if !contains(modes, m) {
				kept = append(kept, m)
			}
		}
		if now := strings.Join(kept, ","); now != mode {
			set = append(set, "SET SESSION sql_mode = '"+now+"'")
		}
	}
	if number(row[2]) != 1 {
		set = append(set, "SET SESSION autocommit = 1")
	}
	if d.zone != "" {
		set = append(set, "SET SESSION time_zone = '"+d.zone+"'")
	}
	if readOnly {
		if !d.tidb.Load() { // which refuses it, or does nothing of the kind: there the guard stands alone
			set = append(set, "SET SESSION TRANSACTION READ ONLY")
		}
		set = append(set, "SET SESSION lock_wait_timeout = 5")
		if strings.Contains(word(row[3]), "MariaDB") {
			set = append(set, fmt.Sprintf("SET SESSION max_statement_time = %g", d.limit.Seconds()))
		} else {
			set = append(set, fmt.Sprintf("SET SESSION max_execution_time = %d", d.limit.Milliseconds()))
		}
	}
	for _, text := range set {
		e, ok := raw.(driver.ExecerContext)
		if !ok {
			return 0, fmt.Errorf("the driver's connection is a %T", raw)
		}
		if _, err := e.ExecContext(ctx, text, nil); err != nil {
			return 0, err
		}
	}
	return number(row[0]), nil
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func (*mysqlDialect) grammar() statement.Grammar { return statement.MySQL }
func (*mysqlDialect) ddlRollsBack() bool         { return false }
func (*mysqlDialect) begin() string              { return "START TRANSACTION READ WRITE" }
func (*mysqlDialect) forUpdate() string          { return " FOR UPDATE" }

func (*mysqlDialect) quote(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

func (*mysqlDialect) markerTable(name string) string {
	return "CREATE TABLE IF NOT EXISTS " + name + ` (
  token VARBINARY(255) NOT NULL PRIMARY KEY COMMENT 'run / step / item',
  epoch BIGINT NOT NULL COMMENT 'how often the run was taken over',
  state VARCHAR(8) CHARACTER SET ascii NOT NULL COMMENT 'begun, part, done, fenced; only done proves',
  result LONGTEXT CHARACTER SET utf8mb4 NULL,
  at DATETIME(6) NOT NULL COMMENT 'UTC'
) ENGINE=InnoDB COMMENT='Handrail: which effects have happened'`
}

func (*mysqlDialect) lockTable(name string) string {
	return "CREATE TABLE IF NOT EXISTS " + name + ` (
  name VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY COMMENT 'the lock',
  fence BIGINT NOT NULL COMMENT 'how often it has changed hands',
  run VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'that has it; empty: it is free',
  owner TEXT CHARACTER SET utf8mb4 NOT NULL COMMENT 'who drives the run, in JSON'
) ENGINE=InnoDB COMMENT='Handrail: which run has which lock'`
}

func (*mysqlDialect) shared() string { return " LOCK IN SHARE MODE" }

func (*mysqlDialect) own(text string) string { return text }
func (*mysqlDialect) keepFirst() string      { return "" }

// token: the column holds bytes, so that "a" and "a " and "A" are three tokens.
func (*mysqlDialect) token(t string) any { return []byte(t) }

func (*mysqlDialect) estimate(plan engine.Record) (int64, bool) {
	n := plan["rows"]
	if text, ok := n.(string); ok { // MariaDB writes "12", or "12 (3%)" where it filters
		return number(text), text != ""
	}
	x, ok := n.(int64)
	return x, ok
}
