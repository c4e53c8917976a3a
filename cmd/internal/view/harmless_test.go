package view

import (
	"encoding/json"
	"strings"
	"testing"
)

// What moves the cursor, or is a command for whoever keeps the log, is taken out of it; what is neither stays.
func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢字\n\ttext":       "plain é 漢字\n\ttext",
		"\x1b[31mred\x1b[0m":       "\uFFFD[31mred\uFFFD[0m",
		"over\rwritten":            "over\uFFFDwritten",
		"\u202eevil\u2066\u200fx":  "\uFFFDevil\uFFFD\uFFFDx",
		"\u009b2J":                 "\uFFFD2J",
		"::error::x":               ":\u200b:error::x",
		"a\n   ::stop-commands::b": "a\n   :\u200b:stop-commands::b",
		"a::b":                     "a::b",
		"x ##[add-path]y":          "x #\u200b#[add-path]y",
		"##VSO[task.setvariable]":  "#\u200b#VSO[task.setvariable]",
		"##teamcity[x]":            "#\u200b#teamcity[x]",
		"## heading":               "## heading",
	} {
		if got := Harmless(in); got != want {
			t.Errorf("%q comes out as %q, not %q", in, got, want)
		}
	}
	text, err := json.Marshal(map[string]string{"::a": "\x1b[0m\u202e##[group]"})
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(Harmless(string(text))), &back); err != nil || len(back) != 1 || strings.Contains(back["::a"], "##[") {
		t.Errorf("the form of JSON is broken: %v, %q", err, back)
	}
}
