package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// state is what a server says of itself in INFO, as far as operations look at it. A server that leaves
// something out has the zero value there.
type state struct {
	runID    string
	lineage  string // master_replid: changes when a replica becomes the master, and when a master starts anew
	role     string
	master   string // of a replica
	policy   string // maxmemory_policy
	max      int64
	used     int64
	evicted  int64
	loading  bool
	aof      bool
	sections engine.Record
	// blind: the user may not ask, so nothing of this is known.
	blind bool
}

func (n *node) state(ctx context.Context) (state, error) {
	v, err := n.ask(ctx, "look at the server", "INFO")
	if err != nil {
		return state{}, err
	}
	s := stateOf(parseInfo(raw(v), n.db))
	if s.replica() {
		steps.Saw(ctx, "node "+n.address, "replica of "+s.master)
	} else {
		steps.Saw(ctx, "node "+n.address, s.role)
	}
	return s, nil
}

// glance is state, for those who can do without: a user who may not read INFO sees nothing.
func (n *node) glance(ctx context.Context) (state, error) {
	s, err := n.state(ctx)
	var f *fault
	if errors.As(err, &f) && f.reach == refused && f.code == "NOPERM" {
		return state{blind: true}, nil
	}
	return s, err
}

func stateOf(info engine.Record) state {
	get := func(section, name string) engine.Value {
		r, _ := info[section].(engine.Record)
		return r[name]
	}
	str := func(section, name string) string { s, _ := get(section, name).(string); return s }
	num := func(section, name string) int64 { i, _ := get(section, name).(int64); return i }
	s := state{
		runID: str("server", "run_id"), lineage: str("replication", "master_replid"), role: str("replication", "role"),
		policy: str("memory", "maxmemory_policy"), max: num("memory", "maxmemory"), used: num("memory", "used_memory"),
		evicted: num("stats", "evicted_keys"), loading: num("persistence", "loading") == 1,
		aof: num("persistence", "aof_enabled") == 1, sections: info,
	}
	if host := str("replication", "master_host"); host != "" {
		s.master = fmt.Sprintf("%s:%d", host, num("replication", "master_port"))
	}
	return s
}

// persistence is a number of INFO's section of that name.
func (s state) persistence(name string) int64 {
	r, _ := s.sections["persistence"].(engine.Record)
	i, _ := r[name].(int64)
	return i
}

func (s state) persistenceText(name string) string {
	r, _ := s.sections["persistence"].(engine.Record)
	t, _ := r[name].(string)
	return t
}

func (s state) has(section, name string) bool {
	r, _ := s.sections[section].(engine.Record)
	_, ok := r[name]
	return ok
}

func (s state) replica() bool { return s.role == "slave" }

// evicts: under memory pressure it may throw a marker away. Markers have a time to live, so the policies
// that keep to volatile keys take them, too.
func (s state) evicts() bool {
	return s.max > 0 && s.policy != "" && s.policy != "noeviction"
}

// replicaProblem is why a replica is no place to write.
func (n *node) replicaProblem(s state) error {
	if !s.replica() {
		return nil
	}
	return misdirected{fmt.Errorf("redis %s: it is a replica of %s, and what is written here is refused or lost; nothing was sent; let the target point to %s",
		n.address, s.master, s.master)}
}

// warnings are what a person should know of the server before something is written to it.
func (s state) warnings() []string {
	var out []string
	if s.blind {
		out = append(out, "the user may not read INFO, so it is not known whether the server is a replica, is full, or evicts keys")
	}
	if s.max > 0 && strings.HasPrefix(s.policy, "allkeys-") {
		out = append(out, fmt.Sprintf("maxmemory-policy is %s: under memory pressure the server throws away any key, also what this step writes", s.policy))
	}
	if s.max > 0 && s.used > s.max*9/10 {
		out = append(out, fmt.Sprintf("memory is nearly used up: %d of maxmemory %d bytes, policy %s", s.used, s.max, s.policy))
	}
	return out
}

// sight is what was seen of a server BEFORE an intent; it says later what an absent marker proves, and where
// a marker is.
type sight struct {
	server  string
	lineage string
	node    string
	slot    int
	evicted int64
	at      time.Time
}

func (s sight) value() engine.Value {
	r := engine.Record{"server": s.server, "lineage": s.lineage, "node": s.node, "evicted_keys": s.evicted, "at": s.at}
	if s.slot != noSlot {
		r["slot"] = int64(s.slot)
	}
	return r
}

func sightOf(v engine.Value) (sight, bool) {
	r, ok := v.(engine.Record)
	if !ok {
		return sight{slot: noSlot}, false
	}
	s := sight{slot: noSlot}
	s.server, _ = r["server"].(string)
	s.lineage, _ = r["lineage"].(string)
	s.node, _ = r["node"].(string)
	s.evicted, _ = r["evicted_keys"].(int64)
	s.at, _ = r["at"].(time.Time)
	if n, ok := r["slot"].(int64); ok && n >= 0 && n < slots {
		s.slot = int(n)
	}
	return s, true
}

// whyAbsenceProvesNothing gives the reason for which a missing marker does not show that nothing
// happened; empty: it does show it. node is who says that it is missing.
func (c *Conn) whyAbsenceProvesNothing(seen engine.Value, now state, node string, clock time.Time) string {
	s, ok := sightOf(seen)
	switch {
	case ok && !s.at.IsZero() && clock.Sub(s.at) >= c.remember:
		return fmt.Sprintf("the attempt is from %s, and the server keeps markers for %s only", s.at.Format(time.RFC3339), c.remember)
	case now.blind:
		return "the user may not read INFO, so it is not known whether the server has evicted the marker"
	case ok && s.server == now.runID && now.evicted > s.evicted:
		return fmt.Sprintf("the server has evicted %d keys since, and the marker may be one of them", now.evicted-s.evicted)
	case (!ok || s.server != now.runID) && now.evicts():
		return fmt.Sprintf("the server was restarted since, and its policy %s may have evicted the marker", now.policy)
	case c.form == single:
		return ""
	case !ok || s.node != node:
		return fmt.Sprintf("the master was %s and is %s now; replication is asynchronous, so what the first had done the second need not have",
			or(s.node, "not recorded"), node)
	case s.server != now.runID:
		return fmt.Sprintf("the master %s was started anew since (run id %s, was %s), and may have lost what it had done last", node, now.runID, s.server)
	case s.lineage != now.lineage:
		return fmt.Sprintf("the master %s has been a replica since (replication id %s, was %s), and may have lost what it had done before", node, now.lineage, s.lineage)
	}
	return ""
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
