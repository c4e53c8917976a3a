package expression

import (
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

func timeFunctions() map[string]function {
	return map[string]function{
		"now": {usage: "now()", result: engine.Of(engine.TypeTime), run: now},
		"duration": {usage: `duration("1h30m")`, params: []group{gText | gDuration}, need: 1, result: engine.Of(engine.TypeDuration),
			run: func(_ *machine, a []engine.Value) (engine.Value, error) {
				if d, ok := a[0].(time.Duration); ok {
					return d, nil
				}
				d, err := time.ParseDuration(a[0].(string))
				if err != nil {
					return nil, fmt.Errorf("%s is not a duration such as 30s or 1h30m", quote(a[0]))
				}
				return d, nil
			}},
		"date": {usage: "date(text[, layout[, zone]])", params: []group{gText | gTime, gText, gText}, need: 1,
			result: engine.Of(engine.TypeTime), run: date},
		"timezone": {usage: `timezone("Asia/Bangkok")`, params: []group{gText}, need: 1, result: textShape(),
			run: func(_ *machine, a []engine.Value) (engine.Value, error) {
				_, err := zone(a[0].(string))
				return a[0], err
			}},
	}
}

// now is the recorded start of the run, so that it is the same AFTER a resume.
func now(m *machine, _ []engine.Value) (engine.Value, error) {
	v, err := m.name("run")
	if err != nil {
		return nil, err
	}
	run, _ := v.(engine.Record)
	started, err := known(run["started"])
	if err != nil {
		return nil, err
	}
	t, ok := started.(time.Time)
	if !ok {
		return nil, fmt.Errorf("the start of the run is not known here")
	}
	return t.In(m.zone), nil
}

// dateLayouts are tried in this order. A text without a zone is in the playbook's.
var dateLayouts = []string{
	time.RFC3339Nano, "2006-01-02", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00", time.TimeOnly, time.RFC822Z, time.RFC822, time.RFC850, time.RFC1123Z, time.RFC1123,
}

// ParseTime reads a time as the function date does.
func ParseTime(text string, in *time.Location) (time.Time, bool) {
	for _, layout := range dateLayouts {
		if t, err := time.ParseInLocation(layout, text, in); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func date(m *machine, a []engine.Value) (engine.Value, error) {
	in := m.zone
	if len(a) == 3 {
		var err error
		if in, err = zone(a[2].(string)); err != nil {
			return nil, err
		}
	}
	if t, ok := a[0].(time.Time); ok {
		return t.In(in), nil
	}
	text := a[0].(string)
	if len(a) >= 2 {
		t, err := time.ParseInLocation(a[1].(string), text, in)
		if err != nil {
			return nil, fmt.Errorf("%s is not written as %s", quote(text), quote(a[1]))
		}
		return t, nil
	}
	if t, ok := ParseTime(text, in); ok {
		return t, nil
	}
	return nil, fmt.Errorf("%s is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z", quote(text))
}

func zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("name a time zone, such as Asia/Bangkok")
	}
	in, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q; zones are named as in Asia/Bangkok", name)
	}
	return in, nil
}

// methods are the methods of times and durations, named as in Go. The first parameter is the value
// before the dot.
var methods = map[string]function{
	"Year":      timePart("Year", func(t time.Time) int64 { return int64(t.Year()) }),
	"Month":     timePart("Month", func(t time.Time) int64 { return int64(t.Month()) }),
	"Day":       timePart("Day", func(t time.Time) int64 { return int64(t.Day()) }),
	"Hour":      timePart("Hour", func(t time.Time) int64 { return int64(t.Hour()) }),
	"Minute":    timePart("Minute", func(t time.Time) int64 { return int64(t.Minute()) }),
	"Second":    timePart("Second", func(t time.Time) int64 { return int64(t.Second()) }),
	"Weekday":   timePart("Weekday", func(t time.Time) int64 { return int64(t.Weekday()) }),
	"YearDay":   timePart("YearDay", func(t time.Time) int64 { return int64(t.YearDay()) }),
	"Unix":      timePart("Unix", time.Time.Unix),
	"UnixMilli": timePart("UnixMilli", time.Time.UnixMilli),

	"Format": {usage: `time.Format("2006-01-02")`, params: []group{gTime, gText}, need: 2, result: textShape(),
		run: func(m *machine, a []engine.Value) (engine.Value, error) {
			text := a[0].(time.Time).Format(a[1].(string))
			return text, m.alloc(len(text))
		}},
	"In": {usage: `time.In("Asia/Bangkok")`, params: []group{gTime, gText}, need: 2, result: engine.Of(engine.TypeTime),
		run: func(_ *machine, a []engine.Value) (engine.Value, error) {
			in, err := zone(a[1].(string))
			if err != nil {
				return nil, err
			}
			return a[0].(time.Time).In(in), nil
		}},
	"AddDate": {usage: "time.AddDate(years, months, days)", params: []group{gTime, gNumber, gNumber, gNumber}, need: 4,
		result: engine.Of(engine.TypeTime), run: addDate},
	"Truncate": {usage: `time.Truncate(duration("1h"))`, params: []group{gTime | gDuration, gDuration}, need: 2, shape: likeFirst,
		run: func(_ *machine, a []engine.Value) (engine.Value, error) {
			if d, ok := a[0].(time.Duration); ok {
				return d.Truncate(a[1].(time.Duration)), nil
			}
			return a[0].(time.Time).Truncate(a[1].(time.Duration)), nil
		}},
	"Hours":        durationPart("Hours", time.Duration.Hours),
	"Minutes":      durationPart("Minutes", time.Duration.Minutes),
	"Seconds":      durationPart("Seconds", time.Duration.Seconds),
	"Milliseconds": durationPart("Milliseconds", func(d time.Duration) float64 { return float64(d.Milliseconds()) }),
}

func timePart(name string, part func(time.Time) int64) function {
	return function{usage: "time." + name + "()", params: []group{gTime}, need: 1, result: intShape(),
		run: func(_ *machine, a []engine.Value) (engine.Value, error) { return part(a[0].(time.Time)), nil }}
}

func durationPart(name string, part func(time.Duration) float64) function {
	return function{usage: "duration." + name + "()", params: []group{gDuration}, need: 1, result: engine.Of(engine.TypeNumber),
		run: func(_ *machine, a []engine.Value) (engine.Value, error) { return part(a[0].(time.Duration)), nil }}
}

func addDate(_ *machine, a []engine.Value) (engine.Value, error) {
	var by [3]int
	for i, v := range a[1:] {
		n, err := asInt(v)
		if err != nil {
			return nil, err
		}
		if n > 1_000_000 || n < -1_000_000 {
			return nil, fmt.Errorf("%d is too far away", n)
		}
		by[i] = int(n)
	}
	return a[0].(time.Time).AddDate(by[0], by[1], by[2]), nil
}
