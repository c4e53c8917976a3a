package mysqlgroup

import (
	"context"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/sqltypes"
	querypb "github.com/dolthub/vitess/go/vt/proto/query"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// server is the connections of one member.
type server struct {
	m        *Member
	listener *mysql.Listener
	accepts  sync.WaitGroup

	mu    sync.Mutex
	ended bool
	conns map[uint32]*session
	locks map[string]uint32 // by GET_LOCK: which connection has it
	freed chan struct{}     // closed when one is let go of
}

// session is one connection.
type session struct {
	c     *mysql.Conn
	doing string
	since time.Time
}

// listen starts serving; a port is taken again at a restart.
func (m *Member) listen(t testing.TB, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("listen as a MySQL server at %s: %v", address, err)
	}
	s := &server{m: m, conns: map[uint32]*session{}, locks: map[string]uint32{}, freed: make(chan struct{})}
	if s.listener, err = mysql.NewFromListener(l, mysql.NewAuthServerNone(), s, 0, 0); err != nil {
		t.Fatalf("serve MySQL's protocol: %v", err)
	}
	s.listener.ServerVersion = version
	s.accepts.Go(s.listener.Accept)
	m.g.mu.Lock()
	m.server = s
	m.g.mu.Unlock()
	t.Cleanup(s.stop)
}

func (s *server) address() string { return s.listener.Addr().String() }

func (s *server) up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended
}

// stop ends it as a power cut does.
func (s *server) stop() {
	s.mu.Lock()
	s.ended = true
	open := slices.Collect(maps.Values(s.conns))
	s.mu.Unlock()
	s.listener.Close()
	for _, c := range open {
		c.c.Close()
	}
	s.accepts.Wait()
}

// NewConnection is called BEFORE the greeting.
func (s *server) NewConnection(c *mysql.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.ConnectionID] = &session{c: c, since: time.Now()}
	if s.ended {
		c.Close()
	}
}

// ConnectionClosed lets go of its locks.
func (s *server) ConnectionClosed(c *mysql.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.ConnectionID)
	for name, by := range s.locks {
		if by == c.ConnectionID {
			s.free(name)
		}
	}
}

// ConnectionAborted is called for one that was not greeted.
func (*server) ConnectionAborted(*mysql.Conn, string) error { return nil }

// ComInitDB is USE.
func (*server) ComInitDB(*mysql.Conn, string) error { return nil }

// ComQuery is a statement without arguments.
func (s *server) ComQuery(_ context.Context, c *mysql.Conn, text string, give mysql.ResultSpoolFn) error {
	r, err := s.answer(c, text, nil)
	if err != nil {
		return err
	}
	return give(r, false)
}

// ComMultiQuery is a list of statements, which nobody sends here.
func (s *server) ComMultiQuery(ctx context.Context, c *mysql.Conn, text string, give mysql.ResultSpoolFn) (string, error) {
	return "", s.ComQuery(ctx, c, text, give)
}

// ComPrepare: the library has parsed it.
func (*server) ComPrepare(context.Context, *mysql.Conn, string, *mysql.PrepareData) ([]*querypb.Field, error) {
	return nil, nil
}

// ComStmtExecute is a statement with arguments.
func (s *server) ComStmtExecute(_ context.Context, c *mysql.Conn, p *mysql.PrepareData, give func(*sqltypes.Result) error) error {
	args := make([]any, p.ParamsCount)
	for i := range args {
		if v := p.BindVars["v"+strconv.Itoa(i+1)]; v != nil && v.Type != sqltypes.Null {
			args[i] = string(v.Value)
		}
	}
	r, err := s.answer(c, p.PrepareStmt, args)
	if err != nil {
		return err
	}
	return give(r)
}

// WarningCount is none.
func (*server) WarningCount(*mysql.Conn) uint16 { return 0 }

// ComResetConnection makes a connection as new.
func (*server) ComResetConnection(*mysql.Conn) error { return nil }

// ParserOptionsForConnection are those of every session here.
func (*server) ParserOptionsForConnection(*mysql.Conn) (sqlparser.ParserOptions, error) {
	return sqlparser.ParserOptions{}, nil
}

var (
	setting   = regexp.MustCompile(`(?i)^SET GLOBAL (\w+) = (\w+)$`)
	ownLock   = regexp.MustCompile(`(?i)^SELECT (GET_LOCK|RELEASE_LOCK|IS_USED_LOCK)\('([^']*)'(?:, (\d+))?\)$`)
	killing   = regexp.MustCompile(`(?i)^KILL (QUERY|CONNECTION) (\d+)$`)
	inSession = regexp.MustCompile(`(?i)^(SET SESSION |START TRANSACTION|ROLLBACK|COMMIT)`)
)

// answer is what a server says to one statement.
func (s *server) answer(c *mysql.Conn, text string, args []any) (*sqltypes.Result, error) {
	text = strings.TrimSpace(text)
	s.note(c, text)
	defer s.note(c, "")
	switch {
	case ownLock.MatchString(text):
		return s.lock(c, ownLock.FindStringSubmatch(text))
	case killing.MatchString(text):
		return s.kill(killing.FindStringSubmatch(text)[2])
	case inSession.MatchString(text):
		return &sqltypes.Result{}, nil
	}
	if word, _, _ := strings.Cut(strings.ToUpper(text), " "); word == "SELECT" || word == "SHOW" {
		return s.read(c, text, args)
	}
	return &sqltypes.Result{}, s.m.change(text)
}

// Do is a statement that changes something, sent by hand.
func (m *Member) Do(statement string) error { return m.change(statement) }

// change carries out what is not a query.
func (m *Member) change(text string) error {
	m.g.mu.Lock()
	m.sent = append(m.sent, strconv.Itoa(m.id)+": "+text)
	m.g.mu.Unlock()
	switch strings.ToUpper(text) {
	case "START GROUP_REPLICATION":
		return m.start()
	case "STOP GROUP_REPLICATION":
		m.Leave(Offline)
		return nil
	}
	if set := setting.FindStringSubmatch(text); set != nil {
		return m.set(strings.ToLower(set[1]), strings.ToUpper(set[2]))
	}
	return failure(1064, "You have an error in your SQL syntax: this server does not know %s", text)
}

func (m *Member) set(name, value string) error {
	on := value == "ON" || value == "1"
	if !on && value != "OFF" && value != "0" {
		return failure(1231, "Variable '%s' can't be set to the value of '%s'", name, value)
	}
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	switch name {
	case "group_replication_bootstrap_group":
		m.bootstrap = on
	case "super_read_only":
		m.readOnly = on
	default:
		return failure(1193, "Unknown system variable '%s'", name)
	}
	return nil
}

// note says what a connection is doing, for the list of processes.
func (s *server) note(c *mysql.Conn, doing string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.conns[c.ConnectionID]; at != nil {
		at.doing, at.since = doing, time.Now()
	}
}

// lock answers GET_LOCK and its like.
func (s *server) lock(c *mysql.Conn, call []string) (*sqltypes.Result, error) {
	seconds, _ := strconv.Atoi(call[3])
	end := time.NewTimer(time.Duration(seconds) * time.Second)
	defer end.Stop()
	for {
		s.mu.Lock()
		by, held := s.locks[call[2]]
		freed := s.freed
		said := any(int64(0))
		wait := false
		switch strings.ToUpper(call[1]) {
		case "IS_USED_LOCK":
			if said = nil; held {
				said = int64(by)
			}
		case "RELEASE_LOCK":
			if by == c.ConnectionID {
				s.free(call[2])
				said = int64(1)
			}
		default:
			if !held || by == c.ConnectionID {
				s.locks[call[2]] = c.ConnectionID
				said = int64(1)
			} else {
				wait = true
			}
		}
		s.mu.Unlock()
		if !wait {
			return one(call[1], said), nil
		}
		select {
		case <-freed:
		case <-end.C:
			return one(call[1], int64(0)), nil
		}
	}
}

// free lets go of a lock; s.mu is held.
func (s *server) free(name string) {
	delete(s.locks, name)
	close(s.freed)
	s.freed = make(chan struct{})
}

func (s *server) kill(id string) (*sqltypes.Result, error) {
	n, _ := strconv.ParseUint(id, 10, 32)
	s.mu.Lock()
	at := s.conns[uint32(n)]
	s.mu.Unlock()
	if at == nil {
		return nil, failure(1094, "Unknown thread id: %s", id)
	}
	at.c.Close()
	return &sqltypes.Result{}, nil
}

func failure(number int, format string, args ...any) error {
	return mysql.NewSQLError(number, "HY000", format, args...)
}
