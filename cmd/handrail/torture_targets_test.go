package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// mortal is a target of a test's own with a ledger in it, and five effects upon it one after the other.
type mortal struct {
	*ground
	// count asks the target itself how often an effect is there.
	count func(effect string) int
	// longest is how long a whole run takes.
	longest time.Duration
	asked   int             // how often a person was
	lost    map[string]bool // effects that the target had, and has no more, of which the engine has told
}

// effects is how many there are in one run.
const effects = 5

// newMortal writes the playbooks; step is an effect upon the target called it, of which %s is the name.
func newMortal(t *testing.T, kind string, settings engine.Record, step string, count func(effect string) int) *mortal {
	t.Helper()
	m := &mortal{ground: newGround(t), count: count, lost: map[string]bool{}}
	m.target("it", kind, settings)
	text := "inputs: {key: {type: string, description: the effects}}\ntargets: {it: " + kind + "}\nsteps:\n"
	for i := range effects {
		text += fmt.Sprintf("  - {id: e%d, "+step+"}\n", i, fmt.Sprintf("${{ inputs.key }}-%d", i))
	}
	m.playbook("dies", text)
	m.playbook("forgets", text+"  - {id: after, exec: {argv: [cat, there]}}\n")
	began := time.Now()
	m.handrail("run", "--yes", "dies", "-i", "key=whole").is(0)
	m.longest = time.Since(began)
	m.ledgered("whole")
	return m
}

const sqlEffect = `sql: {args: {k: "%s"}, transaction: [{exec: "INSERT INTO ledger (k) VALUES (:k)", expect: affected == 1}]}`

// newMortalSQL is a mortal whose ledger is a table.
func newMortalSQL(t *testing.T, kind string, settings engine.Record, open func() *sql.DB) *mortal {
	t.Helper()
	db := open()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (k VARCHAR(64))"); err != nil {
		t.Fatal(err)
	}
	return newMortal(t, kind, settings, sqlEffect, func(effect string) (n int) {
		db := open()
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger WHERE k = '"+effect+"'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	})
}

func newMortalRedis(t *testing.T, kind string, settings engine.Record, count func(effect string) int) *mortal {
	t.Helper()
	return newMortal(t, kind, settings, `redis: {transaction: [[RPUSH, "%s", x]]}`, count)
}

// ledgered asks for every effect of a run. Those that the target has lost, as a person was told, are not there.
func (m *mortal) ledgered(key string) {
	m.t.Helper()
	for i := range effects {
		effect := fmt.Sprintf("%s-%d", key, i)
		want := 1
		if m.lost[effect] {
			want = 0
		}
		if got := m.count(effect); got != want {
			m.t.Errorf("the effect %s is there %d times, not %d", effect, got, want)
		}
	}
}

// inDoubt are the steps of the last run that are.
func (m *mortal) inDoubt() (ids []string) {
	m.t.Helper()
	var v shown
	s := m.handrail("show", m.last(), "-o", "json")
	if err := json.Unmarshal([]byte(s.out), &v); err != nil {
		m.t.Fatalf("show: %v\n%s%s", err, s.out, s.errors)
	}
	for _, step := range v.Steps {
		if step.State == engine.InDoubt {
			ids = append(ids, step.ID)
		}
	}
	return ids
}

// untilDone resumes the last run to its end. In doubt, a person looks at the ledger.
func (m *mortal) untilDone(key string, code int) {
	m.t.Helper()
	for try := 0; code != 0; try++ {
		if try == 20 || code != 1 && code != 3 {
			m.t.Fatalf("%s: the run does not come to its end; exit %d", key, code)
		}
		if code == 3 {
			for _, id := range m.inDoubt() {
				m.resolve(id, key+"-"+strings.TrimPrefix(id, "e"))
			}
		}
		code = m.handrail("resume", m.last()).code
	}
	m.ledgered(key)
}

// resolve says what the ledger says. A step that was done, and is gone with what stood behind it, is not done
// again in this run: it is left out, and the playbook is run anew by whoever wants that.
func (m *mortal) resolve(step, effect string) {
	m.t.Helper()
	m.asked++
	if m.count(effect) > 0 {
		m.handrail("resolve", m.last(), step, "done", "--because", "I looked").is(0)
		return
	}
	s := m.handrail("resolve", m.last(), step, "not-done", "--because", "I looked")
	if s.code == 0 {
		return
	}
	s.is(2, "run the playbook anew")
	m.lost[effect] = true
	m.handrail("resolve", m.last(), step, "skip", "--because", "I looked").is(0)
}

// dies has the target die at some moment of a run, and come back by what revive does.
func (m *mortal) dies(r *rand.Rand, key string, kill, revive func()) {
	m.t.Helper()
	done := m.inBackground("run", "--yes", "dies", "-i", "key="+key)
	select {
	case s := <-done: // it was quicker than that, and what a target loses later is no longer its business
		m.untilDone(key, s.code)
		kill()
		revive()
	case <-time.After(time.Duration(r.Int64N(int64(m.longest)))):
		kill()
		revive()
		m.untilDone(key, (<-done).code)
	}
}

// forgets: the target has lost effects which the run knows to be done. The resume must stop and say so, and do
// nothing.
func (m *mortal) forgets(key string, lost ...int) {
	m.t.Helper()
	var gone []string
	for _, i := range lost {
		gone = append(gone, fmt.Sprintf("e%d", i))
	}
	m.handrail("resume", m.last()).is(3, "In doubt", "target it does not hold the marker of "+strings.Join(gone, ", ")+
		" any more: it was restored, failed over, or is another server", fmt.Sprintf("resolve %s %s done|skip", m.last(), gone[0]))
	m.write("there", "")
	defer func() { _ = os.Remove(filepath.Join(m.dir, "there")) }()
	m.untilDone(key, 3)
	for i := range effects {
		if told := m.lost[fmt.Sprintf("%s-%d", key, i)]; told != slices.Contains(lost, i) {
			m.t.Errorf("%s: of e%d a person was told %t", key, i, told)
		}
	}
}

// from are the numbers of the effects from the one called first on.
func from(first int) (out []int) {
	for i := first; i < effects; i++ {
		out = append(out, i)
	}
	return out
}

// mortals are the targets that are one process.
var mortals = map[string]func(t *testing.T) (m *mortal, kill, restart func(), yesterday func() func()){
	"mysql": func(t *testing.T) (*mortal, func(), func(), func() func()) {
		s := servers.PrivateMySQL(t)
		settings := s.Settings()
		return newMortalSQL(t, "mysql", settings, func() *sql.DB { return servers.Open(t, settings) }), s.Kill, s.Restart, s.Yesterday
	},
	"postgres": func(t *testing.T) (*mortal, func(), func(), func() func()) {
		s := servers.PrivatePostgres(t)
		settings := s.Settings()
		return newMortalSQL(t, "postgres", settings, func() *sql.DB { return servers.OpenPostgres(t, settings) }), s.Kill, s.Restart, s.Yesterday
	},
	"redis": func(t *testing.T) (*mortal, func(), func(), func() func()) {
		s := servers.Redis(t, "--appendonly", "yes")
		m := newMortalRedis(t, "redis", s.Settings(), pushed(t, s.Client()))
		return m, s.Kill, s.Restart, s.Yesterday
	},
}

// TestATargetThatDiesLosesAndRepeatsNothing kills the server at any moment of a run, and starts it again.
func TestATargetThatDiesLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, open := range mortals {
		t.Run(name, func(t *testing.T) {
			m, kill, restart, _ := open(t)
			r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 6))
			times := 0
			for i := range torture.Turns(t, 1, 1, 100) {
				times++
				m.dies(r, fmt.Sprintf("d%d", i), kill, restart)
			}
			torture.Figure(t, 6, "%d deaths in the middle of a run, a person was asked of %d steps, 0 lost, 0 twice", times, m.asked)
		})
	}
}

// TestATargetThatIsPutBackToYesterday: what finished steps did is gone with their markers.
func TestATargetThatIsPutBackToYesterday(t *testing.T) {
	t.Parallel()
	for name, open := range mortals {
		t.Run(name, func(t *testing.T) {
			m, _, _, yesterday := open(t)
			m.yesterdays(yesterday)
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ledger.db")
		open := func() *sql.DB { return openSQLite(t, file) }
		m := newMortalSQL(t, "sqlite", engine.Record{"file": file}, open)
		m.yesterdays(func() func() {
			copied, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.WriteFile(file+".new", copied, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// yesterdays puts the target back over and over. Each time the copy is of a moment at which the run had had another
// part of its effects.
func (m *mortal) yesterdays(yesterday func() (putBack func())) {
	times, all := 0, torture.Times(m.t, 2, effects, 100)
	for i := range torture.Turns(m.t, 2, effects, 100) {
		times++
		key, first := fmt.Sprintf("y%d", i), (i+all-1)%effects
		m.inHalves(key, first, yesterday)()
		m.forgets(key, from(first)...)
	}
	torture.Figure(m.t, 6, "put back to yesterday %d times, noticed each time, %d lost effects told of, 0 twice", times, len(m.lost))
}

// inHalves runs the playbook up to the effect called first, does something there, and goes on to its last effect;
// behind that the run fails.
func (m *mortal) inHalves(key string, first int, between func() func()) (afterwards func()) {
	m.t.Helper()
	m.playbook("halves", m.halves(first))
	_ = os.Remove(filepath.Join(m.dir, "copied")) // it is not there at first
	m.handrail("run", "--yes", "halves", "-i", "key="+key).is(1)
	afterwards = between()
	m.write("copied", "")
	m.handrail("resume", m.last()).is(1)
	m.ledgered(key)
	return afterwards
}

// halves is the playbook with a step that waits for the copy in front of the effect called first.
func (m *mortal) halves(first int) string {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, "playbooks", "forgets.yaml"))
	if err != nil {
		m.t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n")
	at := fmt.Sprintf("  - {id: e%d,", first)
	return strings.Replace(text, at, "  - {id: copied, exec: {argv: [cat, copied]}}\n"+at, 1)
}
