package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// MarshalEvent writes a stamped event as one JSON object: {"at":…,"event":name, fields…}.
func MarshalEvent(s Stamped) ([]byte, error) { return AppendEvent(nil, s) }

// AppendEvent appends what [MarshalEvent] writes.
func AppendEvent(b []byte, s Stamped) ([]byte, error) {
	b = append(b, `{"at":"`...)
	b = s.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","event":"`...)
	b = append(b, s.eventName()...)
	b = append(b, '"')
	if quick, ok := s.Event.(quickEvent); ok {
		with, err := quick.appendFields(b)
		// encoding/json writes these in a way of its own.
		if err == nil && !bytes.ContainsAny(with[len(b):], "<>&") {
			return append(with, '}'), nil
		}
	}
	body, err := json.Marshal(s.Event)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", s.eventName(), err)
	}
	if len(body) > 2 {
		b = append(b, ',')
	}
	return append(b, body[1:]...), nil
}

// quickEvent is an event of which there is one for each step. It is written as encoding/json would write
// it, which takes many times as long.
type quickEvent interface {
	appendFields(b []byte) ([]byte, error)
}

func (e StepIntended) appendFields(b []byte) ([]byte, error) {
	b = appendString(append(b, `,"step":`...), e.Step)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(e.Attempt), 10)
	b = appendString(append(b, `,"token":`...), e.Token)
	b = appendString(append(b, `,"class":`...), e.Class.String())
	return appendString(append(b, `,"digest":`...), e.Digest), nil
}

func (e StepFinished) appendFields(b []byte) ([]byte, error) {
	b = appendString(append(b, `,"step":`...), e.Step)
	if e.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"attempt":`...), int64(e.Attempt), 10)
	}
	b = appendString(append(b, `,"state":`...), e.State.String())
	if e.Effect != 0 {
		b = appendString(append(b, `,"effect":`...), e.Effect.String())
	}
	if e.CutOff {
		b = append(b, `,"cut_off":true`...)
	}
	b, err := AppendValue(append(b, `,"result":`...), e.Result.V)
	if err != nil {
		return nil, err
	}
	b = appendText(b, `,"error":`, e.Error)
	b = appendText(b, `,"message":`, e.Message)
	b = appendText(b, `,"tail":`, e.Tail)
	if len(e.Evidence) > 0 {
		b = append(b, `,"evidence":[`...)
		for i, line := range e.Evidence {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, line)
		}
		b = append(b, ']')
	}
	if e.Withheld {
		b = append(b, `,"withheld":true`...)
	}
	return b, nil
}

// appendText leaves out what is empty.
func appendText(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(append(b, key...), text)
}

// UnmarshalEvent reads what MarshalEvent wrote. An event of an unknown name is an error: it was
// written by a newer version, and guessing what it meant could repeat an effect.
func UnmarshalEvent(data []byte) (Stamped, error) {
	var head struct {
		At    time.Time `json:"at"`
		Event string    `json:"event"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Stamped{}, err
	}
	read, ok := eventReaders[head.Event]
	if !ok {
		return Stamped{}, fmt.Errorf("unknown event %q: the journal was written by a newer version of handrail", head.Event)
	}
	e, err := read(data)
	if err != nil {
		return Stamped{}, fmt.Errorf("event %s: %w", head.Event, err)
	}
	return Stamped{At: head.At, Event: e}, nil
}

func reader[E Event](data []byte) (Event, error) {
	var e E
	err := json.Unmarshal(data, &e)
	return e, err
}

// eventReaders is never changed after it is made.
var eventReaders = map[string]func([]byte) (Event, error){
	"run_started": reader[RunStarted], "vars_set": reader[VarsSet], "run_resumed": reader[RunResumed],
	"run_paused": reader[RunPaused], "cancel_asked": reader[CancelAsked], "phase_entered": reader[PhaseEntered],
	"run_finished": reader[RunFinished], "playbook_adopted": reader[PlaybookAdopted], "repaired": reader[Repaired],
	"entered": reader[Entered], "skipped": reader[StepSkipped], "items_listed": reader[ItemsListed],
	"done_if_asked": reader[DoneIfAsked], "prepared": reader[Prepared], "intended": reader[StepIntended],
	"noted": reader[Noted], "finished": reader[StepFinished], "retry_scheduled": reader[RetryScheduled],
	"retry_due": reader[RetryDue], "settled": reader[Settled], "resolved": reader[StepResolved],
	"approval_asked": reader[ApprovalAsked], "approval_given": reader[ApprovalGiven],
	"approval_refused": reader[ApprovalRefused], "asked_again": reader[AskedAgain], "memory_checked": reader[MemoryChecked],
	"playbook_begun": reader[PlaybookBegun],
}
