package sql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A pooler may stand between, such as pgbouncer. With pool_mode = session a client has one session of the server for as
// long as it is connected, and all is as without it. With pool_mode = transaction the next statement may be answered by
// another session. Then a session lock is anybody's, and what is set for a session, such as that a dry-run's takes no
// writes, is set for whoever has it next. So nothing at all is sent through such a pooler.
//
// That there is one is told by the number of the session: a pooler tells its clients one of its own, because it has to
// know whose request for a cancel it gets. Which mode it is in is told by two connections side by side.

// poolerTries bounds the rounds in which a pooler may show its mode, which other clients of it can hide.
const poolerTries = 3

// poolerWait is how long a second connection may wait for a session. One that has to wait longer is not given that
// of the first, so the pooler gives each client its own.
const poolerWait = time.Second

// throughPooler is what is known of what stands between.
type throughPooler struct {
	mu    sync.Mutex
	known bool
	why   string // why nothing may be sent through it; empty: nothing speaks against it
}

const noPooler = "a pooler stands between that gives each transaction another session (pgbouncer with pool_mode = transaction, or its like): " +
	"there a session lock holds nothing, and what is set for this session would be set for others; nothing was done; " +
	"let the target point to the server itself, or to a pool with pool_mode = session"

// judge says whether a pooler stands between, and refuses one that keeps no sessions. conn is a new connection.
func (p *throughPooler) judge(ctx context.Context, cfg *pgconn.Config, conn *pgconn.PgConn) (pooled bool, err error) {
	pid, err := backendOf(ctx, conn)
	if err != nil || pid == conn.PID() {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		if p.why, err = shifts(ctx, cfg, conn, pid); err != nil {
			return true, err
		}
		p.known = true
	}
	if p.why != "" {
		return true, refusal{p.why}
	}
	return true, nil
}

// backendOf is the number of the session that answers.
func backendOf(ctx context.Context, conn *pgconn.PgConn) (uint32, error) {
	results, err := conn.Exec(ctx, "SELECT pg_catalog.pg_backend_pid()").ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
		return 0, errors.New("the server did not say which session it is")
	}
	n, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("the number of the session: %w", err)
	}
	return uint32(n), nil
}

// shifts says why a pooler keeps no sessions: a second connection, in a transaction, is answered by the session of
// the first, or afterwards the first is answered by another one than before.
func shifts(ctx context.Context, cfg *pgconn.Config, one *pgconn.PgConn, pid uint32) (why string, err error) {
	within, cancel := context.WithTimeout(ctx, poolerWait)
	defer cancel()
	two, err := pgconn.ConnectConfig(within, cfg)
	if err != nil {
		return "", nil //nolint:nilerr // there is room for one: it is not shared
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = two.Close(end) // nothing was done on it
	}()
	for range poolerTries {
		if _, err := two.Exec(within, "BEGIN").ReadAll(); err != nil {
			var said *pgconn.PgError
			if errors.As(err, &said) { // pool_mode = statement
				return noPooler, nil
			}
			return "", ctx.Err()
		}
		other, err := backendOf(within, two)
		if err != nil {
			return "", ctx.Err()
		}
		during, err := backendOf(ctx, one)
		if err != nil {
			return "", err
		}
		if _, err := two.Exec(within, "ROLLBACK").ReadAll(); err != nil {
			return "", ctx.Err()
		}
		after, err := backendOf(ctx, one)
		if err != nil {
			return "", err
		}
		if other == pid || during != pid || after != pid {
			return noPooler, nil
		}
	}
	return "", nil
}

// kept says whether the session lock that was taken on a pooled connection is still this session's. A pooler that hid its
// mode shows it here at the latest.
func (s *session) kept(ctx context.Context) error {
	if s.locked == "" || !s.pooled {
		return nil
	}
	holder, err := s.holder(ctx, s.locked)
	if err != nil {
		return err
	}
	if holder == s.id {
		rows, err := s.rows(ctx, "ask which session it is", "SELECT pg_catalog.pg_backend_pid()")
		if err != nil {
			return err
		}
		if len(rows) == 1 && number(rows[0][0]) == s.id {
			return nil
		}
	}
	s.spoiled = true
	return s.c.notSent("", refusal{noPooler})
}
