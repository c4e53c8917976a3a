package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
)

// check is one effect, and how often it must have happened.
type check struct {
	what      string
	got, want int64
}

// proof asks the targets themselves, not Handrail.
func proof(ctx context.Context, folder string, out io.Writer) error {
	var checks []check
	for _, ask := range []func(context.Context, string) ([]check, error){proofOfShop, proofOfRedis, proofOfDocker} {
		some, err := ask(ctx, folder)
		if err != nil {
			return err
		}
		checks = append(checks, some...)
	}
	var wrong error
	for _, c := range checks {
		mark := "yes"
		if c.got != c.want {
			mark = "NO "
			wrong = errors.New("an effect was lost or repeated")
		}
		fmt.Fprintf(out, "  %s  %-58s %6d of %d\n", mark, c.what, c.got, c.want)
	}
	return wrong
}

func proofOfShop(ctx context.Context, folder string) ([]check, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "shop.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	checks := []check{
		{what: "SQLite: invoices with exactly one entry in the ledger", want: invoices},
		{what: "SQLite: entries in the ledger", want: invoices},
		{what: "SQLite: invoices marked as booked", want: invoices},
	}
	for i, query := range []string{
		"SELECT COUNT(*) FROM (SELECT invoice_id FROM ledger GROUP BY invoice_id HAVING COUNT(*) = 1)",
		"SELECT COUNT(*) FROM ledger",
		"SELECT COUNT(*) FROM invoices WHERE booked = 1",
	} {
		if err := db.QueryRowContext(ctx, query).Scan(&checks[i].got); err != nil {
			return nil, fmt.Errorf("ask the shop's database: %w", err)
		}
	}
	return checks, nil
}

func proofOfRedis(ctx context.Context, folder string) ([]check, error) {
	address, err := os.ReadFile(filepath.Join(folder, "redis.addr"))
	if err != nil {
		return nil, err
	}
	c := redis.NewClient(&redis.Options{Addr: string(address), Protocol: 2, DisableIdentity: true})
	defer c.Close()
	closings, err := c.LLen(ctx, "{month}:closings").Result()
	if err != nil {
		return nil, fmt.Errorf("ask Redis: %w", err)
	}
	booked, err := c.Get(ctx, "{month}:booked").Int64()
	if err != nil {
		return nil, fmt.Errorf("ask Redis: %w", err)
	}
	keys, err := c.Keys(ctx, "reservation:*").Result()
	if err != nil {
		return nil, fmt.Errorf("ask Redis: %w", err)
	}
	return []check{
		{"Redis: closings of the month", closings, 1},
		{"Redis: invoices counted as booked", booked, invoices},
		{"Redis: reservations left (those with an expiry)", int64(len(keys)), livingCount},
	}, nil
}

// proofOfDocker counts the starts of the demo's container, where there is one: one when it was made
// and one by the restart.
func proofOfDocker(ctx context.Context, folder string) ([]check, error) {
	container, err := os.ReadFile(filepath.Join(folder, "container"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	logs, err := exec.CommandContext(ctx, "docker", "logs", strings.TrimSpace(string(container))).Output()
	if err != nil {
		return nil, fmt.Errorf("ask Docker: %w", err)
	}
	return []check{{"Docker: starts of the shop's container (made, restarted)", int64(strings.Count(string(logs), "started")), 2}}, nil
}
