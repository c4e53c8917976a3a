package redis

import (
	"context"
	"testing"
	"time"
)

// late is a context whose time is up and whose timer has not said so yet.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

// TestASocketMayBeAMomentAheadOfItsContext: both have the same deadline, and the socket's was there first.
func TestASocketMayBeAMomentAheadOfItsContext(t *testing.T) {
	if !ended(late{t.Context()}) {
		t.Error("its time is not up")
	}
	if ended(t.Context()) {
		t.Error("a context without a deadline has ended")
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if !ended(stopped) {
		t.Error("one that was cancelled goes on")
	}
}
