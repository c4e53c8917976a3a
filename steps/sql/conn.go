package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

const (
	// patience bounds each wait for what must end soon: an answer to COMMIT, a statement that was
	// killed, the session lock of a connection that is gone.
	patience = 10 * time.Second
	// connectLimit is how long a server may take to greet a new connection.
	connectLimit = 5 * time.Second
	// idleConns are kept open between steps.
	idleConns = 4
)

// Conn is the connection to one target.
type Conn struct {
	name     string
	where    string // "mysql 127.0.0.1:3306", for messages; never a password
	d        dialect
	db       *sql.DB
	made     driver.Connector // of connections that nothing guards; see [preparer]
	access   steps.Access
	patience time.Duration
	limit    time.Duration // how long a statement of a dry-run may take
	address  string        // as the settings have it; of SQLite the file
	group    *group        // that it belongs to; nil: it is the whole target
	member   *member       // which of them it is
	programs programPlace

	mu       sync.Mutex
	database string            // what names without one belong to
	marked   map[string]string // by database: empty, there are markers; else why there cannot be any
	tables   map[string]tableFacts
	leaks    map[string][]string
	named    map[string]string // by database: which it is
	kept     []*lockbook       // of runs that have locks here
	last     *markers          // of what was committed here last, where the target has one address
	file     os.FileInfo       // of SQLite: which file the connections have open
}

// Close ends the connections.
func (c *Conn) Close() error {
	for _, b := range c.lockbooks() {
		b.close()
	}
	return errors.Join(c.programs.close(), c.db.Close())
}

// Connect opens a target. Under [steps.ReadOnly] the connection refuses what is not known to read. Of several
// servers each is opened when it is needed.
func (k *Kind) Connect(ctx context.Context, target steps.Target, access steps.Access) (io.Closer, error) {
	addresses, err := severalOf(target)
	if err != nil {
		return nil, fmt.Errorf("settings of target %s: %w", target.Name, err)
	}
	if len(addresses) > 0 {
		return k.newGroup(target, addresses, access), nil
	}
	c, err := k.connect(ctx, target, access)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connect opens one server.
func (k *Kind) connect(ctx context.Context, target steps.Target, access steps.Access) (*Conn, error) {
	c := &Conn{name: target.Name, access: access, patience: patience, limit: k.limit, programs: programPlace{containers: k.containers, access: access},
		marked: map[string]string{}, tables: map[string]tableFacts{}, leaks: map[string][]string{}, named: map[string]string{}}
	var made driver.Connector
	var err error
	switch target.Type {
	case typeMySQL:
		made, err = c.openMySQL(ctx, target.Settings)
	case typePostgres:
		made, err = c.openPostgres(target.Settings)
	case typeSQLite:
		made, err = c.openSQLite(target.Settings)
	default:
		return nil, fmt.Errorf("target %s is of type %s, and sql steps act on mysql, postgres and sqlite", target.Name, target.Type)
	}
	if err != nil {
		var p engine.Problem
		if errors.As(err, &p) {
			return nil, fmt.Errorf("settings of target %s: %w", target.Name, err)
		}
		return nil, err
	}
	c.made = made
	c.address, _ = target.Settings["address"].(string)
	if target.Type == typeSQLite {
		c.address, _ = target.Settings["file"].(string)
	}
	c.db = sql.OpenDB(&connector{made, c.d, access, k.heard})
	c.db.SetMaxIdleConns(idleConns)
	s, err := c.pin(ctx)
	if err != nil {
		return nil, errors.Join(err, c.db.Close())
	}
	defer s.release()
	if c.database, err = c.d.current(ctx, s); err != nil {
		return nil, errors.Join(err, c.db.Close())
	}
	return c, nil
}

// connOf is the connection of a step; of several servers, to the one that takes writes.
func connOf(ctx context.Context, env *steps.Env) (*Conn, error) {
	got, err := env.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if env.Call.Wiped {
		wiped(got)
	}
	c, err := writerOf(ctx, got)
	if err == nil && env.Call.Wiped {
		c.forget()
	}
	return c, err
}

func writerOf(ctx context.Context, conn io.Closer) (*Conn, error) {
	switch c := conn.(type) {
	case *Conn:
		if d, ok := c.d.(sqliteDialect); ok {
			c.follow(d.file)
		}
		return c, c.saw(ctx)
	case *group:
		at, err := c.write(ctx)
		if err != nil {
			return nil, err
		}
		return at, at.saw(ctx)
	}
	return nil, errors.New("the connection is not one to a database")
}

// forget drops what was learned of tables: a statement may have changed them.
func (c *Conn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tables)
	clear(c.leaks)
	clear(c.marked)
	clear(c.named)
}

// Remembers says of which of the calls the marker, state done, is in some database of the target. The latest must be there whenever a step
// writes from now on.
func (*Kind) Remembers(ctx context.Context, conn io.Closer, calls []engine.Call) (map[string]bool, error) {
	c, err := writerOf(ctx, conn)
	if err != nil {
		return nil, err
	}
	s, err := c.pin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release()
	databases, err := c.d.markers(ctx, s)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(calls))
	var latest *markers
	at := -1
	for _, db := range databases {
		for i, call := range calls {
			if there[call.Token] {
				continue
			}
			mark := &markers{c: c, table: c.markerName(db), token: call.Token, epoch: call.Epoch}
			m, err := mark.read(ctx, s)
			if err != nil {
				return nil, err
			}
			if why := mark.ahead(m); why != "" {
				return nil, fmt.Errorf("step %s: %s", call.Step, why)
			}
			if there[call.Token] = m.state == stateDone; there[call.Token] && i > at {
				latest, at = mark, i
			}
		}
	}
	latest.committed()
	return there, nil
}
