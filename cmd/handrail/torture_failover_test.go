package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// failing is a target with somebody who takes over when its first server dies.
type failing struct {
	*mortal
	// kill kills the server that has the effect of that name.
	kill func(effect string)
	// taken returns when the other has taken over.
	taken func()
	// cutOff has the other hear of nothing more; it comes back, as it was, in taken.
	cutOff func(effect string)
	// shared: which effects are lost with the one of that name.
	shared func(effect, with string) bool
}

// failovers tries a death at any moment of a run, and the loss of what the other had not heard of, in turn.
func failovers(t *testing.T, open func(t *testing.T) *failing) {
	t.Helper()
	times, asked, lost := 0, 0, 0
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 66))
	for i := range torture.Turns(t, 1, 2, 200) {
		times++
		// A subtest each, so that its servers end with it.
		if !t.Run(strconv.Itoa(i), func(t *testing.T) {
			f := open(t)
			if i%2 == 1 {
				f.dies(r, "d", func() { f.kill("d-0") }, f.taken)
			} else {
				f.loses("l", i/2%effects)
			}
			asked, lost = asked+f.asked-len(f.lost), lost+len(f.lost)
		}) {
			break
		}
	}
	torture.Figure(t, 6, "%d failovers; a person was told of %d effects that the new master had never heard of, and asked of %d steps in doubt; 0 twice", times, lost, asked)
}

// loses has the other take over without having heard of the effects from the one called first on.
func (f *failing) loses(key string, first int) {
	f.t.Helper()
	last := fmt.Sprintf("%s-%d", key, effects-1)
	f.inHalves(key, first, func() func() {
		f.cutOff(last)
		return func() { f.kill(last); f.taken() }
	})()
	var lost []int
	for _, i := range from(first) {
		if f.shared(fmt.Sprintf("%s-%d", key, i), last) {
			lost = append(lost, i)
		}
	}
	f.forgets(key, lost...)
}

func always(string, string) bool { return true }

// TestPostgresThatFailsOver: its standby is promoted, and the address leads there.
func TestPostgresThatFailsOver(t *testing.T) {
	t.Parallel()
	failovers(t, standbyBehind)
}

// standbyBehind is a PostgreSQL with a standby; one address leads to either.
func standbyBehind(t *testing.T) *failing {
	first := servers.PrivatePostgres(t)
	direct := first.Settings()
	settings := first.Settings()
	settings["database"] = direct["database"]
	way := torture.NewCutter(t, first.Address())
	settings["address"] = way.Addr
	m := newMortalSQL(t, "postgres", settings, func() *sql.DB { return servers.OpenPostgres(t, settings) })
	standby := first.Standby()
	return &failing{mortal: m, shared: always,
		kill: func(string) { first.Kill() },
		cutOff: func(string) {
			standby.Follows(first)
			standby.CutOff()
		},
		taken: func() {
			standby.Promote()
			way.Lead(standby.Address())
		}}
}

// TestRedisThatFailsOverBehindSentinels: the sentinels elect the replica.
func TestRedisThatFailsOverBehindSentinels(t *testing.T) {
	t.Parallel()
	failovers(t, watchedMaster)
}

// watchedMaster is a master behind sentinels, with one replica.
func watchedMaster(t *testing.T) *failing {
	s := servers.RedisWatched(t, 1, "--appendonly", "yes")
	var sentinels []string
	for _, n := range s.Sentinels {
		sentinels = append(sentinels, n.Addr)
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "mymaster", SentinelAddrs: sentinels})
	t.Cleanup(func() { _ = c.Close() })
	m := newMortalRedis(t, "sentinel", s.Settings(), pushed(t, c))
	replica, away := s.Replicas[0], false
	follows(t, s.Master, replica)
	return &failing{mortal: m, shared: always,
		kill: func(string) { s.Master.Kill() },
		cutOff: func(string) {
			follows(t, s.Master, replica)
			replica.Kill()
			away = true
		},
		taken: func() {
			if away {
				replica.Restart()
			}
			elected(t, s, replica)
		}}
}

// elected returns when a replica is the master for all sentinels.
func elected(t *testing.T, s *servers.RedisSentinels, replica *servers.RedisServer) {
	t.Helper()
	eventually(t, "the replica is the master for all sentinels", func() bool {
		for _, n := range s.Sentinels {
			at, err := n.Client().Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").StringSlice()
			if err != nil || strings.Join(at, ":") != replica.Addr {
				return false
			}
		}
		return isMaster(t, replica)
	})
}

// TestRedisClusterThatFailsOver: the replica of one master takes its slots.
func TestRedisClusterThatFailsOver(t *testing.T) {
	t.Parallel()
	failovers(t, clusteredMaster)
}

// clusteredMaster are three masters of a cluster, with a replica each.
func clusteredMaster(t *testing.T) *failing {
	const masters = 3
	s := servers.RedisClusterOf(t, masters, 1, "--appendonly", "yes", "--cluster-replica-validity-factor", "0")
	c := s.Client()
	m := newMortalRedis(t, "cluster", s.Settings(), func(effect string) int {
		return pushed(t, s.Client())(effect) // one of its own, that looks for itself who has the slots now
	})
	of := func(effect string) int {
		slot, err := c.ClusterKeySlot(t.Context(), effect).Result()
		if err != nil {
			t.Fatal(err)
		}
		for i := range masters {
			if int(slot) < (i+1)*16384/masters {
				return i
			}
		}
		return masters
	}
	for i := range masters {
		follows(t, s.Nodes[i], s.Nodes[masters+i])
	}
	dead, away := 0, false
	return &failing{mortal: m, shared: func(effect, with string) bool { return of(effect) == of(with) },
		kill: func(effect string) {
			dead = of(effect)
			s.Nodes[dead].Kill()
		},
		cutOff: func(effect string) {
			follows(t, s.Nodes[of(effect)], s.Nodes[masters+of(effect)])
			s.Nodes[masters+of(effect)].Kill()
			away = true
		},
		taken: func() {
			if away {
				s.Nodes[masters+dead].Restart()
			}
			s.Until("every node that lives knows that the replica has the slots", func() bool {
				for i, n := range s.Nodes {
					nodes, err := n.Client().ClusterNodes(t.Context()).Result()
					if i != dead && (err != nil || !hasSlots(nodes, s.Nodes[masters+dead].Addr)) {
						return false
					}
				}
				return s.Whole()
			})
		}}
}

// TestAFailoverUnderALiveRunIsNoticed: the replica that takes over has not heard of what the run has done, which waits meanwhile and
// knows nothing of that. The next effect is not written there, and the resume says which steps are gone. So it is when a process before this
// one has done them.
func TestAFailoverUnderALiveRunIsNoticed(t *testing.T) {
	t.Parallel()
	const transaction, command, sweep = `transaction: [[SET, "{w}next", x]]`, `do: [SET, "{w}next", x]`, `sweep: {match: "{w}-*", action: unlink}, nodes: masters`
	for _, c := range []struct {
		open    func(t *testing.T) *failing
		resumed bool
		next    string
	}{{watchedMaster, false, transaction}, {watchedMaster, true, command}, {clusteredMaster, false, sweep}, {clusteredMaster, true, transaction}} {
		what, _, _ := strings.Cut(c.next, ":")
		t.Run(fmt.Sprintf("%s, resumed %t", what, c.resumed), func(t *testing.T) {
			c.open(t).failsOverAlive(c.resumed, "redis: {"+c.next+"}", "the failover has lost it; nothing was sent")
		})
	}
	t.Run("postgres behind one address", func(t *testing.T) {
		standbyBehind(t).failsOverAlive(false, insertNext, "does not have what was committed there last", "nothing was sent")
	})
}

const insertNext = `sql: {exec: "INSERT INTO ledger (k) VALUES ('next')"}`

// TestATargetThatIsPutBackUnderALiveRunIsNoticed: the run goes on where what it has done is gone, and is told so BEFORE it writes.
func TestATargetThatIsPutBackUnderALiveRunIsNoticed(t *testing.T) {
	t.Parallel()
	for name, open := range mortals {
		t.Run(name, func(t *testing.T) {
			m, _, _, yesterday := open(t)
			var putBack func()
			f := &failing{mortal: m, cutOff: func(string) { putBack = yesterday() }, kill: func(string) { putBack() }, taken: func() {}}
			next := insertNext
			if name == "redis" {
				next = "redis: {do: [SET, next, x]}"
			}
			f.failsOverAlive(name == "mysql", next, "last", "another server", "put back to an older state", "nothing was sent")
		})
	}
}

// failsOverAlive: next is what is to be written behind the failover, and says what is told of it.
func (f *failing) failsOverAlive(resumed bool, next string, says ...string) {
	f.t.Helper()
	const key, first = "{w}", 2
	text := strings.Replace(f.halves(first), "exec: {argv: [cat, copied]}", `wait: {until: [{file: {stat: copied}, expect: exists}], every: 20ms}`, 1)
	at := fmt.Sprintf("  - {id: e%d,", first)
	f.playbook("waits", strings.Replace(text, at, "  - {id: next, "+next+"}\n"+at, 1))
	f.cutOff(key + "-0")
	done := f.inBackground("run", "--yes", "waits", "-i", "key="+key)
	eventually(f.t, "the run waits", func() bool { return f.count(key+"-1") == 1 })
	if resumed {
		f.signals <- os.Interrupt
		(<-done).is(5)
		done = f.inBackground("resume", f.last())
		eventually(f.t, "the targets have been asked", func() bool {
			b, err := os.ReadFile(filepath.Join(f.state(), "runs", f.last(), "journal.jsonl"))
			return err == nil && bytes.Contains(b, []byte(`"memory_checked"`))
		})
	}
	f.kill(key + "-0")
	f.taken()
	f.write("copied", "")
	(<-done).is(1, append([]string{"step next"}, says...)...)
	f.forgets(key, 0, 1)
}

// pushed counts the elements of a list.
func pushed(t *testing.T, c redis.Cmdable) func(effect string) int {
	return func(effect string) int {
		t.Helper()
		var n int64
		eventually(t, "the ledger can be read", func() bool { // a client has to find out who is the master now
			var err error
			n, err = c.LLen(t.Context(), effect).Result()
			return err == nil
		})
		return int(n)
	}
}

// hasSlots looks for the node of an address in what CLUSTER NODES says: id, address, flags, master, ping, pong,
// epoch, link, and then the slots.
func hasSlots(nodes, addr string) bool {
	for _, line := range strings.Split(nodes, "\n") {
		f := strings.Fields(line)
		if len(f) > 8 && strings.HasPrefix(f[1], addr+"@") && strings.Contains(f[2], "master") {
			return true
		}
	}
	return false
}

func isMaster(t *testing.T, s *servers.RedisServer) bool {
	return strings.Contains(s.Client().Info(t.Context(), "replication").Val(), "role:master")
}

// follows returns when a replica has all that its master has.
func follows(t *testing.T, master, replica *servers.RedisServer) {
	t.Helper()
	info := func(s *servers.RedisServer, section, field string) string {
		_, rest, _ := strings.Cut(s.Client().Info(t.Context(), section).Val(), field+":")
		n, _, _ := strings.Cut(rest, "\r\n")
		return n
	}
	eventually(t, "the replica has what its master has", func() bool {
		return info(replica, "replication", "slave_repl_offset") == info(master, "replication", "master_repl_offset")
	})
	// What it got as a whole at first is in its file when that has been written anew; killed before, it comes back empty.
	eventually(t, "the replica has it on its disk", func() bool {
		return info(replica, "persistence", "aof_rewrite_in_progress") == "0" && info(replica, "persistence", "aof_rewrite_scheduled") == "0"
	})
}
