package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// result is one check of the service's health.
type result struct {
	Name     string `json:"name"`
	Status   string `json:"status"` // up, degraded or down
	Error    string `json:"error,omitempty"`
	Exceeded *int   `json:"exceeded_sequences,omitempty"`
}

const checkFor = 2 * time.Second

// health: numbers can be given out as long as the database is there.
func (s *service) health(w http.ResponseWriter, r *http.Request) {
	db := s.checkDatabase(r.Context())
	status := http.StatusOK
	if db.Status != "up" {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, db)
}

// numbering tells of each part. A service without Redis is in fallback mode, and still works.
func (s *service) numbering(w http.ResponseWriter, r *http.Request) {
	checks := []result{s.checkRedis(r.Context()), s.checkDatabase(r.Context()), s.checkSequences(r.Context())}
	out := struct {
		Status   string   `json:"status"`
		Fallback bool     `json:"fallback_mode"`
		Checks   []result `json:"checks"`
	}{"up", checks[0].Status != "up", checks}
	status := http.StatusOK
	for _, c := range checks {
		if c.Status != "up" {
			out.Status = "degraded"
		}
	}
	if checks[1].Status != "up" {
		out.Status, status = "down", http.StatusServiceUnavailable
	}
	answer(w, status, out)
}

// checkRedis asks every master whether every slot is served: one node that answers PING does not make a cluster.
func (s *service) checkRedis(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	var masters atomic.Int64
	err := s.cache.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		masters.Add(1)
		info, err := c.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(info, "cluster_state:ok") {
			err = fmt.Errorf("%s: the cluster is not whole", c.Options().Addr)
		}
		return err
	})
	switch {
	case err != nil:
		return result{Name: "redis", Status: "down", Error: err.Error()}
	case masters.Load() == 0:
		return result{Name: "redis", Status: "down", Error: "no master is known"}
	}
	return result{Name: "redis", Status: "up"}
}

func (s *service) checkDatabase(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	var one int
	if err := s.db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return result{Name: "database", Status: "down", Error: err.Error()}
	}
	return result{Name: "database", Status: "up"}
}

func (s *service) checkSequences(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	var n int
	err := s.db.QueryRowContext(ctx, `
		SELECT COUNT(*) FROM document_numbering_sequences s JOIN document_numbering_configs c ON c.id = s.config_id
		WHERE s.current_value > c.max_value`).Scan(&n)
	switch {
	case err != nil:
		return result{Name: "sequence_integrity", Status: "down", Error: err.Error()}
	case n > 0:
		return result{Name: "sequence_integrity", Status: "degraded", Exceeded: &n}
	}
	return result{Name: "sequence_integrity", Status: "up", Exceeded: &n}
}
