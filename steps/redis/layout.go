package redis

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// slotRange is a row of slots, both ends included.
type slotRange struct{ from, to int }

func (r slotRange) String() string {
	if r.from == r.to {
		return strconv.Itoa(r.from)
	}
	return fmt.Sprintf("%d-%d", r.from, r.to)
}

func rangesText(list []slotRange) string {
	parts := make([]string, len(list))
	for i, r := range list {
		parts[i] = r.String()
	}
	return strings.Join(parts, " ")
}

// member is one node of a cluster, as one of the nodes sees it.
type member struct {
	id      string
	address string // as it announces itself, or, for the one that was asked, where it was asked
	bus     int    // the port by which nodes talk to each other
	myself  bool
	replica bool
	master  string // of a replica: the id
	failed  bool   // the cluster has marked it
	suspect bool   // the node that was asked cannot reach it
	joining bool   // it was met and has not answered yet
	linked  bool
	epoch   int64
	slots   []slotRange
	moving  []string // slots on their way, as only the node itself shows them: [77->-ID]
}

func (m member) count() int {
	n := 0
	for _, r := range m.slots {
		n += r.to - r.from + 1
	}
	return n
}

// role is what a node is, for people.
func (m member) role() string {
	if m.replica {
		return "replica"
	}
	return "master"
}

// layout is a cluster as one of its nodes sees it.
type layout struct {
	members []member // by address
	from    *node    // who was asked
}

func (l *layout) myself() member {
	for _, m := range l.members {
		if m.myself {
			return m
		}
	}
	return member{}
}

func (l *layout) byID(id string) (member, bool) {
	i := slices.IndexFunc(l.members, func(m member) bool { return m.id == id })
	if i < 0 {
		return member{}, false
	}
	return l.members[i], true
}

// owner is the node that has a slot.
func (l *layout) owner(slot int) (member, bool) {
	for _, m := range l.members {
		for _, r := range m.slots {
			if slot >= r.from && slot <= r.to {
				return m, true
			}
		}
	}
	return member{}, false
}

// uncovered are the slots that no node has, or one that is marked as failed.
func (l *layout) uncovered() []slotRange {
	var covered [slots]bool
	for _, m := range l.members {
		if m.failed {
			continue
		}
		for _, r := range m.slots {
			for s := r.from; s <= r.to; s++ {
				covered[s] = true
			}
		}
	}
	return rangesOf(func(s int) bool { return !covered[s] })
}

func rangesOf(has func(slot int) bool) []slotRange {
	var out []slotRange
	for s := 0; s < slots; s++ {
		if !has(s) {
			continue
		}
		from := s
		for s+1 < slots && has(s+1) {
			s++
		}
		out = append(out, slotRange{from, s})
	}
	return out
}

// view is the layout as far as nodes must agree on it: who has which slots, and who follows whom.
func (l *layout) view() string {
	var lines []string
	for _, m := range l.members {
		if m.replica || len(m.slots) > 0 {
			lines = append(lines, m.id+" "+m.master+" "+rangesText(m.slots))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// parseLayout reads an answer of CLUSTER NODES. asked is the address that was asked; a node does not know
// its own before another has met it. names prefers the hostname that a node announces, for TLS.
func parseLayout(text, asked string, names bool) (*layout, error) {
	l := &layout{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		if len(f) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES answered a line that is not understood: %q", line)
		}
		m := member{id: f[0], linked: f[7] == "connected"}
		m.flags(f[2])
		m.at(f[1], asked, names)
		if f[3] != "-" {
			m.master = f[3]
		}
		m.epoch, _ = strconv.ParseInt(f[6], 10, 64)
		for _, s := range f[8:] {
			if strings.HasPrefix(s, "[") {
				m.moving = append(m.moving, s)
				continue
			}
			r, err := parseRange(s)
			if err != nil {
				return nil, err
			}
			m.slots = append(m.slots, r)
		}
		l.members = append(l.members, m)
	}
	slices.SortFunc(l.members, func(a, b member) int { return strings.Compare(a.address+a.id, b.address+b.id) })
	return l, nil
}

func (m *member) flags(list string) {
	for _, flag := range strings.Split(list, ",") {
		switch flag {
		case "myself":
			m.myself, m.linked = true, true
		case "slave":
			m.replica = true
		case "fail":
			m.failed = true
		case "fail?":
			m.suspect = true
		case "handshake":
			m.joining = true
		}
	}
}

// at reads ip:port@bus,hostname,….
func (m *member) at(text, asked string, names bool) {
	where, more, _ := strings.Cut(text, ",")
	where, bus, _ := strings.Cut(where, "@")
	m.bus, _ = strconv.Atoi(bus)
	host, port := where, ""
	if i := strings.LastIndexByte(where, ':'); i >= 0 {
		host, port = where[:i], where[i+1:]
	}
	name, _, _ := strings.Cut(more, ",")
	if names && name != "" && name != "?" {
		host = name
	}
	switch {
	case host == "" && m.myself:
		m.address = asked
	case host != "" && port != "0":
		m.address = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
}

func parseRange(s string) (slotRange, error) {
	a, b, row := strings.Cut(s, "-")
	if !row {
		b = a
	}
	from, err := strconv.Atoi(a)
	to, errTo := strconv.Atoi(b)
	if err != nil || errTo != nil || from < 0 || to >= slots || from > to {
		return slotRange{}, fmt.Errorf("CLUSTER NODES answered %q where slots should stand", s)
	}
	return slotRange{from, to}, nil
}
