package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/local"
)

// inboxEvery is how often the owner of a run looks into its inbox.
const inboxEvery = 200 * time.Millisecond

// answerPatience is how long a request waits for the owner's answer before the command leaves it to him.
const answerPatience = 10 * time.Second

// eventOf makes the event that a request asks for, if it can follow what has happened in the run.
func eventOf(r journal.Request, run *engine.Run, now time.Time) (engine.Event, error) {
	e, err := answerTo(r, run, now)
	if err != nil {
		return nil, err
	}
	return r.From(e), nil
}

func answerTo(r journal.Request, run *engine.Run, now time.Time) (engine.Event, error) {
	switch r.Ask {
	case journal.AskApprove:
		e, err := run.Approve(r.Step, r.By, now)
		if given, ok := e.(engine.ApprovalGiven); ok && r.Digest != "" && given.Digest != r.Digest {
			return nil, fmt.Errorf("what step %s asks now is not what was approved; look at it again", given.Step)
		}
		return e, err
	case journal.AskReject:
		return run.Reject(r.Step, r.By, r.Because)
	case journal.AskResolve:
		return run.Resolve(r.Step, r.As, r.By, r.Because)
	case journal.AskCancel:
		return run.Cancel(r.By, r.Undo)
	}
	return nil, fmt.Errorf("there is no request %q", r.Ask)
}

// requests hands what comes into the inbox to the driver, until ctx ends. Those that are recorded
// already, by a process that died before it could remove them, are removed.
func (s *session) requests(ctx context.Context) <-chan local.Request {
	out := make(chan local.Request)
	id := s.run.ID()
	go func() {
		defer close(s.inboxDone)
		failed := func(err error) { s.app.say("warning: %s", err) }
		for r := range s.store.Watch(ctx, id, inboxEvery, failed) {
			done := func(refused error) {
				reason := ""
				if refused != nil {
					reason = refused.Error()
				}
				if err := s.store.Remove(id, r, reason); err != nil {
					failed(err)
				}
			}
			if s.recorded[r.Name] {
				done(nil)
				continue
			}
			request := local.Request{Done: done, Event: func(run *engine.Run, now time.Time) (engine.Event, error) {
				return eventOf(r, run, now)
			}}
			select {
			case out <- request:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// noteRecorded remembers which requests of the inbox an event in the journal has come from.
func (s *session) noteRecorded(waiting []journal.Request, e engine.Stamped) {
	for _, r := range waiting {
		if r.Recorded(e) {
			s.recorded[r.Name] = true
		}
	}
}

// request brings what a person wants to a run: to its owner, or, when nobody has it in hand, into the
// journal itself. It says whether it was recorded; false: it waits for the owner.
func (a *app) request(ctx context.Context, id string, r journal.Request) (recorded bool, err error) {
	store, err := a.state()
	if err != nil {
		return false, err
	}
	put := false
	deadline := time.After(answerPatience)
	for {
		if put {
			done, refused, err := store.Answered(id, r)
			switch {
			case err != nil:
				return false, err
			case refused != "":
				return false, errors.New(refused)
			case done:
				return true, nil
			}
		}
		err := a.recordMyself(id, r, put)
		var owned *journal.OwnedError
		if !errors.As(err, &owned) {
			return err == nil, err
		}
		if !put {
			if r, err = store.Put(id, r); err != nil {
				return false, err
			}
			put = true
		}
		select {
		case <-deadline:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(inboxEvery / 2):
		}
	}
}

// recordMyself appends the event of a request to the journal of a run that nobody has in hand.
func (a *app) recordMyself(id string, r journal.Request, put bool) error {
	s, err := a.takeOver(id)
	if err != nil {
		return err
	}
	defer s.close()
	if put {
		done, refused, err := s.store.Answered(id, r)
		switch {
		case err != nil:
			return err
		case refused != "":
			return errors.New(refused)
		case done: // the owner took it just before it ended
			return nil
		case s.recorded[r.Name]: // the owner died before it could take it away
			return s.store.Remove(id, r, "")
		}
	}
	e, err := eventOf(r, s.run, a.now())
	if err != nil {
		return errors.Join(err, s.removeIf(put, id, r))
	}
	if err := s.record(e); err != nil {
		return err
	}
	return s.removeIf(put, id, r)
}

func (s *session) removeIf(put bool, id string, r journal.Request) error {
	if !put {
		return nil
	}
	return s.store.Remove(id, r, "")
}
