package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

type service struct {
	config
	db    *sql.DB
	cache *redis.ClusterClient
}

func newService(c config) (*service, error) {
	m := mysql.NewConfig()
	m.Net, m.Addr, m.User, m.Passwd, m.DBName = "tcp", net.JoinHostPort(c.dbHost, c.dbPort), c.dbUser, c.dbPassword, c.dbName
	m.Timeout = c.lockTimeout
	connector, err := mysql.NewConnector(m)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	cache := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: strings.Split(c.redisNodes, ","), ContextTimeoutEnabled: true, DialTimeout: time.Second, MaxRedirects: 2, MaxRetries: -1,
	})
	return &service{config: c, db: sql.OpenDB(connector), cache: cache}, nil
}

func (s *service) close() error { return errors.Join(s.db.Close(), s.cache.Close()) }

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /numbers/{type}", s.give)
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /health/numbering", s.numbering)
	return mux
}

// given is a number that was given out.
type given struct {
	Type     string `json:"type"`
	Scope    string `json:"scope"`
	Number   uint64 `json:"number"`
	Reserved bool   `json:"reserved"` // Redis has it; false: fallback mode
}

var errNone = errors.New("there is no number left")

func (s *service) give(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.lockTimeout)
	defer cancel()
	n, err := s.next(ctx, r.PathValue("type"))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		http.Error(w, "there is no such type of document, or no sequence for this year", http.StatusNotFound)
		return
	case errors.Is(err, errNone):
		http.Error(w, err.Error(), http.StatusConflict)
		return
	case err != nil:
		log.Printf("give out a number of %s: %v", r.PathValue("type"), err)
		http.Error(w, "no number was given out, or none that is known of", http.StatusServiceUnavailable)
		return
	}
	key := fmt.Sprintf("reservation:%s:%s:%d", n.Type, n.Scope, n.Number)
	if err := s.cache.Set(ctx, key, time.Now().UTC().Format(time.RFC3339Nano), s.reservationTTL).Err(); err != nil {
		log.Printf("reserve %s: %v", key, err) // the database has it; that is what counts
	} else {
		n.Reserved = true
	}
	answer(w, http.StatusOK, n)
}

// next takes the next number of a type under the row's lock, and writes it into the audit log in the same transaction.
func (s *service) next(ctx context.Context, of string) (n given, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return n, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	var id, most uint64
	row := tx.QueryRowContext(ctx, `
		SELECT s.id, s.scope_value, s.current_value + 1, c.max_value
		FROM document_numbering_sequences s JOIN document_numbering_configs c ON c.id = s.config_id
		WHERE c.document_type = ? AND s.scope_value = IF(c.scope = 'YEARLY', YEAR(CURDATE()), 'ALL') FOR UPDATE`, of)
	if err := row.Scan(&id, &n.Scope, &n.Number, &most); err != nil {
		return n, err
	}
	if n.Type = of; n.Number > most {
		return n, errNone
	}
	if _, err := tx.ExecContext(ctx, "UPDATE document_numbering_sequences SET current_value = ?, last_used_at = NOW() WHERE id = ?", n.Number, id); err != nil {
		return n, err
	}
	const audit = "INSERT INTO document_numbering_audit_logs (operation, document_type, old_value, new_value, user_id) VALUES ('GENERATE', ?, ?, ?, 1)"
	if _, err := tx.ExecContext(ctx, audit, of, n.Number-1, n.Number); err != nil {
		return n, err
	}
	return n, tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer: %v", err)
	}
}
