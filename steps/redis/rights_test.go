package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
)

// lacks are what doctor would say of a step, one a line: "fails: …" or "may fail: …".
func (w *world) lacks(c engine.Call) string {
	w.t.Helper()
	list, err := w.decode(c).(steps.Checker).Check(w.t.Context(), w.env(c, steps.ReadOnly))
	if err != nil {
		w.t.Fatal(err)
	}
	return told(list)
}

func told(list []engine.Lack) string {
	var b strings.Builder
	for _, l := range list {
		word := "fails: "
		if l.Unsure {
			word = "may fail: "
		}
		b.WriteString(word + l.What + " | " + l.Remedy + "\n")
	}
	return b.String()
}

// as is the same server for another user.
func (w *world) as(user string, rights ...any) *world {
	w.t.Helper()
	w.do(append([]any{"ACL", "SETUSER", user, "on", ">pw-of-" + user}, rights...)...)
	other := *w
	settings := engine.Record{"user": user, "password": engine.NewSecret("p", "pw-of-"+user)}
	for k, v := range w.target.Settings {
		if settings[k] == nil {
			settings[k] = v
		}
	}
	other.target.Settings = settings
	return &other
}

func TestRightsAreAskedForLongBefore(t *testing.T) {
	w := newWorld(t, "--appendonly", "yes")
	w.do("SET", "a", "1")
	all := []engine.Call{
		call("do", do("SET", "a", "2")), call("do", do("GET", "a")), call("info", engine.Record{"info": "memory"}), call("transaction", transaction(words("INCR", "b"))),
		call("script", engine.Record{"script": "return 1", "keys": words("b")}), call("snapshot", snapshot), call("rewrite_aof", rewrite),
		countOf("r:*", "size > 10"), sweepOf("r:*", "ttl == -1 and idle >= 1h", nil), call("do", engine.Record{"do": words("SET", engine.Unknown{}, "2")}),
	}
	for _, c := range all {
		if said := w.lacks(c); said != "" {
			t.Errorf("the default user may do everything: %s: %s", c.Operation, said)
		}
	}
	reader := w.as("reader", "~a", "+@read", "+@connection", "+info", "+acl|dryrun", "+acl|whoami")
	for i, want := range []string{"run the 'set'", "", "", "run the 'incr'", "run the 'eval'", "run the 'bgsave'", "run the 'bgrewriteaof'", "", "run the 'unlink'", "run the 'set'"} {
		said := reader.lacks(all[i])
		lacking := strings.Contains(said, "fails: redis") && strings.Contains(said, "give the right with ACL SETUSER")
		if want == "" && said != "" || want != "" && (!lacking || !strings.Contains(said, want)) {
			t.Errorf("%s: %q, not %q", all[i].Operation, said, want)
		}
	}
	if said := reader.lacks(call("do", do("GET", "b"))); !strings.Contains(said, "'b' key") {
		t.Errorf("another key: %q", said)
	}
	if said := reader.lacks(call("do", engine.Record{"do": words("GET", engine.Unknown{})})); said != "" {
		t.Errorf("a key that is not known: %q", said)
	}
	half := w.as("half", "~data:*", "+@all")
	if said := half.lacks(call("transaction", transaction(words("INCR", "data:b")))); strings.Contains(said, "\nfails") || !strings.Contains(said, "may fail: ") || !strings.Contains(said, "AFTER a crash") {
		t.Errorf("a user who can keep no marker: %q", said)
	}
	if w.do("GET", "a") != "1" || w.do("EXISTS", "b") != int64(0) {
		t.Error("something was carried out")
	}
}

func TestRightsThatCannotBeAskedForAreNotKnown(t *testing.T) {
	w := newWorld(t)
	blind := w.as("blind", "~*", "+@all", "-acl")
	if said := blind.lacks(call("do", do("SET", "a", "2"))); !strings.Contains(said, "may fail: ") || !strings.Contains(said, "is not known: it may not ask") {
		t.Errorf("%q", said)
	}
	for flags, want := range map[string]string{"on allkeys allcommands": "", "on": "is not known: the server has no ACL DRYRUN"} {
		m := older(t, strings.Fields(flags))
		old := &world{t: t, target: targetOf(engine.Record{"address": m.Addr()})}
		said := old.lacks(call("do", do("GET", "a")))
		if want == "" && said != "" || !strings.Contains(said, want) {
			t.Errorf("%s: %q", flags, said)
		}
	}
	without := &world{t: t, target: targetOf(engine.Record{"address": miniredis.RunT(t).Addr()})}
	if said := without.lacks(call("do", do("GET", "a"))); said != "" {
		t.Errorf("a server without users: %q", said)
	}
	settings := targetOf(engine.Record{"address": miniredis.RunT(t).Addr(), "rename": engine.Record{"SET": ""}})
	renamed := &world{t: t, target: settings}
	if said := renamed.lacks(call("do", do("SET", "a", "1"))); !strings.Contains(said, "fails: ") || !strings.Contains(said, "disabled") {
		t.Errorf("%q", said)
	}
}

// older is a server that answers to ACL as Redis 6 does.
func older(t *testing.T, flags []string) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.RunT(t)
	err := m.Server().Register("ACL", func(c *server.Peer, _ string, args []string) {
		if len(args) == 2 && strings.EqualFold(args[0], "GETUSER") && args[1] == "default" {
			c.WriteLen(2)
			c.WriteBulk("flags")
			c.WriteLen(len(flags))
			for _, f := range flags {
				c.WriteBulk(f)
			}
			return
		}
		c.WriteError("ERR Unknown subcommand or wrong number of arguments for '" + args[0] + "'. Try ACL HELP.")
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheClockOfRedisIsHeldAgainstThisOne(t *testing.T) {
	m := miniredis.RunT(t)
	examined := func() string {
		t.Helper()
		conn, err := redis.New().Connect(t.Context(), targetOf(engine.Record{"address": m.Addr()}), steps.ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		list, err := conn.(steps.Examiner).Examine(t.Context(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return told(list)
	}
	if said := examined(); said != "" {
		t.Errorf("%q", said)
	}
	m.SetTime(time.Now().Add(time.Hour))
	if said := examined(); !strings.Contains(said, "may fail: the clock of redis "+m.Addr()) || !strings.Contains(said, "ahead of this machine's | set both by NTP") {
		t.Errorf("%q", said)
	}
}
