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

// clusterWorld is a cluster and a target on it.
func clusterWorld(t testing.TB, masters, replicas int, args ...string) (*world, *servers.RedisCluster, *goredis.ClusterClient) {
	t.Helper()
	c := servers.RedisClusterOf(t, masters, replicas, args...)
	return &world{t: t, target: clusterTarget(c.Settings())}, c, c.Client()
}

func clusterTarget(settings engine.Record) steps.Target {
	return steps.Target{Name: "cache", Type: "cluster", Settings: settings}
}

// nodesOf are what the nodes brought back, by address.
func nodesOf(t testing.TB, o engine.Outcome) map[string]engine.Record {
	t.Helper()
	out := map[string]engine.Record{}
	list, _ := succeeded(t, o)["nodes"].(engine.List)
	for _, v := range list {
		r, _ := v.(engine.Record)
		out[engine.Text(r["node"])] = r
	}
	return out
}

func total(nodes map[string]engine.Record, name string) int64 {
	var sum int64
	for _, r := range nodes {
		n, _ := r[name].(int64)
		sum += n
	}
	return sum
}

// on is the parameters of an operation with `nodes`.
func on(nodes string, params engine.Record) engine.Record {
	out := engine.Record{"nodes": nodes}
	for k, v := range params {
		out[k] = v
	}
	return out
}

func TestContractOnACluster(t *testing.T) {
	cluster := servers.RedisClusterOf(t, 3, 0, "--appendonly", "yes")
	cc := cluster.Client()
	ctx := context.Background()
	setup := func(t testing.TB) {
		err := cc.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
			for _, cmd := range [][]any{{"FLUSHALL"}, {"CONFIG", "SET", "maxmemory", "0"}} {
				if err := c.Do(ctx, cmd...).Err(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, cmd := range [][]any{{"SET", "a", "1"}, {"SET", "reservation:1", "v"}, {"SET", "reservation:2", "v", "EX", "1000"}, {"SET", "reservation:3", "v"}} {
			if err := cc.Do(ctx, cmd...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func() string {
		var all []string
		for _, s := range cluster.Nodes {
			all = append(all, contents(t, s.Client()))
		}
		sort.Strings(all)
		return strings.Join(all, "\n")
	}
	secret := engine.NewSecret("token", "very-secret-value")
	number := func(key string, less int) func() int {
		return func() int { n, _ := cc.Get(ctx, key).Int(); return n - less }
	}
	sweeping := engine.Record{"sweep": engine.Record{"match": "reservation:*", "where": "ttl == -1", "action": "unlink"}}
	steptest.Run(t, steptest.Suite{Kind: redis.New(), Target: clusterTarget(cluster.Settings()), Cases: append(clusterCases(t, cluster), []steptest.Case{
		{Operation: "do", Name: "do read", Params: do("get", "a"), Setup: setup, Fingerprint: look, Bad: []steptest.Bad{
			{Params: do("FLUSHALL"), Path: "do[0]"},
			{Params: do("FLUSHDB"), Path: "do[0]"},
			{Params: do("KEYS", "*"), Path: "do[0]"},
			{Params: do("DBSIZE"), Path: "do[0]"},
			{Params: do("CONFIG", "SET", "maxmemory", "1"), Path: "do[0]"},
			{Params: do("SCRIPT", "FLUSH"), Path: "do[0]"},
			{Params: do("EVAL", "return 1", int64(0)), Path: "do[0]"},
			{Params: do("MGET", "a", "b"), Path: "do"},
			{Params: on("one", do("FLUSHALL")), Path: "nodes"},
			{Params: on("all", do("FLUSHALL")), Path: "nodes"},
			{Params: on("replicas", do("SET", "a", "b")), Path: "nodes"},
			{Params: on("masters", do("GET", "a")), Path: "nodes"},
		}},
		{Operation: "do", Name: "do read on every node", Params: on("all", do("DBSIZE")), Setup: setup, Fingerprint: look},
		{Operation: "do", Name: "do idempotent", Params: do("SET", "a", int64(2)), Setup: setup, Fingerprint: look, Effect: number("a", 1)},
		{Operation: "do", Name: "do setting", Params: on("masters", do("CONFIG", "SET", "maxmemory", "2gb")), Setup: setup, Fingerprint: look},
		{Operation: "do", Name: "do unrepeatable", Params: do("INCR", "a"), Setup: setup, Fingerprint: look, Effect: number("a", 1)},
		{Operation: "do", Name: "do flush", Params: on("masters", do("FLUSHALL")), Setup: setup, Fingerprint: look,
			Effect: func() int { return 1 - int(cc.Exists(ctx, "a").Val()) }},
		{Operation: "do", Name: "do secret", Params: do("SET", secret, secret, "GET"), Setup: setup, Fingerprint: look},
		{Operation: "info", Params: on("masters", engine.Record{"info": words("memory", "server")}), Setup: setup, Fingerprint: look,
			Bad: []steptest.Bad{{Params: engine.Record{"info": "memory"}, Path: "nodes"}}},
		{Operation: "count", Params: on("masters", engine.Record{"count": engine.Record{"match": "reservation:*", "where": "ttl == -1"}}),
			Setup: setup, Fingerprint: look, Bad: []steptest.Bad{{Params: engine.Record{"count": engine.Record{"match": "a"}}, Path: "nodes"}}},
		{Operation: "transaction", Params: transaction(words("RPUSH", "{a}q", secret), words("INCR", "a"), words("GET", "{a}nothing")),
			Setup: setup, Fingerprint: look, Effect: number("a", 1), Bad: []steptest.Bad{
				{Params: transaction(words("INCR", "a"), words("INCR", "b")), Path: "transaction"}}},
		{Operation: "script", Params: engine.Record{"script": "redis.call('INCRBY', KEYS[1], 1) return {KEYS[1], ARGV[1], false, {1, 'x'}}",
			"keys": words("a"), "args": words(secret)}, Setup: setup, Fingerprint: look, Effect: number("a", 1), Bad: []steptest.Bad{
			{Params: engine.Record{"script": "return 1"}, Path: "script"},
			{Params: engine.Record{"script": "return 1", "keys": words("a", "b")}, Path: "keys"}}},
		{Operation: "snapshot", Params: on("masters", snapshot), Setup: setup, Fingerprint: look,
			Bad: []steptest.Bad{{Params: snapshot, Path: "nodes"}}},
		{Operation: "rewrite_aof", Params: on("all", rewrite), Setup: setup, Fingerprint: look, Bad: []steptest.Bad{{Params: rewrite, Path: "nodes"}}},
		{Operation: "sweep", Params: on("masters", sweeping), Setup: setup, Fingerprint: look,
			Effect: func() int {
				return (2 - int(cc.Exists(ctx, "reservation:1").Val()+cc.Exists(ctx, "reservation:3").Val())) / 2
			}, Bad: []steptest.Bad{{Params: sweeping, Path: "nodes"}}},
	}...)})
}

// clusterCases hold the operations about the cluster itself to the contract.
func clusterCases(t *testing.T, cluster *servers.RedisCluster) []steptest.Case {
	target := clusterTarget(cluster.Settings())
	spare := servers.RedisNode(t)
	id := spare.Client().Do(t.Context(), "CLUSTER", "MYID").Val()
	// The nodes that are known, and who follows whom, whatever the order and the times.
	look := func() string {
		var lines []string
		for _, line := range strings.Split(fmt.Sprint(cluster.Nodes[0].Client().Do(context.Background(), "CLUSTER", "NODES").Val()), "\n") {
			if f := strings.Fields(line); len(f) > 7 {
				lines = append(lines, strings.Join(append([]string{f[0], f[3]}, f[8:]...), " "))
			}
		}
		sort.Strings(lines)
		return strings.Join(lines, "\n")
	}
	execute := func(t testing.TB, op string, params engine.Record) {
		w := &world{t: t, target: target}
		succeeded(t, w.execute(call(op, params)))
	}
	inside := func(t testing.TB) { execute(t, "cluster_meet", engine.Record{"cluster_meet": spare.Addr}) }
	there := func(want int) func() int {
		return func() int {
			if strings.Contains(look(), fmt.Sprint(id)) {
				return want
			}
			return 1 - want
		}
	}
	cases := []steptest.Case{
		{Operation: "cluster_create", Params: engine.Record{"cluster_create": engine.Record{}},
			Bad: []steptest.Bad{{Params: engine.Record{"cluster_create": engine.Record{"replicas": int64(-1)}}, Path: "cluster_create.replicas"}}},
		{Operation: "cluster_check", Params: engine.Record{"cluster_check": engine.Record{}}},
		{Operation: "cluster_replicate", Params: engine.Record{"cluster_replicate": spare.Addr, "of": cluster.Nodes[0].Addr}, Setup: inside},
		{Operation: "cluster_meet", Params: engine.Record{"cluster_meet": spare.Addr}, Setup: inside},
		{Operation: "cluster_take", Params: engine.Record{"cluster_take": spare.Addr}, Setup: inside},
		// The last, because the others refuse a node that they have forgotten for a minute.
		{Operation: "cluster_forget", Params: engine.Record{"cluster_forget": spare.Addr}, Setup: inside, Effect: there(0)},
	}
	for i := range cases {
		cases[i].Target, cases[i].Fingerprint = &target, look
	}
	return cases
}

func TestCommandsGoToTheNodeOfTheirKeys(t *testing.T) {
	w, _, cc := clusterWorld(t, 3, 0)
	for i := range 50 {
		key := fmt.Sprintf("k:%d", i)
		succeeded(t, w.execute(call("do", do("SET", key, int64(i)))))
		same(t, succeeded(t, w.execute(call("do", do("GET", key))))["value"], fmt.Sprint(i))
	}
	if n := cc.DBSize(t.Context()).Val(); n != 50 {
		t.Errorf("%d keys", n)
	}
	nodes := nodesOf(t, w.execute(call("do", on("masters", do("DBSIZE")))))
	if len(nodes) != 3 || total(nodes, "value") != 50 {
		t.Errorf("%v", nodes)
	}
	for node, r := range nodes {
		if r["value"] == int64(0) {
			t.Errorf("%s has no key", node)
		}
	}
	nodesOf(t, w.execute(call("do", on("masters", do("FLUSHALL")))))
	if n := cc.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	same(t, succeeded(t, w.execute(call("do", do("PING"))))["value"], "PONG")
	failed(t, w.execute(call("do", do("FLUSHALL"))), "nodes: masters")
	failed(t, w.execute(call("do", do("MGET", "a", "b"))), "different slots", "{tag}")
	failed(t, w.execute(call("snapshot", snapshot)), "nodes: masters")
	failed(t, w.execute(call("transaction", transaction(words("INCR", "a"), words("INCR", "b")))), "different slots")
	failed(t, w.execute(call("do", do("JSON.SET", "a", "$", "b"))), "keys of JSON.SET", "nothing was sent")
}

func TestPlanNamesTheNodesAndTheKeysOnEach(t *testing.T) {
	w, c, cc := clusterWorld(t, 3, 0)
	for i := range 90 {
		cc.Set(t.Context(), fmt.Sprintf("reservation:%d", i), "x", 0)
	}
	for _, params := range []engine.Record{on("masters", engine.Record{"sweep": engine.Record{"match": "reservation:*"}}), on("masters", do("FLUSHALL"))} {
		op := "do"
		if _, ok := params["sweep"]; ok {
			op = "sweep"
		}
		im := w.preview(call(op, params))
		text := fmt.Sprint(im.Facts)
		for _, s := range c.Nodes {
			has(t, text, s.Addr)
		}
		if im.Standing != engine.StandingWould || len(im.Figures) != 3 || im.Figures[0].Value != 90 || im.Figures[0].Certainty != engine.FigureExact {
			t.Errorf("%s: %+v", op, im)
		}
	}
	if im := w.preview(call("do", do("FLUSHALL"))); im.Standing != engine.StandingUnknown {
		t.Errorf("%+v", im)
	}
	im := w.preview(call("transaction", transaction(words("INCR", "a"))))
	has(t, fmt.Sprint(im.Facts), "slot 15495")
	if n := cc.DBSize(t.Context()).Val(); n != 90 {
		t.Errorf("a plan left %d keys", n)
	}
}

func TestMarkersOfAClusterAreFoundByTheSlotThatWasSeen(t *testing.T) {
	w, _, cc := clusterWorld(t, 3, 0)
	var calls []engine.Call
	for i, key := range []string{"plain", "{tag}x", "odd}key{", "{}empty", ""} {
		c := call("transaction", transaction(words("INCR", key)))
		c.Token = fmt.Sprintf("run/%d", i)
		w.prepare(&c)
		same(t, succeeded(t, w.execute(c))["values"], words(int64(1)))
		same(t, succeeded(t, w.executeIn(t.Context(), c, true))["values"], words(int64(1)))
		if s := w.settle(c); s.Verdict != engine.VerdictDone {
			t.Errorf("%q: %+v", key, s)
		}
		if n := cc.Get(t.Context(), key).Val(); n != "1" {
			t.Errorf("%q was incremented to %s", key, n)
		}
		calls = append(calls, c)
	}
	never := call("transaction", transaction(words("INCR", "never")))
	never.Token = "run/never"
	w.prepare(&never)
	calls = append(calls, never)
	conn, err := redis.New().Connect(t.Context(), w.target, steps.Full)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	there, err := redis.New().Remembers(t.Context(), conn, calls)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		if there[c.Token] != (c.Token != "run/never") {
			t.Errorf("%s: %v", c.Token, there[c.Token])
		}
	}
}

func TestSnapshotsOfManyNodesAreTakenSideBySide(t *testing.T) {
	w, c, cc := clusterWorld(t, 3, 0, "--rdb-key-save-delay", "1000")
	for i := range 3000 {
		cc.Set(t.Context(), fmt.Sprintf("k:%d", i), "x", 0)
	}
	cl := call("snapshot", on("masters", snapshot))
	w.prepare(&cl)
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(cl) }()
	// Each node is seen saving while the others do.
	eventually(t, "all of them save at once", func() bool {
		for _, s := range c.Nodes {
			if !strings.Contains(s.Client().Info(t.Context(), "persistence").Val(), "rdb_bgsave_in_progress:1") {
				return false
			}
		}
		return true
	})
	if nodes := nodesOf(t, <-done); len(nodes) != 3 {
		t.Errorf("%v", nodes)
	}
	// After a crash, what was finished since the intent is not done again.
	for node, r := range nodesOf(t, w.executeIn(t.Context(), cl, true)) {
		if r["already"] != true {
			t.Errorf("%s: %v", node, r)
		}
	}
}

func TestSweepOfAClusterGoesOnWhereItWasCutOff(t *testing.T) {
	w, _, cc := clusterWorld(t, 3, 0)
	p := cc.Pipeline()
	for i := range 3000 {
		p.Set(t.Context(), fmt.Sprintf("r:%d", i), "x", 0)
	}
	p.Set(t.Context(), "r:live", "x", time.Hour)
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := call("sweep", on("masters", engine.Record{"sweep": engine.Record{"match": "r:*", "where": "ttl == -1"}}))
	env := w.env(c, steps.Full)
	o := w.decode(c).Execute(t.Context(), env)
	nodes := nodesOf(t, o)
	if total(nodes, "swept") != 3000 || total(nodes, "found") != 3000 || total(nodes, "matched") != 3001 {
		t.Errorf("%v", nodes)
	}
	// What was noted last tells of all nodes; a second attempt leaves those that are done as they are, and
	// says the same of them.
	c.Note = w.rec.Notes()[len(w.rec.Notes())-1]
	again := nodesOf(t, w.executeIn(t.Context(), c, true))
	if total(again, "swept") != 3000 {
		t.Errorf("%v", again)
	}
	if n := cc.DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("%d keys are left", n)
	}
	left := nodesOf(t, w.execute(call("count", on("masters", engine.Record{"count": engine.Record{"match": "r:*"}}))))
	if total(left, "count") != 1 {
		t.Errorf("%v", left)
	}
}
