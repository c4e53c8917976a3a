package notify

import "time"

// NewImpatient gives up after d where New waits ten seconds.
func NewImpatient(d time.Duration) *Kind { return &Kind{patience: d} }
