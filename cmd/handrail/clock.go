package main

import (
	"time"

	"github.com/handrail-dev/handrail/engine/local"
)

// appClock is the clock of the machine as the command line has it.
type appClock struct {
	local.Clock
	now func() time.Time
}

func (c appClock) Now() time.Time { return c.now() }

func (a *app) clock() local.Clock { return appClock{local.SystemClock(), a.now} }

// clockSlack is how far a clock may go back without a word: as much as it is corrected by in daily life.
const clockSlack = 2 * time.Second

// hearTime says it when the clock was set back AFTER the last event.
func (s *session) hearTime(at time.Time) {
	at = at.Round(0) // the hands of the clock, not what has passed in this process
	if back := s.heard.Sub(at); !s.heard.IsZero() && back > clockSlack {
		if s.progress != nil {
			s.progress.Hold()
			defer s.progress.Release()
		}
		s.app.say("warning: the clock of this machine is %s behind the last event of the run (%s): it was set back, or that event was recorded on another machine; "+
			"what expires is counted by the events of the run", back.Round(time.Second), s.heard.Format(time.RFC3339))
	}
	s.heard = at
}
