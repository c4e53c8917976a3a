package redis_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// slotOfA is the slot of the key a; with three masters the third has it.
const slotOfA = 15495

// move is a slot on its way from the third node to the first.
type move struct {
	t        *testing.T
	c        *servers.RedisCluster
	from, to *goredis.Client
	slot     int
}

func begin(t *testing.T, c *servers.RedisCluster, slot int) *move {
	t.Helper()
	m := &move{t: t, c: c, from: c.Nodes[2].Client(), to: c.Nodes[0].Client(), slot: slot}
	m.must(m.to, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ID(2))
	m.must(m.from, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ID(0))
	return m
}

func (m *move) must(c *goredis.Client, args ...any) {
	m.t.Helper()
	if err := c.Do(context.Background(), args...).Err(); err != nil {
		m.t.Fatal(args, err)
	}
}

func (m *move) key(key string) {
	m.t.Helper()
	host, port, _ := strings.Cut(m.c.Nodes[0].Addr, ":")
	m.must(m.from, "MIGRATE", host, port, key, 0, 5000)
}

func (m *move) end() {
	m.t.Helper()
	for _, key := range m.from.ClusterGetKeysInSlot(context.Background(), m.slot, 100_000).Val() {
		m.key(key)
	}
	for _, n := range []*goredis.Client{m.to, m.from, m.c.Nodes[1].Client()} {
		m.must(n, "CLUSTER", "SETSLOT", m.slot, "NODE", m.c.ID(0))
	}
}

func TestSlotOnItsWayIsFollowed(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 0)
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	m := begin(t, c, slotOfA)
	// Still where it was.
	same(t, succeeded(t, w.execute(call("do", do("INCR", "a"))))["value"], int64(2))
	// ASK: it has gone ahead, and nothing else of its slot has.
	m.key("a")
	same(t, succeeded(t, w.execute(call("do", do("INCR", "a"))))["value"], int64(3))
	same(t, succeeded(t, w.execute(call("do", do("GET", "a"))))["value"], "3")
	// A key that does not exist yet is made where the slot is going.
	same(t, succeeded(t, w.execute(call("do", do("INCR", "{a}new"))))["value"], int64(1))
	if got := m.to.Do(t.Context(), "CLUSTER", "COUNTKEYSINSLOT", slotOfA).Val(); got != int64(2) {
		t.Errorf("%v keys have gone over", got)
	}
	// MOVED: the client's own view is asked anew for each step, so the old owner is asked here.
	m.end()
	w.target = clusterTarget(engine.Record{"addresses": words(c.Nodes[2].Addr)})
	same(t, succeeded(t, w.execute(call("do", do("INCR", "a"))))["value"], int64(4))
}

// A script has several keys, its marker among them, and the server takes it only when all are in one place.
func TestTransactionWaitsUntilItsSlotHasArrived(t *testing.T) {
	w, c, cc := clusterWorld(t, 3, 0)
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	cl := call("transaction", transaction(words("INCR", "a")))
	w.prepare(&cl)
	m := begin(t, c, slotOfA)
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(cl) }()
	eventually(t, "the script was sent back", func() bool {
		return strings.Contains(m.from.Info(t.Context(), "errorstats").Val(), "TRYAGAIN")
	})
	if cc.Get(t.Context(), "a").Val() != "1" {
		t.Error("the script ran")
	}
	m.end()
	same(t, succeeded(t, <-done)["values"], words(int64(2)))
	// The marker is found where the slot is now; what was seen before names another node.
	if s := w.settle(cl); s.Verdict != engine.VerdictDone {
		t.Errorf("%+v", s)
	}
	// A marker that is not there proves nothing any more: the slot has another master.
	never := cl
	never.Token = "run/never"
	if s := w.settle(never); s.Verdict != engine.VerdictUnknown || !s.Dead {
		t.Errorf("%+v", s)
	} else {
		has(t, strings.Join(s.Evidence, "\n"), c.Nodes[2].Addr, c.Nodes[0].Addr, "asynchronous")
	}
}

func TestSlotThatIsNeverMovedToTheEnd(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 0)
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	begin(t, c, slotOfA)
	w.target.Settings["timeout"] = time.Second
	cl := call("transaction", transaction(words("INCR", "a")))
	w.prepare(&cl)
	o := w.execute(cl)
	failed(t, o, "being moved", "nothing was changed", "resharding")
	if !o.Transient || o.Effect != engine.EffectNone {
		t.Errorf("%+v", o)
	}
}

func TestSweepMissesNoKeyOfASlotThatIsMovedMeanwhile(t *testing.T) {
	w, c, cc := clusterWorld(t, 3, 0)
	p := cc.Pipeline()
	for i := range 500 {
		p.Set(t.Context(), fmt.Sprintf("r:{a}:%d", i), "x", 0)
		p.Set(t.Context(), fmt.Sprintf("r:%d", i), "x", 0)
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := begin(t, c, slotOfA)
	for i := range 100 {
		m.key(fmt.Sprintf("r:{a}:%d", i))
	}
	counting := call("count", on("masters", engine.Record{"count": engine.Record{"match": "r:*", "where": "ttl == -1"}}))
	cl := call("sweep", on("masters", engine.Record{"sweep": engine.Record{"match": "r:*", "where": "ttl == -1", "batch": int64(50)}}))
	// As long as the slot is on its way, it cannot be said that nothing was missed; all keys are swept all the same.
	o := w.execute(cl)
	has(t, o.Err, "are being moved", "resharding is over", c.Nodes[2].Addr)
	if o.Effect != engine.EffectUnknown || !o.Transient {
		t.Errorf("%+v", o)
	}
	if n := cc.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	has(t, w.execute(counting).Err, "are being moved")
	m.end()
	nodesOf(t, w.execute(cl))
	if n := total(nodesOf(t, w.execute(counting)), "count"); n != 0 {
		t.Errorf("%d keys are counted", n)
	}
}

func TestNodeDownSaysWhichSlotsAreUncovered(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 0)
	w.target.Settings["timeout"] = 2 * time.Second
	c.Nodes[2].Kill()
	// Before the others have noticed, and after.
	failed(t, w.execute(call("do", do("SET", "a", "1"))), c.Nodes[2].Addr, "nothing was sent")
	c.Until("the cluster has noticed", func() bool {
		return strings.Contains(c.Nodes[0].Client().ClusterInfo(t.Context()).Val(), "cluster_state:fail")
	})
	uncovered := "10922-16383"
	failed(t, w.execute(call("do", do("SET", "a", "1"))), uncovered)
	o := w.execute(call("do", do("SET", "b", "1"))) // its own node is up, but the cluster is down
	failed(t, o, "cluster is down", uncovered)
	if !o.Transient {
		t.Errorf("%+v", o)
	}
	for _, o := range []engine.Outcome{
		w.execute(call("sweep", on("masters", engine.Record{"sweep": engine.Record{"match": "x*"}}))),
		w.execute(call("count", on("masters", engine.Record{"count": engine.Record{"match": "x*"}}))),
		w.execute(call("do", on("masters", do("FLUSHALL")))),
	} {
		failed(t, o, "would miss keys", uncovered)
	}
	if im := w.preview(call("sweep", on("masters", engine.Record{"sweep": engine.Record{"match": "x*"}}))); im.Standing != engine.StandingUnknown {
		t.Errorf("%+v", im)
	}
	o = w.execute(call("cluster_check", engine.Record{"cluster_check": engine.Record{}}))
	if o.Err != "" || o.Grade != engine.GradeFailed || o.Result["slots"] != int64(10922) {
		t.Errorf("%+v", o)
	}
	has(t, o.Message, uncovered, c.Nodes[2].Addr)
	o = w.execute(call("do", on("masters", do("CONFIG", "SET", "maxmemory", "1gb"))))
	has(t, o.Err, "1 of 3 nodes", c.Nodes[2].Addr, "cannot be reached")
	has(t, strings.Join(o.Evidence, " "), "it was done on", c.Nodes[0].Addr)
	if o.Effect != engine.EffectUnknown {
		t.Errorf("%+v", o)
	}
	// The node comes back while a step waits for it.
	w.target.Settings["timeout"] = 60 * time.Second
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(call("do", do("SET", "a", "2"))) }()
	c.Nodes[2].Restart()
	succeeded(t, <-done)
}

// TestWhyItWaitedIsSaidWhenItsPatienceEnds, also when that is in the middle of a question that nobody answers.
func TestWhyItWaitedIsSaidWhenItsPatienceEnds(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 0)
	w.target.Settings["timeout"] = 8 * time.Second
	c.Nodes[2].Kill()
	c.Until("the cluster has noticed", func() bool {
		return strings.Contains(c.Nodes[0].Client().ClusterInfo(t.Context()).Val(), "cluster_state:fail")
	})
	var asked []*goredis.Client
	for _, n := range c.Nodes[:2] {
		asked = append(asked, n.Client())
		if err := asked[len(asked)-1].ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(call("do", do("SET", "a", "1"))) }()
	calls := regexp.MustCompile(`cmdstat_cluster(\|nodes)?:calls=([0-9]+)`)
	var o *engine.Outcome
	c.Until("the step has asked again, or has waited long enough", func() bool {
		select {
		case ended := <-done:
			o = &ended
			return true
		default:
		}
		all := 0
		for _, n := range asked {
			if m := calls.FindStringSubmatch(n.Info(t.Context(), "commandstats").Val()); m != nil {
				k, _ := strconv.Atoi(m[2])
				all += k
			}
		}
		return all > 12 // more than it asks to begin with
	})
	if o == nil {
		for _, n := range asked {
			if err := n.Do(t.Context(), "CLIENT", "PAUSE", "20000", "ALL").Err(); err != nil {
				t.Fatal(err)
			}
		}
		ended := <-done
		o = &ended
	}
	failed(t, *o, "no node of the cluster answers for slot", "10922-16383")
}
