package sql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// postgresSettings say where a PostgreSQL server is.
type postgresSettings struct {
	Address  string           `param:"address" doc:"host:port, or the path of a Unix socket or of the folder with it; the port may be left out when it is 5432"`
	Several  []string         `param:"addresses" doc:"the addresses of a primary and its standbys. Which of them is the primary is asked anew for each step"`
	User     string           `param:"user" need:"yes" doc:"the user"`
	Password engine.Secret    `param:"password" doc:"the password"`
	Database string           `param:"database" doc:"the database; left out: the one that is called like the user"`
	Timezone string           `param:"timezone" doc:"the zone of the session, such as Asia/Bangkok, in which timestamps without a zone are read and written. Otherwise that of the server holds"`
	TLS      *tlsSettings     `param:"tls" doc:"connect by TLS; {} trusts the authorities of this machine"`
	Programs *programSettings `param:"programs" doc:"where pg_dump runs, if not on this machine"`
}

// postgresPort is where a server listens when nothing else is said.
const postgresPort = 5432

// postgresDialect is PostgreSQL. Arguments and results are texts on the wire, so that each is read and
// written by the type that the server knows it to have.
type postgresDialect struct {
	settings postgresSettings
	database string                        // that sessions are in
	timezone string                        // as the settings have it
	limit    time.Duration                 // for a statement of a dry-run
	zone     atomic.Pointer[time.Location] // of every session; known AFTER the first greeting
}

func (c *Conn) openPostgres(given engine.Record) (driver.Connector, error) {
	var s postgresSettings
	if err := steps.Bind(given, &s); err != nil {
		return nil, err
	}
	if err := s.Programs.check(s.TLS); err != nil {
		return nil, err
	}
	c.programs.settings = s.Programs
	d := &postgresDialect{settings: s, database: s.Database, timezone: s.Timezone, limit: c.limit}
	c.d, c.where = d, "postgres "+s.Address
	if s.Timezone != "" {
		zone, err := time.LoadLocation(s.Timezone)
		if err != nil {
			return nil, engine.Problem{Path: "timezone", Message: fmt.Sprintf("%q is not a time zone, such as Asia/Bangkok", s.Timezone)}
		}
		d.zone.Store(zone)
	}
	// All that the environment and files in the home folder could say is given, so that it says nothing.
	cfg, err := pgconn.ParseConfig("host=localhost port=5432 user=handrail dbname=handrail sslmode=disable passfile=/nonexistent target_session_attrs=any connect_timeout=0")
	if err != nil {
		return nil, fmt.Errorf("%s: the environment holds PG… variables that cannot be read; take them away: %w", c.where, err)
	}
	cfg.Host, cfg.Port, err = postgresAddress(s.Address)
	if err != nil {
		return nil, err
	}
	if d.database == "" {
		d.database = s.User
	}
	cfg.User, cfg.Password, cfg.Database = s.User, s.Password.Reveal(), d.database
	cfg.RuntimeParams = map[string]string{"application_name": "handrail", "client_encoding": "UTF8"}
	cfg.Fallbacks, cfg.TLSConfig, cfg.ConnectTimeout = nil, nil, 0
	cfg.SSLNegotiation, cfg.SSLCertMode = "", ""
	// A name that is not found is a failed dial like any other.
	cfg.DialFunc = (&net.Dialer{}).DialContext
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	if s.TLS != nil {
		if strings.HasPrefix(cfg.Host, "/") {
			return nil, engine.Problem{Path: "tls", Message: "there is no TLS on a Unix socket; take it out, or give host:port as `address`"}
		}
		if cfg.TLSConfig, err = s.TLS.config(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))); err != nil {
			return nil, err
		}
	}
	return &postgresConnector{cfg: cfg}, nil
}

// postgresAddress reads host:port, host, a socket's folder, or a socket.
func postgresAddress(address string) (host string, port uint16, err error) {
	bad := func(why string) (string, uint16, error) {
		return "", 0, engine.Problem{Path: "address", Message: fmt.Sprintf("%q %s; write host:port, or the path of a Unix socket", address, why)}
	}
	if strings.HasPrefix(address, "/") {
		folder, name := filepath.Split(address)
		if number, ok := strings.CutPrefix(name, ".s.PGSQL."); ok {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return bad("has no number at its end")
			}
			return strings.TrimSuffix(folder, "/"), uint16(n), nil
		}
		return address, postgresPort, nil
	}
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		if address == "" {
			return bad("names no host")
		}
		return strings.Trim(address, "[]"), postgresPort, nil
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return bad("has no such port")
	}
	return host, uint16(n), nil
}

// postgresSession makes every session alike, so that a statement means the same on every server, and what
// comes back is written as it is read here.
const postgresSession = "SET standard_conforming_strings = on; SET DateStyle = ISO; SET IntervalStyle = postgres; SET bytea_output = hex; SET extra_float_digits = 3"

func (d *postgresDialect) greet(ctx context.Context, raw driver.Conn, readOnly bool) (int64, error) {
	link, ok := raw.(*postgresLink)
	if !ok {
		return 0, fmt.Errorf("the driver's connection is a %T", raw)
	}
	set := postgresSession
	if d.timezone != "" {
		set += "; SET TimeZone = '" + strings.ReplaceAll(d.timezone, "'", "''") + "'"
	}
	if readOnly {
		set += fmt.Sprintf("; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET statement_timeout = %d; SET lock_timeout = 5000", d.limit.Milliseconds())
	}
	if _, err := link.Exec(ctx, set).ReadAll(); err != nil {
		return 0, err
	}
	row, err := rawRow(ctx, raw, "SELECT pg_backend_pid(), current_setting('TimeZone'), EXTRACT(timezone FROM now())::int")
	if err != nil {
		return 0, err
	}
	d.zone.CompareAndSwap(nil, postgresZone(word(row[1]), int(number(row[2]))))
	if readOnly {
		if link.foreign, err = foreignFunctions(ctx, link); err != nil {
			return 0, err
		}
	}
	return number(row[0]), nil
}

// postgresZone is the zone of a session.
func postgresZone(name string, offset int) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
		return zone
	}
	return time.FixedZone(fmt.Sprintf("UTC%+03d:%02d", offset/3600, abs(offset)/60%60), offset)
}

func (*postgresDialect) grammar() statement.Grammar { return statement.Postgres }
func (*postgresDialect) ddlRollsBack() bool         { return true }
func (*postgresDialect) begin() string              { return "BEGIN" }
func (*postgresDialect) forUpdate() string          { return " FOR UPDATE" }

// token: a long one is cut in the middle of a letter, and the server takes whole letters only.
func (*postgresDialect) token(t string) any { return strings.ToValidUTF8(t, "") }

// keepFirst: an error would end the transaction.
func (*postgresDialect) keepFirst() string { return " ON CONFLICT (token) DO NOTHING" }

func (*postgresDialect) quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// own numbers the arguments. Statements of this package hold no other question marks.
func (*postgresDialect) own(text string) string {
	var b strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(text, "?") {
		if piece, ok := strings.CutSuffix(part, "?"); ok {
			n++
			fmt.Fprintf(&b, "%s$%d", piece, n)
			continue
		}
		b.WriteString(part)
	}
	return b.String()
}

var expectedRows = regexp.MustCompile(`\brows=(\d+)\b`)

func (*postgresDialect) estimate(plan engine.Record) (int64, bool) {
	line, _ := plan["QUERY PLAN"].(string)
	found := expectedRows.FindStringSubmatch(line)
	if found == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	return n, err == nil
}

func (*postgresDialect) lockTable(name string) string {
	return "CREATE TABLE IF NOT EXISTS " + name + ` (name text COLLATE "C" NOT NULL PRIMARY KEY, fence bigint NOT NULL, ` +
		`run text COLLATE "C" NOT NULL, owner text NOT NULL)`
}

func (*postgresDialect) shared() string { return " FOR SHARE" }

func (*postgresDialect) markerTable(name string) string {
	return "CREATE TABLE IF NOT EXISTS " + name + ` (token text COLLATE "C" NOT NULL PRIMARY KEY, epoch bigint NOT NULL, ` +
		"state text NOT NULL, result text, at timestamp(6) NOT NULL)"
}
