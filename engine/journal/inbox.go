package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Ask is what another process wants of a run.
type Ask string

// The asks.
const (
	AskApprove Ask = "approve"
	AskReject  Ask = "reject"
	AskResolve Ask = "resolve"
	AskCancel  Ask = "cancel"
)

// Request is a file in a run's inbox. The owner of the journal turns it into an event, and removes it
// only AFTER the event is durable.
type Request struct {
	Ask     Ask               `json:"ask"`
	Step    string            `json:"step,omitempty"`
	Digest  string            `json:"digest,omitempty"` // of what was shown to the person who approves
	As      engine.Resolution `json:"as,omitempty"`
	Because string            `json:"because,omitempty"`
	Undo    bool              `json:"undo,omitempty"`
	By      engine.Person     `json:"by"`
	At      time.Time         `json:"at"`

	// Name is the file's, set when it was read.
	Name string `json:"-"`
}

// Recorded tells whether an event is what became of the request. A process that died between its
// durable event and the removal of the request leaves both.
//
// The event names its request. One of an older version does not; it is told by who asked for what, and by the
// clock, which may have been set back in between.
func (r Request) Recorded(s engine.Stamped) bool {
	if name := requestOf(s.Event); name != "" {
		return name == r.Name
	}
	if s.At.Before(r.At) {
		return false
	}
	switch e := s.Event.(type) {
	case engine.ApprovalGiven:
		return r.Ask == AskApprove && e.By == r.By && (r.Step == "" || r.Step == e.Step)
	case engine.ApprovalRefused:
		return r.Ask == AskReject && e.By == r.By && (r.Step == "" || r.Step == e.Step)
	case engine.StepResolved:
		return r.Ask == AskResolve && e.By == r.By && r.Step == e.Step && r.As == e.As
	case engine.CancelAsked:
		return r.Ask == AskCancel && e.By == r.By && r.Undo == e.Undo
	}
	return false
}

func requestOf(e engine.Event) string {
	switch e := e.(type) {
	case engine.ApprovalGiven:
		return e.Request
	case engine.ApprovalRefused:
		return e.Request
	case engine.StepResolved:
		return e.Request
	case engine.CancelAsked:
		return e.Request
	}
	return ""
}

// From says in an event that it comes from this request.
func (r Request) From(e engine.Event) engine.Event {
	switch e := e.(type) {
	case engine.ApprovalGiven:
		e.Request = r.Name
		return e
	case engine.ApprovalRefused:
		e.Request = r.Name
		return e
	case engine.StepResolved:
		e.Request = r.Name
		return e
	case engine.CancelAsked:
		e.Request = r.Name
		return e
	}
	return e
}

// Put lays a request into the inbox. It is on the medium when Put returns.
func (s *Store) Put(id string, r Request) (Request, error) {
	d, err := s.existing(id)
	if err != nil {
		return r, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	r.Name = fmt.Sprintf("%s-%d.json", r.At.UTC().Format("20060102T150405.000000000"), r.By.PID)
	temp, final := inRun(id, path.Join(inboxFolder, ".new-"+r.Name)), inRun(id, path.Join(inboxFolder, r.Name))
	if err = writeFile(d, temp, b); err == nil {
		if err = d.Rename(temp, final); err == nil {
			err = syncFolder(d, inRun(id, inboxFolder))
		}
	}
	if err != nil {
		return r, &Fault{Doing: "put a request into", Path: s.Folder(id, inboxFolder), Err: err}
	}
	return r, nil
}

// Requests reads the inbox, oldest first. A file that is no request is put aside as .bad.
func (s *Store) Requests(id string) ([]Request, error) {
	d, err := s.existing(id)
	if err != nil {
		return nil, err
	}
	all, err := names(d, inRun(id, inboxFolder))
	if err != nil {
		return nil, fmt.Errorf("read the inbox of run %s: %w", id, err)
	}
	sort.Strings(all)
	var out []Request
	for _, name := range all {
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".json") {
			continue
		}
		file := inRun(id, path.Join(inboxFolder, name))
		b, err := readFile(d, file, 1<<20)
		if errors.Is(err, fs.ErrNotExist) { // the owner has just taken it
			continue
		}
		r := Request{}
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			if err := d.Rename(file, file+".bad"); err != nil {
				return nil, fmt.Errorf("put the unreadable request %s aside: %w", name, err)
			}
			continue
		}
		r.Name = name
		out = append(out, r)
	}
	return out, nil
}

// Remove takes a request out of the inbox, AFTER its event is durable or it was refused. reason, if not
// empty, is left for the one who asked.
func (s *Store) Remove(id string, r Request, reason string) error {
	d, err := s.existing(id)
	if err != nil {
		return err
	}
	file := inRun(id, path.Join(inboxFolder, r.Name))
	if reason != "" {
		answer := strings.TrimSuffix(file, ".json") + ".refused"
		if err := writeFile(d, answer, []byte(reason)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("answer the request %s: %w", r.Name, err)
		}
	}
	if err := d.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the request %s: %w", r.Name, err)
	}
	return nil
}

// Answered tells whether a request was taken out of the inbox, and why it was refused, if it was. The
// reason is taken away with the question.
func (s *Store) Answered(id string, r Request) (done bool, refused string, err error) {
	d, err := s.existing(id)
	if err != nil {
		return false, "", err
	}
	if _, err := readFile(d, inRun(id, path.Join(inboxFolder, r.Name)), 1<<20); !errors.Is(err, fs.ErrNotExist) {
		return false, "", err
	}
	answer := inRun(id, path.Join(inboxFolder, strings.TrimSuffix(r.Name, ".json")+".refused"))
	b, err := readFile(d, answer, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return true, "", nil
	}
	if err != nil {
		return false, "", err
	}
	return true, string(b), d.Remove(answer)
}

// Watch sends every request that comes into the inbox, each once, until ctx ends; then it closes the
// channel. It looks once every `every`, and tells a failure to do so to failed.
func (s *Store) Watch(ctx context.Context, id string, every time.Duration, failed func(error)) <-chan Request {
	out := make(chan Request)
	go func() {
		defer close(out)
		seen := map[string]bool{}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			requests, err := s.Requests(id)
			if err != nil {
				failed(err)
			}
			for _, r := range requests {
				if seen[r.Name] {
					continue
				}
				select {
				case out <- r:
					seen[r.Name] = true
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
