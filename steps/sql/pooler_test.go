package sql_test

import (
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// pooler stands between clients and a PostgreSQL as pgbouncer does: clients get a number of its own, and a session of the
// server for one transaction, or for as long as they are connected.
type pooler struct {
	t        testing.TB
	address  string
	login    *pgconn.Config
	sessions bool // pool_mode = session
	// hides: so many turns of a client are all answered by one session, as by chance. From then on each is answered by the
	// one that was idle for longest.
	hides int

	mu   sync.Mutex
	idle []*pgconn.HijackedConn
	open []net.Conn
	done sync.WaitGroup
	next uint32
}

func newPooler(t testing.TB, g ground, sessions bool, hides int) *pooler {
	t.Helper()
	s := g.target.Settings
	secret, _ := s["password"].(engine.Secret)
	login, err := pgconn.ParseConfig("postgres://" + engine.Text(s["user"]) + ":" + secret.Reveal() + "@" + engine.Text(s["address"]) + "/" + engine.Text(s["database"]) + "?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{t: t, address: l.Addr().String(), login: login, sessions: sessions, hides: hides}
	p.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.open = append(p.open, c)
			p.mu.Unlock()
			p.done.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.done.Wait()
	})
	return p
}

// take is a session of the server: the one that was given back last, or, where it hides, first.
func (p *pooler) take() (*pgconn.HijackedConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		at := n - 1
		if p.hides > 0 {
			at = 0
		}
		s := p.idle[at]
		p.idle = slices.Delete(p.idle, at, at+1)
		return s, nil
	}
	conn, err := pgconn.ConnectConfig(p.t.Context(), p.login)
	if err != nil {
		return nil, err
	}
	s, err := conn.Hijack()
	if err == nil {
		p.open = append(p.open, s.Conn)
	}
	return s, err
}

// fill opens sessions that are idle.
func (p *pooler) fill(n int) {
	p.t.Helper()
	var all []*pgconn.HijackedConn
	for range n {
		s, err := p.take()
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, s)
	}
	for _, s := range all {
		p.giveBack(s)
	}
}

func (p *pooler) giveBack(s *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
}

func (p *pooler) serve(c net.Conn) {
	defer c.Close()
	client := pgproto3.NewBackend(c, c)
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return
	}
	p.mu.Lock()
	p.next++
	number := 1_000_000 + p.next
	p.mu.Unlock()
	key := binary.BigEndian.AppendUint32(nil, number)
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.BackendKeyData{ProcessID: number, SecretKey: key})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if client.Flush() != nil {
		return
	}
	var s *pgconn.HijackedConn
	defer func() {
		if s != nil { // what the client has begun ends with it
			_ = s.Conn.Close()
		}
	}()
	for turn := 1; ; turn++ {
		ended, err := p.turn(client, &s)
		if err != nil || !ended && s == nil {
			return
		}
		if ended && !p.sessions && turn > p.hides {
			p.giveBack(s)
			s = nil
		}
	}
}

// turn hands on what a client sends up to its end, and the answer. ended: no transaction is open AFTER it.
func (p *pooler) turn(client *pgproto3.Backend, s **pgconn.HijackedConn) (ended bool, err error) {
	for more := true; more; {
		m, err := client.Receive()
		if err != nil {
			return false, err
		}
		if *s == nil {
			if *s, err = p.take(); err != nil {
				return false, err
			}
		}
		switch m.(type) {
		case *pgproto3.Terminate:
			p.giveBack(*s)
			*s = nil
			return false, nil
		case *pgproto3.Query, *pgproto3.Sync:
			more = false
		}
		(*s).Frontend.Send(m)
	}
	if err := (*s).Frontend.Flush(); err != nil {
		return false, err
	}
	for {
		m, err := (*s).Frontend.Receive()
		if err != nil {
			return false, err
		}
		client.Send(m)
		if r, ready := m.(*pgproto3.ReadyForQuery); ready {
			return r.TxStatus == 'I', client.Flush()
		}
	}
}

// behind is the same database, reached through a pooler.
func (g ground) behind(p *pooler) ground {
	settings := engine.Record{}
	for k, v := range g.target.Settings {
		settings[k] = v
	}
	settings["address"] = p.address
	g.target.Settings = settings
	return g
}

func TestAPoolerThatGivesEachClientItsSessionIsAsNone(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	g := direct.behind(newPooler(t, direct, true, 0))
	ok(t, g.step(t, "exec", exec(more)).do())
	ok(t, g.step(t, "transaction", transaction(exec(more))).do())
	ok(t, g.step(t, "query", query("SELECT 1")).do())
	if direct.n(t, 1) != "12" {
		t.Errorf("n is %s", direct.n(t, 1))
	}
}

// TestAPoolerThatGivesEachTransactionAnotherSessionIsRefused: BEFORE anything is set for a session that others get.
func TestAPoolerThatGivesEachTransactionAnotherSessionIsRefused(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	p := newPooler(t, direct, false, 0)
	g := direct.behind(p)
	for _, params := range []engine.Record{exec(more), query("SELECT 1")} {
		s := g.step(t, operationOf(params), params)
		failed(t, s.execute(t.Context()), engine.EffectNone, "a pooler stands between", "pool_mode = transaction", "nothing was done", "the server itself")
	}
	if direct.n(t, 1) != "10" || direct.one(t, "SELECT to_regclass('handrail_markers') IS NULL") != "true" {
		t.Error("something was written")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.Frontend.Send(&pgproto3.Query{String: "SHOW default_transaction_read_only; SHOW extra_float_digits; SHOW intervalstyle"})
		if err := s.Frontend.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := s.Frontend.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if row, isRow := m.(*pgproto3.DataRow); isRow && string(row.Values[0]) != "off" && string(row.Values[0]) != "1" && string(row.Values[0]) != "postgres" {
				t.Errorf("a session of others was set to %s", row.Values[0])
			}
			if _, ready := m.(*pgproto3.ReadyForQuery); ready {
				break
			}
		}
	}
}

// TestAPoolerThatHidesItsModeIsFoundOutLater: by chance each client has kept its session up to some turn, and is then
// given another one each time. At whichever turn that begins, nothing is done twice, and nothing without its lock.
func TestAPoolerThatHidesItsModeIsFoundOutLater(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	ok(t, direct.step(t, "exec", exec(more)).do())
	atLock := 0
	for hides := 1; hides < 45; hides++ {
		t.Run(strconv.Itoa(hides), func(t *testing.T) {
			p := newPooler(t, direct, false, hides)
			p.fill(3)
			g := direct.behind(p)
			before := direct.n(t, 1)
			s := g.step(t, "exec", exec(more))
			prep, err := s.op.(steps.Preparer).Prepare(t.Context(), s.env)
			if err == nil {
				s.env.Call.Seen = prep.Seen
				o := s.execute(t.Context())
				if o.Err == "" {
					ok(t, o)
					if direct.n(t, 1) == before {
						t.Error("it is said to be done, and is not")
					}
					return
				}
				atLock++
				failed(t, o, engine.EffectNone, "a pooler stands between")
			} else {
				contains(t, err.Error(), "a pooler stands between")
			}
			if direct.n(t, 1) != before {
				t.Error("it was refused, and done")
			}
		})
	}
	if atLock == 0 {
		t.Error("it was never found out at the lock")
	}
}
