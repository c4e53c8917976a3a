package web_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

func TestWhatLooksLikeACredentialIsNotShown(t *testing.T) {
	for text, want := range map[string]string{
		"https://a/b":                              "https://a/b",
		"https://a/b?page=2&sort=up":               "https://a/b?page=2&sort=up",
		"https://a/b?access_token=x&page=2":        "https://a/b?access_token=•••&page=2",
		"https://a/b?X-Amz-Signature=x&apiKey=y":   "https://a/b?X-Amz-Signature=•••&apiKey=•••",
		"https://a/b?mine=x&mine=y&flag&other=":    "https://a/b?mine=•••&mine=•••&flag&other=",
		"https://a/b?%6Dine=x":                     "https://a/b?%6Dine=•••",
		"https://a/b?%zz=x":                        "https://a/b?%zz=•••",
		"http://[::1]:80/?sig=a%26b&q=code%3Dtrue": "http://[::1]:80/?sig=•••&q=code%3Dtrue",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := web.Shown(u, "mine"); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestAnErrorAboutAURLDoesNotHoldIt(t *testing.T) {
	for _, text := range []string{"hunter22", "https://ops:hunter22@a/", "http://a:hunter22/", "http://a/%zzhunter22", "http://a/#hunter22"} {
		_, err := web.ParseURL(text)
		if err == nil {
			t.Errorf("%s is accepted", text)
			continue
		}
		if s := web.Secrets(engine.NewSecret("X", "hunter22")).Text(err.Error()); s != err.Error() {
			t.Errorf("%v", err)
		}
	}
}

func TestAKeyIsAHeaderAndDistinctForDistinctTokens(t *testing.T) {
	for token, want := range map[string]string{
		"run-1/step/key": "run-1/step/key", "run/ä\r\nX: y": "run/%C3%A4%0D%0AX:%20y", "a%20b": "a%2520b", "a b": "a%20b",
	} {
		if got := web.Key(token); got != want {
			t.Errorf("%q: %q", token, got)
		}
	}
}

func TestJSONIsExactBothWays(t *testing.T) {
	dec := func(s string) engine.Decimal {
		d, err := engine.ParseDecimal(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	b, err := web.EncodeJSON(engine.Record{
		"i": int64(-9007199254740993), "u": uint64(18446744073709551615), "d": dec("0.10"), "s": "a<b>&\u2028", "n": nil,
		"b": engine.Bytes("hi"), "t": time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC), "w": 90 * time.Second, "x": engine.NewSecret("X", `q"`),
		"l": engine.List{true, 0.5},
	}, true)
	want := `{"b":"aGk=","d":0.10,"i":-9007199254740993,"l":[true,0.5],"n":null,"s":"a<b>&\u2028","t":"2026-11-21T01:02:03Z","u":18446744073709551615,"w":"1m30s","x":"q\""}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	back, err := web.DecodeJSON([]byte(`{"i": -9007199254740993, "f": 1e3, "big": 1e400, "l": [0, -0.5]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine.AppendValue(nil, back)
	if err != nil {
		t.Fatal(err)
	}
	wantBack, err := engine.AppendValue(nil, engine.Record{"i": int64(-9007199254740993), "f": dec("1e3"), "big": dec("1e400"), "l": engine.List{int64(0), dec("-0.5")}})
	if err != nil || string(got) != string(wantBack) {
		t.Errorf("%s, not %s", got, wantBack)
	}
	if _, err := web.DecodeJSON([]byte("1e999999999")); err == nil {
		t.Error("a number without end is accepted")
	}
}
