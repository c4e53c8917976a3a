package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/objective"
)

// How far back is looked for runs of which nothing is remembered: those before there was a memory, of playbooks that promise
// nothing, and one whose process was killed between its end and the note of it.
const (
	lookBack   = 200 // runs, of any playbook: their first and last line
	replayMost = 20  // of this playbook: their whole journal
)

// history are the times of the last good runs of a playbook, newest first. A number of small files and of journals is
// read that does not grow with the number of runs. It changes nothing.
func (a *app) history(name string) ([]objective.Times, error) {
	s, err := a.state()
	if err != nil {
		return nil, nil // no place for runs: there were none
	}
	kept, err := s.Recall(name)
	if err != nil {
		return nil, err
	}
	var out []objective.Times
	known := map[string]bool{}
	for _, k := range kept {
		var t objective.Times
		if json.Unmarshal(k.Data, &t) == nil && t.Run == k.Run && t.Succeeded() { // else: the journal has it
			known[k.Run] = true
			out = append(out, t)
		}
	}
	more, err := a.fromJournals(s, name, known)
	if err != nil {
		return nil, err
	}
	out = append(out, more...)
	slices.SortFunc(out, func(x, y objective.Times) int { return y.Started.Compare(x.Started) }) // ids of one second do not sort
	return out, nil
}

// fromJournals replays the last good runs of which nothing is remembered. A journal that cannot be read is a matter of
// `audit`, not of this.
func (a *app) fromJournals(s *journal.Store, name string, known map[string]bool) ([]objective.Times, error) {
	ids, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []objective.Times
	for _, id := range ids[:min(len(ids), lookBack)] {
		if known[id] {
			continue
		}
		sum, err := s.Summary(id)
		if err != nil || sum.Playbook != name || sum.State != engine.RunOK && sum.State != engine.RunDegraded {
			continue
		}
		if t, err := timesOf(s, id); err == nil && t.Succeeded() {
			out = append(out, t)
		}
		if len(out) == replayMost {
			break
		}
	}
	return out, nil
}

func timesOf(s *journal.Store, id string) (objective.Times, error) {
	r, err := s.Read(id)
	if err != nil {
		return objective.Times{}, err
	}
	w := objective.NewStopwatch()
	err = r.Replay(func(e engine.Stamped) error { w.Hear(e); return nil })
	return w.Times(), errors.Join(err, r.Close())
}

// remember keeps the times of a run that has come to a good end, for the forecasts of the next. Only of playbooks that promise
// something: nobody asks about the others often enough. It comes AFTER the end is durable, and a failure is told and no more.
func (s *session) remember() {
	o := s.loaded.pb.Objectives
	if s.pace == nil || o.RTO == 0 && o.RPO == 0 {
		return
	}
	t := s.pace.Times()
	if !t.Succeeded() {
		return
	}
	data, err := json.Marshal(t)
	if err == nil {
		err = s.store.Remember(t.Playbook, t.Run, append(data, '\n'))
	}
	if err != nil {
		s.app.say("warning: %s", err)
	}
}

// pacer holds the run against its RTO from now on. What happened before this process had it is heard first.
func (s *session) pacer() {
	pb := s.loaded.pb
	if pb.Objectives.RTO == 0 && pb.Objectives.RPO == 0 {
		return
	}
	past, err := s.app.history(pb.Name)
	if err != nil {
		s.app.say("warning: how long the runs before took cannot be read: %s", err)
	}
	s.pace = objective.NewPace(pb, objective.Past(past, s.origin.Environment))
	if err := s.journal.Replay(func(e engine.Stamped) error { s.pace.Hear(e); return nil }); err != nil {
		s.app.say("warning: %s", err)
		s.pace = nil
	}
}

// begin says until when the run should be done.
func (s *session) begin() {
	if s.pace == nil || s.pace.RTO() == 0 {
		return
	}
	now := s.app.now()
	if left := s.pace.Left(now); left > 0 {
		line := fmt.Sprintf("the RTO of %s ends at %s", view.Duration(s.pace.RTO()), now.Add(left).Local().Format("15:04:05"))
		if a := s.pace.Ahead(now); a.Runs > 0 {
			line += fmt.Sprintf("; by the runs before (%d) what is to come takes %s, or up to %s", a.Runs, view.Duration(a.P50), view.Duration(a.P95))
		}
		s.app.say("%s", line)
	}
	s.keepPace()
}

// paceEvery is how often the forecast is made anew at most: it goes over all steps.
const paceEvery = 250 * time.Millisecond

// keepPace tells what is new about the RTO.
func (s *session) keepPace() {
	now := s.app.now()
	if s.pace == nil || s.pace.RTO() == 0 || now.Sub(s.paced) < paceEvery {
		return
	}
	s.paced = now
	if a := s.pace.Ahead(now); a.Runs > 0 {
		s.progress.Expect(now.Add(a.P50), now.Add(a.P95))
	}
	for _, line := range s.pace.News(now, view.Duration) {
		s.progress.Warn(line)
		if s.app.json() {
			s.app.say("warning: %s", line)
		}
	}
}
