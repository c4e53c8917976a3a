// Package mysqlgroup stands in for the servers of a MySQL group replication. Each listens on the loopback, speaks MySQL's protocol
// and answers from a model of the group: who belongs to it, in which state, with which transactions. It is there because
// no MySQL can be had where the tests run, and MariaDB has no group replication.
//
// START, STOP and the settings do to the model what MySQL 8.0 does to a group: a server whose bootstrap setting is on begins a group of
// its own, whoever else has one; one that joins must not have transactions that the group does not have; a group that has lost its
// majority takes nobody in. A query is parsed and evaluated for real, over the tables of the model (see catalogue.go).
// It keeps no rows and no replication, and does nothing by a clock.
package mysqlgroup

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// State of a member, as it says it of itself.
type State string

// The states. One that another member cannot reach is UNREACHABLE in that one's view, whatever it says of itself.
const (
	Offline    State = "OFFLINE"
	Recovering State = "RECOVERING"
	Online     State = "ONLINE"
	Error      State = "ERROR"

	unreachable = "UNREACHABLE"
)

const misconfigured = "The server is not configured properly to be an active member of the group. Please see more details on error log."

// Name is the group's.
const Name = "6d657267-6500-4000-8000-000000000001"

// Group is all the servers.
type Group struct {
	Members []*Member

	mu         sync.Mutex
	bootstraps int
}

// team is what servers are a group of, at the moment. There is one, or something went wrong.
type team struct {
	members []*Member
	primary *Member
}

// Member is one server.
type Member struct {
	// Address is host:port.
	Address string

	g         *Group
	id        int
	server    *server
	uuid      string
	groupName string
	state     State
	running   bool // the plugin: it is with ERROR, too
	team      *team
	asked     int // how often it has said that it is recovering
	slow      int
	spoiled   bool
	refuses   bool
	during    func()
	bootstrap bool
	readOnly  bool
	alone     bool // nobody reaches it, and it reaches nobody
	executed  gtids
	received  gtids // certified, and not carried out yet
	sent      []string
}

// New starts the servers, none of which belongs to a group. They have the same 100 transactions.
func New(t testing.TB, members int) *Group {
	t.Helper()
	g := &Group{}
	for i := range members {
		m := &Member{g: g, id: i + 1, uuid: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i+1), groupName: Name, state: Offline, readOnly: true}
		m.executed, m.received = must(t, Name+":1-100"), gtids{}
		m.listen(t, "127.0.0.1:0")
		m.Address = m.server.address()
		g.Members = append(g.Members, m)
	}
	return g
}

// Formed starts servers that are a group, of which the first is the primary.
func Formed(t testing.TB, members int) *Group {
	t.Helper()
	g := New(t, members)
	all := &team{primary: g.Members[0]}
	for _, m := range g.Members {
		m.join(all, Online)
	}
	return g
}

func must(t testing.TB, text string) gtids {
	t.Helper()
	set, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Settings are those of a target with all of them.
func (g *Group) Settings() engine.Record {
	list := make(engine.List, len(g.Members))
	for i, m := range g.Members {
		list[i] = m.Address
	}
	return engine.Record{"addresses": list, "user": "ops", "password": "secret"}
}

// Bootstraps is how many groups were begun.
func (g *Group) Bootstraps() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bootstraps
}

// Sent are the statements that came to any server and were none that only read, in their order, each behind the number of
// its server; and forgets them.
func (g *Group) Sent() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, m := range g.Members {
		out = append(out, m.sent...)
		m.sent = nil
	}
	return out
}

// String is the states of all, and where the bootstrap setting is on.
func (g *Group) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	said := make([]string, len(g.Members))
	for i, m := range g.Members {
		said[i] = string(m.state)
		if m.team != nil && m.team.primary == m {
			said[i] += " primary"
		}
		if m.bootstrap {
			said[i] += " bootstrap"
		}
		if !m.server.up() {
			said[i] = "down"
		}
	}
	return strings.Join(said, ", ")
}

// Teams is how many groups there are.
func (g *Group) Teams() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var teams []*team
	for _, m := range g.Members {
		if m.team != nil && !slices.Contains(teams, m.team) {
			teams = append(teams, m.team)
		}
	}
	return len(teams)
}

// Has makes a server have other transactions: those carried out, and those that were certified and have not been yet.
func (m *Member) Has(t testing.TB, executed, received string) {
	t.Helper()
	a, b := must(t, executed), must(t, received)
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	m.executed, m.received = a, b
}

// Transactions are all that it has.
func (m *Member) Transactions() string {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	return m.executed.with(m.received).String()
}

// Leave has a server leave its group, into ERROR or OFFLINE.
func (m *Member) Leave(into State) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	m.leave(into)
}

// locked does something to a server that nobody else looks at meanwhile.
func (m *Member) locked(f func()) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	f()
}

// CutOff has a server reach none of the others, which do not reach it. They are a majority without it, and go on.
func (m *Member) CutOff() { m.locked(func() { m.alone = true }) }

// Arm switches the bootstrap setting on, as a line in the server's configuration does.
func (m *Member) Arm() { m.locked(func() { m.bootstrap = true }) }

// Slow is how often the server says that it is recovering BEFORE it is online.
func (m *Member) Slow(often int) { m.locked(func() { m.slow = often }) }

// Spoil has its next recovery end in an error.
func (m *Member) Spoil() { m.locked(func() { m.spoiled = true }) }

// Refuse has START GROUP_REPLICATION fail, as with a setting that is wrong.
func (m *Member) Refuse() { m.locked(func() { m.refuses = true }) }

// During is called in the middle of the next START GROUP_REPLICATION.
func (m *Member) During(f func()) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	m.during = f
}

// Rename gives the server another group's name.
func (m *Member) Rename(name string) { m.locked(func() { m.groupName = name }) }

// Alone begins a group of this server alone, as somebody does who bootstraps by hand.
func (m *Member) Alone() {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	m.leave(Offline)
	m.join(&team{primary: m}, Online)
}

// Kill ends the server. The others drop it if they are the majority; else they wait for it.
func (m *Member) Kill() {
	m.server.stop()
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	if m.team == nil {
		return
	}
	up := 0
	for _, o := range m.team.members {
		if o.server.up() {
			up++
		}
	}
	if 2*up > len(m.team.members) {
		m.leave(Offline)
	}
}

// Restart has it listen again at its address. It starts no group replication by itself.
func (m *Member) Restart(t testing.TB) {
	t.Helper()
	m.g.mu.Lock()
	m.state, m.running, m.bootstrap, m.team, m.readOnly = Offline, false, false, nil, true
	m.g.mu.Unlock()
	m.listen(t, m.Address)
}

func (m *Member) join(to *team, as State) {
	to.members = append(to.members, m)
	m.team, m.state, m.running, m.asked = to, as, true, 0
	m.readOnly = to.primary != m
	m.executed, m.received = m.executed.with(m.received), gtids{}
}

func (m *Member) leave(into State) {
	if t := m.team; t != nil {
		t.members = slices.DeleteFunc(slices.Clone(t.members), func(o *Member) bool { return o == m })
		if t.primary == m && len(t.members) > 0 {
			t.primary = t.members[0]
			t.primary.readOnly = false
		}
	}
	m.team, m.state, m.running, m.readOnly = nil, into, into == Error, true
}

// sees says whether two servers reach each other.
func (m *Member) sees(o *Member) bool {
	return m == o || !m.alone && !o.alone && m.server.up() && o.server.up()
}

// whole: the team has its majority, as the member sees it.
func (m *Member) whole() bool {
	if m.team == nil {
		return false
	}
	reached := 0
	for _, o := range m.team.members {
		if m.sees(o) {
			reached++
		}
	}
	return 2*reached > len(m.team.members)
}

// start is START GROUP_REPLICATION.
func (m *Member) start() error {
	m.g.mu.Lock()
	during := m.during
	m.during = nil
	m.g.mu.Unlock()
	if during != nil {
		during()
	}
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	if m.running {
		return failure(3093, "The START GROUP_REPLICATION command failed since the group is already running.")
	}
	if m.refuses {
		return failure(3092, misconfigured)
	}
	if m.bootstrap {
		m.g.bootstraps++
		m.join(&team{primary: m}, Online)
		return nil
	}
	for _, o := range m.g.Members {
		if o == m || o.state != Online || o.groupName != m.groupName || !m.sees(o) || !o.whole() {
			continue
		}
		has := o.executed.with(o.received)
		if len(m.executed.with(m.received).without(has)) > 0 {
			return failure(3092, misconfigured)
		}
		m.executed = m.executed.with(has)
		if m.slow > 0 || m.spoiled {
			m.join(o.team, Recovering)
		} else {
			m.join(o.team, Online)
		}
		return nil
	}
	return failure(3097, "The START GROUP_REPLICATION command failed as there was an error when joining the communication group.")
}

// recover is one step of the recovery; it goes on whenever the member is asked for its state.
func (m *Member) recover() {
	if m.state != Recovering {
		return
	}
	m.asked++
	switch {
	case m.asked <= m.slow:
	case m.spoiled:
		m.leave(Error)
	default:
		m.state = Online
	}
}
