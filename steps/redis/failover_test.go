package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// long is a script that holds its server for a minute, and then counts.
func long() engine.Record {
	p := busy(60_000)
	p["script"] = strings.ReplaceAll(strings.ReplaceAll(p["script"].(string), "'begun'", "KEYS[1]"), "'n'", "KEYS[2]")
	p["keys"] = words("{a}begun", "{a}n")
	return p
}

// The master dies under the script; its replica takes over, and does not know what the other had done last.
func TestFailoverInTheMiddleOfAScriptIsInDoubt(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 1)
	w.target.Settings["timeout"] = 5 * time.Minute
	cl := call("script", long())
	w.prepare(&cl)
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(cl) }()
	eventually(t, "the script runs", func() bool { return stuck(t, c.Nodes[2].Addr) })
	c.Nodes[2].Kill()
	o := <-done
	inDoubt(t, o, c.Nodes[2].Addr, c.Nodes[5].Addr, "asynchronous", "there is no marker")
	// So it is after a crash of ours.
	if s := w.settle(cl); s.Verdict != engine.VerdictUnknown || !s.Dead {
		t.Errorf("%+v", s)
	}
	// The new master takes what comes next.
	next := call("transaction", transaction(words("INCR", "{a}n")))
	next.Token = "run/next"
	w.prepare(&next)
	same(t, succeeded(t, w.execute(next))["values"], words(int64(1)))
}

// A step that finds its master gone waits until there is another, and is carried out once.
func TestFailoverBeforeAStepIsWaitedFor(t *testing.T) {
	w, c, cc := clusterWorld(t, 3, 1)
	done := call("transaction", transaction(words("INCR", "a")))
	w.prepare(&done)
	succeeded(t, w.execute(done))
	c.Until("the replica has it", func() bool {
		return strings.Contains(c.Nodes[5].Client().Info(t.Context(), "keyspace").Val(), "keys=2")
	})
	c.Nodes[2].Kill()
	w.target.Settings["timeout"] = 2 * time.Minute
	// Longer than 30 seconds no node is waited for, and a busy machine may take longer to elect.
	eventually(t, "INCR is taken", func() bool {
		o := w.execute(call("do", do("INCR", "a")))
		if o.Err != "" && (o.Effect != engine.EffectNone || !o.Transient) {
			t.Fatalf("%+v", o)
		}
		return o.Err == ""
	})
	if got := cc.Get(t.Context(), "a").Val(); got != "2" {
		t.Errorf("a is %s", got)
	}
	// The marker has come over to the new master, and proves the effect.
	if s := w.settle(done); s.Verdict != engine.VerdictDone {
		t.Errorf("%+v", s)
	}
	// The old master comes back as a replica, and is refused no longer: masters are three again.
	c.Nodes[2].Restart()
	c.Until("it follows", func() bool {
		return strings.Contains(c.Nodes[2].Client().Info(t.Context(), "replication").Val(), "role:slave")
	})
	c.Until("all see the same", func() bool { // for a moment the others take it for a master without slots
		return w.execute(checking()).Grade == engine.GradeOK
	})
	if nodes := nodesOf(t, w.execute(call("do", on("masters", do("DBSIZE"))))); len(nodes) != 3 {
		t.Errorf("%v", nodes)
	}
	replicas := nodesOf(t, w.execute(call("count", on("replicas", engine.Record{"count": engine.Record{"match": "a", "where": "ttl == -1"}}))))
	if len(replicas) != 3 || total(replicas, "count") != 1 {
		t.Errorf("%v", replicas)
	}
}

func TestCheckTellsDegradedFromFailed(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 1)
	c.Nodes[5].Kill()
	o := w.execute(checking())
	if o.Err != "" || o.Grade != engine.GradeDegraded || o.Result["state"] != "degraded" {
		t.Errorf("%+v", o)
	}
	has(t, o.Message, c.Nodes[5].Addr, "replica")
	failed(t, w.execute(call("cluster_forget", engine.Record{"cluster_forget": c.Nodes[2].Addr})), "has the slots")
	// A dead replica can be forgotten, by its address or its id.
	c.Until("it is marked", func() bool {
		return strings.Contains(fmt.Sprint(c.Nodes[0].Client().Do(t.Context(), "CLUSTER", "NODES").Val()), "slave,fail ")
	})
	succeeded(t, w.execute(call("cluster_forget", engine.Record{"cluster_forget": c.Nodes[5].Addr})))
	settings := w.target.Settings
	settings["addresses"] = settings["addresses"].(engine.List)[:5]
	o = w.execute(call("cluster_check", engine.Record{"cluster_check": engine.Record{"replicas": int64(1)}}))
	if o.Grade != engine.GradeDegraded {
		t.Errorf("%+v", o)
	}
	has(t, o.Message, "has 0 working replicas, not 1", c.Nodes[2].Addr)
}

// sentinelWorld is a master with replicas behind three sentinels.
func sentinelWorld(t *testing.T, replicas int) (*world, *servers.RedisSentinels) {
	t.Helper()
	s := servers.RedisWatched(t, replicas)
	return &world{t: t, target: steps.Target{Name: "cache", Type: "sentinel", Settings: s.Settings()}}, s
}

func TestSentinelsLeadToTheMaster(t *testing.T) {
	w, s := sentinelWorld(t, 2)
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	if got := s.Master.Client().Get(t.Context(), "a").Val(); got != "1" {
		t.Errorf("a is %q on the master", got)
	}
	info := succeeded(t, w.execute(call("info", engine.Record{"info": "replication"})))
	if n := info["replication"].(engine.Record)["connected_slaves"]; n != int64(2) {
		t.Errorf("%v replicas", n)
	}
	for nodes, want := range map[string]int{"masters": 1, "replicas": 2, "all": 3} {
		got := nodesOf(t, w.execute(call("do", on(nodes, do("ROLE")))))
		if len(got) != want {
			t.Errorf("%s: %v", nodes, got)
		}
	}
	cl := call("transaction", transaction(words("INCR", "a")))
	w.prepare(&cl)
	same(t, succeeded(t, w.execute(cl))["values"], words(int64(2)))
	same(t, succeeded(t, w.executeIn(t.Context(), cl, true))["values"], words(int64(2)))
	conn, err := redis.New().Connect(t.Context(), w.target, steps.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	there, err := redis.New().Remembers(t.Context(), conn, []engine.Call{cl})
	if err != nil || !there[cl.Token] {
		t.Errorf("%v, %v", there, err)
	}
	has(t, fmt.Sprint(w.preview(call("do", do("SET", "a", "2"))).Facts), s.Master.Addr)
	wrong := w.target
	wrong.Settings = s.Settings()
	wrong.Settings["master"] = "nobody"
	if _, err := redis.New().Connect(t.Context(), wrong, steps.Full); err == nil || !strings.Contains(err.Error(), "no sentinel names the master nobody") {
		t.Errorf("%v", err)
	}
}

func TestFailoverBehindSentinelsInTheMiddleOfAScriptIsInDoubt(t *testing.T) {
	w, s := sentinelWorld(t, 1)
	w.target.Settings["timeout"] = 5 * time.Minute
	cl := call("script", long())
	w.prepare(&cl)
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(cl) }()
	eventually(t, "the script runs", func() bool { return stuck(t, s.Master.Addr) })
	s.Master.Kill()
	inDoubt(t, <-done, s.Master.Addr)
	var settled engine.Settlement
	eventually(t, "the replica is the master", func() bool {
		settled = w.settle(cl)
		return settled.Dead
	})
	if settled.Verdict != engine.VerdictUnknown {
		t.Errorf("%+v", settled)
	}
	has(t, strings.Join(settled.Evidence, "\n"), s.Master.Addr, s.Replicas[0].Addr, "asynchronous")
	eventually(t, "a step is taken", func() bool { return w.execute(call("do", do("SET", "b", "1"))).Err == "" })
	if got := s.Replicas[0].Client().Get(t.Context(), "b").Val(); got != "1" {
		t.Errorf("b is %q", got)
	}
}

// A sentinel that was cut off names another master; the epoch and the others outvote it. When there is no
// majority, nothing is sent.
func TestSentinelsThatDisagree(t *testing.T) {
	w, s := sentinelWorld(t, 0)
	other := servers.Redis(t)
	ask := func(i int, args ...any) {
		t.Helper()
		if err := s.Sentinels[i].Client().Do(context.Background(), args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
	// Its own view, under another name of the same target, so that the sentinels do not mend it among themselves.
	for i, addr := range []string{s.Master.Addr, s.Master.Addr, other.Addr} {
		h, p, _ := strings.Cut(addr, ":")
		ask(i, "SENTINEL", "MONITOR", "split", h, p, 3)
	}
	w.target.Settings["master"] = "split"
	w.target.Settings["timeout"] = time.Second
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	if got := s.Master.Client().Get(t.Context(), "a").Val(); got != "1" {
		t.Errorf("the minority was believed: a is %q", got)
	}
	s.Sentinels[0].Kill()
	if _, err := redis.New().Connect(t.Context(), w.target, steps.Full); err == nil ||
		!strings.Contains(err.Error(), "the sentinels disagree") || !strings.Contains(err.Error(), other.Addr) {
		t.Errorf("%v", err)
	}
}
