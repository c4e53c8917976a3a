package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"testing"
	"time"
)

func dec(t *testing.T, s string) Decimal {
	t.Helper()
	d, err := ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestValuesComeBackFromTheJournalExactly(t *testing.T) {
	bangkok := time.FixedZone("Asia/Bangkok", 7*3600)
	for _, v := range []Value{
		nil, true, int64(math.MinInt64), int64(0), uint64(math.MaxUint64), 1.0, 0.1, -1e300, math.Inf(-1),
		"", "ü \"quoted\" \n\x00 </script> ${{ secrets.X }}", Bytes{0, 255, 10}, 90 * time.Second,
		time.Date(2026, 1, 1, 0, 0, 0, 123456789, bangkok), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		dec(t, "-123456789012345678901234567890.0012300"), dec(t, "0.00"),
		List{int64(1), "1", 1.0, List{}, nil}, Record{"a": Record{"$decimal": "not one"}, "$x": int64(1)}, Record{"$time": "text"},
	} {
		b, err := AppendValue(nil, v)
		if err != nil {
			t.Fatalf("%v: %v", v, err)
		}
		if !json.Valid(b) {
			t.Errorf("%s is not JSON", b)
		}
		got, err := DecodeValue(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if x, ok := v.(time.Time); ok {
			y, _ := got.(time.Time)
			if !x.Equal(y) || x.String() != y.String() {
				t.Errorf("%v came back as %v", x, got)
			}
			continue
		}
		if d, ok := v.(Decimal); ok {
			if e, _ := got.(Decimal); d.Cmp(e) != 0 || d.String() != e.String() {
				t.Errorf("%v came back as %v", d, got)
			}
			continue
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("%#v was written as %s and came back as %#v", v, b, got)
		}
	}
}

func TestEqualRecordsHaveEqualBytes(t *testing.T) {
	a, _ := AppendValue(nil, Record{"b": int64(1), "a": int64(2), "c": nil})
	for range 20 {
		b, _ := AppendValue(nil, Record{"c": nil, "a": int64(2), "b": int64(1)})
		if !bytes.Equal(a, b) {
			t.Fatalf("%s and %s", a, b)
		}
	}
}

func TestDecimalsAreExact(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{dec(t, "0.1").Add(dec(t, "0.2")).String(), "0.3"},
		{dec(t, "1.10").Mul(dec(t, "1.1")).String(), "1.210"},
		{dec(t, "1").Sub(dec(t, "1.001")).String(), "-0.001"},
		{dec(t, "1e3").String(), "1000"},
		{dec(t, "1.5e-3").String(), "0.0015"},
		{dec(t, "-.5").String(), "-0.5"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	if dec(t, "1.0").Cmp(dec(t, "1.00")) != 0 {
		t.Error("1.0 and 1.00 differ")
	}
	if q, err := dec(t, "1").Quo(dec(t, "3")); err != nil || q.String() != "0.333333333333" {
		t.Errorf("1/3 is %s, %v", q, err)
	}
	if _, err := dec(t, "1").Quo(Decimal{}); err == nil {
		t.Error("division by zero went unnoticed")
	}
	for _, bad := range []string{"", ".", "1.2.3", "--1", "1e", "1e99999", "0x1", "1 "} {
		if d, err := ParseDecimal(bad); err == nil {
			t.Errorf("%q was read as %s", bad, d)
		}
	}
}

func TestASecretIsSeenInNoForm(t *testing.T) {
	s := NewSecret("DB_PASSWORD", "hunter2")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "record", Record{"p": s})
	asJSON, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	typed, err := AppendValue(nil, Record{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := DigestValue(s)
	other, _ := DigestValue(NewSecret("DB_PASSWORD", "another"))
	if digest != other {
		t.Error("the digest tells secrets apart")
	}
	for _, form := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v", Record{"s": s}),
		log.String(), string(asJSON), string(typed), Text(List{s}),
	} {
		if bytes.Contains([]byte(form), []byte("hunter2")) || bytes.Contains([]byte(form), []byte("68756e74657232")) {
			t.Errorf("the secret is seen in %s", form)
		}
	}
}

func TestAnUnknownEventIsAnError(t *testing.T) {
	_, err := UnmarshalEvent([]byte(`{"at":"2026-01-01T00:00:00Z","event":"teleported","step":"a"}`))
	if err == nil {
		t.Fatal("an event that this version does not know was read")
	}
}

func TestEveryEventComesBack(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC)
	for name, read := range eventReaders {
		e, err := read([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		if EventName(e) != name {
			t.Errorf("%s is read as %s", name, EventName(e))
		}
		b, err := MarshalEvent(Stamped{At: at, Event: e})
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalEvent(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if !reflect.DeepEqual(got.Event, e) || !got.At.Equal(at) {
			t.Errorf("%s came back as %#v", b, got)
		}
	}
}
