package redis

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
)

// watch are the sentinels of a target, who know which server is the master of a name.
type watch struct {
	name      string
	line      line
	sentinels []*node
}

func (w *watch) open(addresses []string) error {
	for _, a := range addresses {
		n, err := w.line.open(withPort(a, w.line.port), false)
		if err != nil {
			return err
		}
		w.sentinels = append(w.sentinels, n)
	}
	return nil
}

func (w *watch) close() error {
	var errs []error
	for _, n := range w.sentinels {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// sighting is what one sentinel says of the master.
type sighting struct {
	sentinel string
	master   string // its address
	epoch    int64  // counts the failovers; the higher one is the later one
	others   int64  // other sentinels that it knows
	down     bool   // it cannot reach the master
}

// split is sentinels that name different masters: a failover is under way, or some are cut off.
type split struct{ sightings []sighting }

func (e split) Error() string {
	parts := make([]string, len(e.sightings))
	for i, s := range e.sightings {
		parts[i] = fmt.Sprintf("%s says %s (epoch %d)", s.sentinel, s.master, s.epoch)
	}
	return "the sentinels disagree about the master: " + strings.Join(parts, ", ") +
		"; nothing was sent; wait until the failover is over, or mend the sentinels that are cut off"
}

// ask asks every sentinel for the master. Where they differ, the highest epoch counts if most of those who
// answer have it: a sentinel that was away for a while still tells the old one.
func (w *watch) ask(ctx context.Context) ([]sighting, error) {
	seen := make([]sighting, len(w.sentinels))
	errs := make([]error, len(w.sentinels))
	var all sync.WaitGroup
	for i, n := range w.sentinels {
		all.Go(func() { seen[i], errs[i] = w.askOne(ctx, n) })
	}
	all.Wait()
	var answers []sighting
	for i, err := range errs {
		if err == nil {
			answers = append(answers, seen[i])
		}
	}
	if len(answers) == 0 {
		return nil, fmt.Errorf("no sentinel names the master %s: %w", w.name, errors.Join(errs...))
	}
	sort.SliceStable(answers, func(i, j int) bool { return answers[i].epoch > answers[j].epoch })
	for _, s := range answers[1:] {
		if s.master != answers[0].master && !mostSay(answers, answers[0]) {
			return nil, split{answers}
		}
	}
	return answers, nil
}

// mostSay: most of them know this master of this epoch.
func mostSay(answers []sighting, s sighting) bool {
	n := 0
	for _, a := range answers {
		if a.master == s.master && a.epoch == s.epoch {
			n++
		}
	}
	return n > len(answers)/2
}

func (w *watch) askOne(ctx context.Context, n *node) (sighting, error) {
	v, err := n.ask(ctx, "ask for the master "+w.name, "SENTINEL", "MASTER", w.name)
	if err != nil {
		return sighting{}, err
	}
	r := texts(v)
	s := sighting{sentinel: n.address, master: withPort(r["ip"], r["port"])}
	s.epoch, _ = strconv.ParseInt(r["config-epoch"], 10, 64)
	s.others, _ = strconv.ParseInt(r["num-other-sentinels"], 10, 64)
	s.down = strings.Contains(r["flags"], "down")
	if r["ip"] == "" || r["port"] == "" {
		return s, fmt.Errorf("redis %s: SENTINEL MASTER %s names no address; is it a sentinel?", n.address, w.name)
	}
	return s, nil
}

// replicas are the addresses of the master's replicas, as the sentinels that answer know them together.
func (w *watch) replicas(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	var errs []error
	answered := false
	for _, n := range w.sentinels {
		v, err := n.ask(ctx, "ask for the replicas of "+w.name, "SENTINEL", "REPLICAS", w.name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		answered = true
		list, _ := v.(engine.List)
		for _, e := range list {
			if r := texts(e); r["ip"] != "" {
				found[withPort(r["ip"], r["port"])] = true
			}
		}
	}
	if !answered {
		return nil, errors.Join(errs...)
	}
	return engine.Keys(recordOfNames(found)), nil
}

func recordOfNames(names map[string]bool) engine.Record {
	r := make(engine.Record, len(names))
	for n := range names {
		r[n] = nil
	}
	return r
}

// texts is a reply of pairs as a map of texts.
func texts(v engine.Value) map[string]string {
	r, _ := pairUp(v).(engine.Record)
	out := make(map[string]string, len(r))
	for k, e := range r {
		out[k] = engine.Text(e)
	}
	return out
}
