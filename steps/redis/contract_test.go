package redis_test

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// contents is everything that a server holds, Handrail's markers left out.
func contents(t testing.TB, c *goredis.Client) string {
	t.Helper()
	ctx := context.Background()
	var lines []string
	it := c.Scan(ctx, 0, "*", 1000).Iterator()
	for it.Next(ctx) {
		k := it.Val()
		if strings.HasPrefix(k, "handrail:{") {
			continue
		}
		dump, err := c.Dump(ctx, k).Result()
		if err != nil {
			t.Fatal(err)
		}
		ttl := c.PTTL(ctx, k).Val()
		lines = append(lines, fmt.Sprintf("%q %x expires %v", k, dump, ttl > 0))
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	memory := c.ConfigGet(ctx, "maxmemory").Val()
	sort.Strings(lines)
	return strings.Join(append(lines, fmt.Sprint(memory)), "\n")
}

func words(w ...engine.Value) engine.List { return w }

func TestContract(t *testing.T) {
	server := servers.Redis(t, "--appendonly", "yes")
	c := server.Client()
	ctx := t.Context()
	setup := func(t testing.TB) {
		for _, cmd := range [][]any{{"FLUSHALL"}, {"CONFIG", "SET", "maxmemory", "0"}, {"SET", "a", "1"}, {"RPUSH", "{q}", "x"},
			{"SET", "reservation:1", "v"}, {"SET", "reservation:2", "v", "EX", "1000"}} {
			if err := c.Do(context.Background(), cmd...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func() string { return contents(t, c) }
	secret := engine.NewSecret("token", "very-secret-value")
	number := func(key string, less int) func() int {
		return func() int { n, _ := c.Get(ctx, key).Int(); return n - less }
	}
	target := steps.Target{Name: "cache", Type: "redis", Settings: server.Settings()}
	cluster := servers.RedisClusterOf(t, 3, 0)
	steptest.Run(t, steptest.Suite{Kind: redis.New(), Target: target, Cases: append(clusterCases(t, cluster), []steptest.Case{
		{Operation: "do", Name: "do read", Params: engine.Record{"do": words("get", "a")}, Setup: setup, Fingerprint: look, Bad: []steptest.Bad{
			{Params: engine.Record{"do": words()}, Path: "do"},
			{Params: engine.Record{"do": words("GTE", "a")}, Path: "do[0]"},
			{Params: engine.Record{"do": words("GET", true)}, Path: "do[1]"},
			{Params: engine.Record{"do": words("GET", nil)}, Path: "do[1]"},
			{Params: engine.Record{"do": words("CONFIG", "GETT", "a")}, Path: "do[1]"},
			{Params: engine.Record{"do": words("CONFIG")}, Path: "do"},
			{Params: engine.Record{"do": words("SUBSCRIBE", "a")}, Path: "do[0]"},
			{Params: engine.Record{"do": words("BLPOP", "a", "0")}, Path: "do[0]"},
			{Params: engine.Record{"do": words("WAIT", "1", "0")}, Path: "do[0]"},
		}},
		{Operation: "do", Name: "do idempotent", Params: engine.Record{"do": words("SET", "a", int64(2))}, Setup: setup, Fingerprint: look,
			Effect: number("a", 1)},
		{Operation: "do", Name: "do setting", Params: engine.Record{"do": words("CONFIG", "SET", "maxmemory", "2gb")}, Setup: setup, Fingerprint: look},
		{Operation: "do", Name: "do unrepeatable", Params: engine.Record{"do": words("INCR", "a")}, Setup: setup, Fingerprint: look,
			Effect: number("a", 1)},
		{Operation: "do", Name: "do secret", Params: engine.Record{"do": words("SET", "s", secret, "GET")}, Setup: setup, Fingerprint: look},
		{Operation: "do", Name: "do echo of a secret", Params: engine.Record{"do": words("ECHO", secret)}, Setup: setup, Fingerprint: look},
		{Operation: "info", Params: engine.Record{"info": words("memory", "server", "replication")}, Setup: setup, Fingerprint: look,
			Bad: []steptest.Bad{{Params: engine.Record{"info": words("memori")}, Path: "info"}}},
		{Operation: "count", Params: engine.Record{"count": engine.Record{"match": "reservation:*", "where": "ttl == -1"}},
			Setup: setup, Fingerprint: look,
			Bad: []steptest.Bad{{Params: engine.Record{"count": engine.Record{"match": "a", "where": "ttl = 1"}}, Path: "count.where"}}},
		{Operation: "transaction", Params: engine.Record{"transaction": words(words("RPUSH", "{q}", secret), words("INCR", "a"), words("GET", "nothing"))},
			Setup: setup, Fingerprint: look, Effect: number("a", 1), Bad: []steptest.Bad{
				{Params: engine.Record{"transaction": words()}, Path: "transaction"},
				{Params: engine.Record{"transaction": words("INCR a")}, Path: "transaction[0]"},
				{Params: engine.Record{"transaction": words(words("INCR", "a"), words("FLUSHALL"))}, Path: "transaction[1][0]"},
				{Params: engine.Record{"transaction": words(words("CONFIG", "GET", "a"))}, Path: "transaction[0][0]"},
				{Params: engine.Record{"transaction": words(words("DEL", "handrail:{a}:b"))}, Path: "transaction[0]"},
			}},
		{Operation: "script", Params: engine.Record{"script": "redis.call('INCRBY', KEYS[1], 1) return {KEYS[1], ARGV[1], false, {1, 'x'}}",
			"keys": words("a"), "args": words(secret)}, Setup: setup, Fingerprint: look, Effect: number("a", 1), Bad: []steptest.Bad{
			{Params: engine.Record{"script": "  "}, Path: "script"},
			{Params: engine.Record{"script": "#!lua flags=no-writes\nreturn 1"}, Path: "script"},
		}},
		{Operation: "snapshot", Params: engine.Record{"snapshot": engine.Record{}}, Setup: setup, Fingerprint: look},
		{Operation: "rewrite_aof", Params: engine.Record{"rewrite_aof": engine.Record{}}, Setup: setup, Fingerprint: look},
		{Operation: "sweep", Params: engine.Record{"sweep": engine.Record{"match": "reservation:*", "where": "ttl == -1", "action": "unlink"}},
			Setup: setup, Fingerprint: look, Effect: func() int { return 1 - int(c.Exists(ctx, "reservation:1").Val()) }, Bad: []steptest.Bad{
				{Params: engine.Record{"sweep": engine.Record{"match": "a", "where": "tll == -1"}}, Path: "sweep.where"},
				{Params: engine.Record{"sweep": engine.Record{"match": "a", "action": "unlink", "expire": time.Minute}}, Path: "sweep.expire"},
				{Params: engine.Record{"sweep": engine.Record{"match": "a", "action": "expire"}}, Path: "sweep.action"},
				{Params: engine.Record{"sweep": engine.Record{"match": "a", "batch": int64(-1)}}, Path: "sweep.batch"},
			}},
	}...)})
}
