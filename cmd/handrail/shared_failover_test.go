package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// behindSentinels are two hosts whose locks are kept by a Redis behind sentinels.
func behindSentinels(t *testing.T, bin string) (*hosts, *servers.RedisSentinels) {
	t.Helper()
	s := servers.RedisWatched(t, 1)
	var sentinels []string
	for _, n := range s.Sentinels {
		sentinels = append(sentinels, n.Addr)
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "mymaster", SentinelAddrs: sentinels})
	t.Cleanup(func() { _ = c.Close() })
	k := keysKeeper(t, "sentinel", s.Settings(), c)
	count := pushed(t, c)
	k.built, k.times = bin, func(key string) int { return count("ledger:{" + key + "}") }
	return newHosts(t, k), s
}

// TestALockBehindSentinelsThatFailOver: the master that has a lock dies. If its replica has heard of the lock, nothing is lost; if not,
// another host may get it, and the run that had it finds that out BEFORE its next effect.
func TestALockBehindSentinelsThatFailOver(t *testing.T) {
	bin := newFileStand(t).bin
	t.Run("heard of", func(t *testing.T) {
		t.Parallel()
		h, s := behindSentinels(t, bin)
		a, id := h.begin("alpha", "one")
		follows(t, s.Master, s.Replicas[0])
		s.Master.Kill()
		elected(t, s, s.Replicas[0])
		h.do("beta", 4, "handrail cancel "+id, guarded("two")...)
		h.let("one")
		h.let("two")
		h.ended(a, a.Wait(), 0, "")
		h.counted("one", 1)
		h.do("beta", 0, "", guarded("two")...)
		h.counted("two", 1)
	})
	t.Run("never heard of", func(t *testing.T) {
		t.Parallel()
		h, s := behindSentinels(t, bin)
		follows(t, s.Master, s.Replicas[0])
		s.Replicas[0].Kill()
		a, id := h.begin("alpha", "one")
		s.Master.Kill()
		s.Replicas[0].Restart()
		elected(t, s, s.Replicas[0])
		b, other := h.begin("beta", "two")
		h.let("one")
		said := h.ended(a, a.Wait(), 5, "not this run's any more")
		if !strings.Contains(said, other) || !strings.Contains(said, "@beta") {
			t.Errorf("it does not say who has the lock:\n%s", said)
		}
		h.counted("one", 0)
		s.Master.Restart() // it comes back with the lock of the first, and hears that it is a replica now
		eventually(t, "the old master is a replica", func() bool {
			return strings.Contains(s.Master.Client().Info(t.Context(), "replication").Val(), "role:slave")
		})
		h.do("alpha", 4, other, "resume", id)
		h.let("two")
		h.ended(b, b.Wait(), 0, "")
		h.do("alpha", 0, "", "resume", id)
		h.counted("one", 1)
		h.counted("two", 1)
	})
}
