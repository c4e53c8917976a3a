package engine

import "time"

// How long a run has lived is measured by its events, and never falls: between two of them lies the time that the clock
// says, or none if it was set back. By that an approval expires. A clock that is set back gives it no more time than
// it had when the last event was; one that is set forward may end it early, and it is asked anew.

func (r *Run) hearTime(at time.Time) {
	at = at.UTC().Round(0) // as the journal has it
	if !r.heard.IsZero() && at.After(r.heard) {
		r.lived += at.Sub(r.heard)
	}
	r.heard = at
}

// Heard is when the last event was.
func (r *Run) Heard() time.Time { return r.heard }

// leftOf is how much of its time the approval of a node had left when the last event was; zero or less: none.
func (r *Run) leftOf(n *node) time.Duration {
	a := n.attemptState()
	used := r.lived - a.askedAt
	if used < 0 { // more than a Duration can hold
		return 0
	}
	return a.life - used
}

// Left is how much of its time the approval has at a moment.
func (c AskPerson) Left(now time.Time) time.Duration {
	return c.LeftThen - max(0, now.Round(0).Sub(c.Then))
}
