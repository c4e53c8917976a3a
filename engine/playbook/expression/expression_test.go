package expression_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// world is a scope with its shapes: what a loader and a run would give.
type world struct {
	shapes engine.Record // name to engine.Shape
	values engine.Record
}

func (w world) Name(name string) (engine.Shape, bool, *expression.Mistake) {
	switch name {
	case "inputs", "steps", "secrets":
		return engine.Shape{}, true, nil
	}
	if s, ok := w.shapes[name].(engine.Shape); ok {
		return s, false, nil
	}
	if v, ok := w.values[name]; ok {
		return shapeOf(v), false, nil
	}
	return engine.Shape{}, false, &expression.Mistake{Message: "there is no " + name + " here"}
}

func (w world) Part(namespace, part string) (engine.Shape, *expression.Mistake) {
	if namespace == "secrets" {
		return engine.Of(engine.TypeSecret), nil
	}
	if s, ok := w.shapes[namespace+"."+part].(engine.Shape); ok {
		return s, nil
	}
	return engine.Shape{}, &expression.Mistake{Message: "there is no " + namespace + "." + part}
}

func shapeOf(v engine.Value) engine.Shape {
	switch v.(type) {
	case int64:
		return engine.Of(engine.TypeInteger)
	case string:
		return engine.Of(engine.TypeText)
	case bool:
		return engine.Of(engine.TypeBool)
	case time.Time:
		return engine.Of(engine.TypeTime)
	case time.Duration:
		return engine.Of(engine.TypeDuration)
	}
	return engine.Shape{}
}

func decimal(t testing.TB, s string) engine.Decimal {
	t.Helper()
	d, err := engine.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var start = time.Date(2026, 1, 1, 3, 4, 5, 0, time.UTC)

func newWorld(t testing.TB) world {
	rows := engine.ListOf(engine.Shape{Type: engine.TypeRecord, Open: true})
	result := engine.Shape{Type: engine.TypeRecord, Fields: []engine.Field{
		{Name: "rows", Shape: rows}, {Name: "affected", Shape: engine.Of(engine.TypeInteger)},
		{Name: "state", Shape: engine.Shape{Type: engine.TypeEnum, Enum: []string{"ok", "failed"}}},
	}}
	return world{
		shapes: engine.Record{
			"rows": rows, "inputs.factor": engine.Of(engine.TypeInteger), "inputs.name": engine.Of(engine.TypeText),
			"inputs.absent": engine.Of(engine.TypeInteger), "steps.usage": result, "steps.later": result,
		},
		values: engine.Record{
			"rows": engine.List{
				engine.Record{"Id": int64(1), "amount": decimal(t, "10.10"), "at": start, "note": nil},
				engine.Record{"Id": int64(2), "amount": decimal(t, "0.20"), "at": start.Add(time.Hour), "note": "x"},
			},
			"inputs": engine.Record{"factor": int64(10), "name": "COR"},
			"steps": engine.Record{"usage": engine.Record{
				"rows": engine.List{engine.Record{"current_value": int64(90), "max_value": decimal(t, "100")}}, "affected": int64(3), "state": "ok",
			}},
			"secrets": engine.Record{"PW": engine.NewSecret("PW", "geheim")},
			"run":     engine.Record{"id": "r1", "started": start},
			"big":     uint64(math.MaxUint64), "f": 0.1, "dec": decimal(t, "0.1"), "raw": engine.Bytes("abc"),
			"unknown": engine.Unknown{After: "x"}, "partly": engine.Record{"a": int64(1), "b": engine.Unknown{After: "y"}},
			"dur": 90 * time.Second, "at": start, "text": "Hello", "values": engine.List{int64(5)}, "count": int64(2), "n": int64(7), "flag": true, "nothing": nil,
		},
	}
}

func evalIn(t testing.TB, w world, source string) (engine.Value, error) {
	t.Helper()
	bangkok, err := time.LoadLocation("Asia/Bangkok")
	if err != nil {
		t.Fatal(err)
	}
	e, _, mistakes := expression.NewCompiler(bangkok).Compile(source, w)
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("at load, %d: %s", mistakes[0].Offset, mistakes[0].Message)
	}
	return e.Eval(engine.FixedScope(w.values))
}

func TestValues(t *testing.T) {
	w := newWorld(t)
	for source, want := range map[string]string{
		// exact numbers
		`steps.usage.rows[0].current_value > 0.8 * steps.usage.rows[0].max_value`: "true",
		`dec + dec + dec == decimal("0.3")`:                                       "true",
		`f + f + f == 0.3`:                                                        "false", // floats among themselves are IEEE 754
		`dec == f`:                                                                "true",
		`dec * f`:                                                                 "0.01",
		`big == 18446744073709551615 ?? true`:                                     "load",
		`big > n`:                                                                 "true",
		`big - 1 + 1 == big`:                                                      "true",
		`9007199254740993 == 9007199254740992.0`:                                  "false",
		`7 / 2`:                                                                   "3.5",
		`lines("a\r\n\nb\n")`:                                                     "[a, , b]",
		`len(lines(""))`:                                                          "0",
		`words("  Mem:\t12  kB ")[1]`:                                             "12",
		`6 / 2`:                                                                   "3",
		`type(6 / 2)`:                                                             "integer",
		`7 % 4`:                                                                   "3",
		`-7 % 4`:                                                                  "-3",
		`2 ** 10`:                                                                 "1024",
		`2 ^ -1`:                                                                  "0.5",
		`dec ** 3`:                                                                "0.001",
		`rows[0].amount + rows[1].amount`:                                         "10.30",
		`sum(rows, .amount)`:                                                      "10.30",
		`sum(map(rows, .id))`:                                                     "3",
		`max(map(rows, .amount))`:                                                 "10.10",
		`min(3, dec, 0.5)`:                                                        "0.1",
		`mean([1, 2])`:                                                            "1.5",
		`median([3, 1, 2, 10])`:                                                   "2.5",
		`round(decimal("2.5"))`:                                                   "3",
		`round(decimal("-2.5"))`:                                                  "-3",
		`floor(decimal("-2.5"))`:                                                  "-3",
		`ceil(decimal("-2.5"))`:                                                   "-2",
		`int(decimal("-2.9"))`:                                                    "-2",
		`int("12")`:                                                               "12",
		`abs(-dec)`:                                                               "0.1",
		`0x10 + 0b11`:                                                             "19",
		`1_000`:                                                                   "1000",
		// columns
		`rows[0].ID`:                                "1",
		`rows[-1].Amount`:                           "0.20",
		`rows[0]?.absent ?? "none"`:                 "none",
		`rows?.[9]?.id ?? 0`:                        "0",
		`rows[0].note?.x.y == nil`:                  "true",
		`rows[0].note == null`:                      "true",
		`rows[1].note == nil`:                       "false",
		`get(rows[0], "absent")`:                    "null",
		`get(rows, 7) == nil`:                       "true",
		`"id" in rows[0]`:                           "true",
		`rows[0]["amount"]`:                         "10.10",
		`len(rows) == 2 and all(rows, .amount > 0)`: "true",
		`filter(rows, .id > 1)[0].note`:             "x",
		`map(rows, #index)`:                         "[0, 1]",
		`groupBy(rows, .id)["2"][0].note`:           "x",
		`sortBy(rows, .amount)[0].id`:               "2",
		`sortBy(rows, .note)[0].id`:                 "1", // null sorts first
		`sortBy(rows, .id, "desc")[0].id`:           "2",
		`find(rows, .id == 2).note`:                 "x",
		`find(rows, .id == 3)`:                      "null",
		`count(rows, .id > 0)`:                      "2",
		`count([true, false])`:                      "1",
		`reduce([1, 2, 3], #acc + #, 10)`:           "16",
		`reduce([1, 2, 3], #acc * #)`:               "6",
		`any(rows, any([1, 2], # == 2))`:            "true",
		`let r = rows[0]; any(rows, .id == r.id)`:   "true",
		// times
		`now()`:                   "2026-01-01T10:04:05+07:00",
		`now().Year()`:            "2026",
		`now().In("UTC").Hour()`:  "3",
		`date("2026-01-01") < at`: "true", // midnight in Bangkok
		`at - date("2026-01-01")`: "10h4m5s",
		`rows[1].at - rows[0].at == duration("1h")`: "true",
		`at + dur`:                              "2026-01-01T03:05:35Z",
		`dur * 2`:                               "3m0s",
		`dur / duration("30s")`:                 "3",
		`dur / 2`:                               "45s",
		`dur.Seconds()`:                         "90",
		`at.AddDate(1, 0, 0).Format("2006-01")`: "2027-01",
		// names of functions are free for values
		`values[0] + count`:              "7",
		`values({a: count(rows, true)})`: "[2]",
		// texts and the rest
		`text[1:3]`:                            "el",
		`text matches "^H.*o$"`:                "true",
		`not (text contains "z")`:              "true",
		`text not contains "z"`:                "true",
		`upper(text) + string(dec)`:            "HELLO0.1",
		`string(raw)`:                          "abc",
		`raw == b"abc"`:                        "true",
		`len("สวัสดี")`:                        "6",
		`toJSON({a: dec, b: [1, "<"]})`:        `{"a":0.1,"b":[1,"<"]}`,
		`fromJSON("{\"a\": 0.10}").a + dec`:    "0.20",
		`fromBase64(toBase64("hi"))`:           "hi",
		`join(["a", 1], "-")`:                  "a-1",
		`uniq([1, 1.0, decimal("1.00"), "1"])`: "[1, 1]",
		`1..3`:                                 "[1, 2, 3]",
		`3..1`:                                 "[]",
		`text | lower() | split("l")`:          "[he, , o]",
		`keys({b: 1, a: 2})`:                   "[a, b]",
		`values({b: 1, a: 2})`:                 "[2, 1]",
		`flag ? 1 : "x"`:                       "1",
		`if n > 3 { "many" } else { "few" }`:   "many",
		`nothing ?? inputs.name`:               "COR",
		`inputs.absent == nil`:                 "true",
		`1 < n < 9`:                            "true",
		`n in [1, 7.0]`:                        "true",
		`n not in 1..3`:                        "true",
		`flag or unknown`:                      "true", // what is not needed need not be known
		`partly.a`:                             "1",
		`steps.usage.state == "ok"`:            "true",
		`"}}" + '}}'`:                          "}}}}",
		`/* c */ 1 // d`:                       "1",
	} {
		v, err := evalIn(t, w, source)
		switch {
		case want == "load" && err != nil && strings.HasPrefix(err.Error(), "at load"):
		case err != nil:
			t.Errorf("%s: %v", source, err)
		case engine.Text(v) != want:
			t.Errorf("%s = %s, want %s", source, engine.Text(v), want)
		default:
			n, err := engine.Normalize(v)
			if err != nil || !reflect.DeepEqual(n, v) {
				t.Errorf("%s gives %#v, which is not in normal form (%v)", source, v, err)
			}
		}
	}
}

func TestErrorsAtRunTime(t *testing.T) {
	w := newWorld(t)
	for source, want := range map[string]string{
		`rows[0].amonut`:                    "there is no amonut in rows[0]; did you mean amount?",
		`rows[2].id`:                        "rows has 2 entries; there is no entry 2",
		`rows[0].note.x`:                    "rows[0].note is null; it has no x",
		`rows[0].id == "1"`:                 `the integer 1 cannot be compared with the string "1"; int(…), float(…), date(…) and duration(…) read a string`,
		`rows[0].id < rows[0].at`:           "the integer 1 cannot be compared with the time 2026-01-01T03:04:05Z",
		`rows[0].id and true`:               "the integer 1 is neither true nor false",
		`9223372036854775807 * big`:         "the result does not fit an integer of 64 bits; decimal(…) makes exact numbers of any size",
		`-9223372036854775807 - 2`:          "the result does not fit an integer of 64 bits; decimal(…) makes exact numbers of any size",
		`n / 0`:                             "division by zero",
		`dec / 0`:                           "division by zero",
		`1.5 / 0`:                           "division by zero",
		`n % 0`:                             "division by zero",
		`1e308 * 10`:                        "the result is too large for a float; decimal(…) makes exact numbers of any size",
		`10 ** 4000`:                        "the result does not fit an integer of 64 bits; decimal(…) makes exact numbers of any size",
		`decimal("1e300") ** 4`:             "the result has more than 1000 digits",
		`unknown`:                           "known after step x",
		`partly.b + 1`:                      "known after step y",
		`[partly]`:                          "known after step y",
		`{a: partly}`:                       "known after step y",
		`filter([1], rows[0].id)`:           "entry 0: the integer 1 is neither true nor false",
		`1..1000000000`:                     "the expression makes more than 64 MiB of data",
		`all(1..3000, all(1..3000, # > 0))`: "all, entry 1332: the expression looks at more than 4000000 entries; do this where the data is",
		`repeat("x", 1000000000)`:           "repeat: the expression makes more than 64 MiB of data",
		`replace(repeat("x", 1000000), "", repeat("y", 1000000))`: "replace: the expression makes more than 64 MiB of data",
		`int("x")`:                        `int: "x" is not a decimal number`,
		`date("soon")`:                    `date: the string "soon" is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z`,
		`max([])`:                         "max: the list is empty",
		`at.In("Mars/Base")`:              `In: there is no time zone "Mars/Base"; zones are named as in Asia/Bangkok`,
		`steps.later.affected`:            "there is no step later here",
		`text matches rows[1].note + "("`: "the pattern cannot be read: error parsing regexp: missing closing ): `x(`",
	} {
		_, err := evalIn(t, w, source)
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", source, err, want)
		}
	}
}

func TestUnknownCanBeReachedThroughTheError(t *testing.T) {
	w := newWorld(t)
	for _, source := range []string{`unknown + 1`, `map([1], unknown)[0]`, `upper(unknown)`, `all([1], unknown > #)`, `partly`} {
		_, err := evalIn(t, w, source)
		var u engine.Unknown
		if !errors.As(err, &u) || u.After == "" {
			t.Errorf("%s: %v is no Unknown that names its step", source, err)
		}
	}
}

func TestMistakesAtLoad(t *testing.T) {
	w := newWorld(t)
	for source, want := range map[string]string{
		`steps.usage.row[0]`:          "12+3: steps.usage has no field row [did you mean rows?]",
		`steps.usage.rows.id`:         "17+2: a list has no field id [take an entry of it: steps.usage.rows[0].id]",
		`steps.usage.affected.x`:      "21+1: an integer has no field x",
		`steps.usage.affected[0]`:     "20+1: an integer has no entries",
		`rows["id"]`:                  "5+4: a list has no field id [take an entry of it: rows[0].id]",
		`inputs.factor + inputs.name`: "14+1: + does not go with an integer and a string [int(…) and float(…) read a number from a string, string(…) writes one]",
		`n == text`:                   "2+2: an integer is never equal to a string [int(…) and float(…) read a number from a string, string(…) writes one]",
		`at < text`:                   "3+1: < does not go with a time and a string [date(…) reads a time from a string]",
		`flag < flag`:                 "5+1: < does not go with a boolean and a boolean",
		`n and flag`:                  "0+1: this is an integer, not true or false",
		`not n`:                       "4+1: this is an integer, not true or false",
		`n ? 1 : 2`:                   "0+1: this is an integer, not true or false",
		`lenn(rows)`:                  "0+4: there is no function lenn [did you mean len?]",
		`len(n)`:                      "4+1: len takes a string, bytes, list or record here, not an integer [it is used as len(list, record, text or bytes)]",
		`len()`:                       "0+3: len needs 1 arguments, and has 0 [it is used as len(list, record, text or bytes)]",
		`upper("a", "b")`:             `11+3: upper takes no more than 1 arguments [it is used as upper(text)]`,
		`filter(n, true)`:             "7+1: filter takes a list here, not an integer",
		`filter(rows, 1)`:             "13+1: filter asks for true or false of each entry; this is an integer",
		`inputs`:                      "0+6: inputs as a whole is not a value [name a part of it: inputs.…]",
		`whatever`:                    "0+8: there is no whatever here",
		`secrets.PW + "x"`:            "8+2: a secret cannot be used in an expression [pass it on as it is, or write it into a text: prefix-${{ secrets.NAME }}]",
		`toBase64(secrets.PW)`:        "17+2: a secret cannot be used in a function [pass it on as it is, or write it into a text: prefix-${{ secrets.NAME }}]",
		`[secrets.PW]`:                "9+2: a secret cannot be used in a list [pass it on as it is, or write it into a text: prefix-${{ secrets.NAME }}]",
		`steps.usage.state == "okk"`:  `21+5: it is never "okk" [did you mean "ok"?]`,
		`n = 7`:                       `2+1: "=" is not expected here [to compare, write ==]`,
		`len(rows`:                    "7+1: the expression ends too early",
		``:                            "0+0: the expression is empty",
		`"a`:                          "2+0: literal not terminated",
		`ค == 1`:                      "0+3: there is no ค here",
		`"ค" + lenn(1)`:               "8+4: there is no function lenn [did you mean len?]",
		`$env`:                        "0+4: there is no $env here",
		`text matches "("`:            "13+3: the pattern cannot be read: missing closing ): `(`",
		`# > 1`:                       `0+1: "#" is not expected here`,
		`len`:                         "0+3: len is a function [write len(…)]",
		`now.Year()`:                  "0+3: now is a function [write now(…)]",
		`n.Year()`:                    "2+4: an integer has no method Year",
		`at.Yaer()`:                   "3+4: there is no method Yaer [did you mean Year?]",
		`1; 2`:                        "0+1: parts before the last one, divided by ;, have no effect [keep the last part only]",
		`let n2 = 1; let n2 = 2; n2`:  "16+2: n2 is bound already [choose another name]",
	} {
		_, _, mistakes := expression.NewCompiler(nil).Compile(source, w)
		if len(mistakes) == 0 {
			t.Errorf("%s: no mistake found, want %s", source, want)
			continue
		}
		m := mistakes[0]
		got := fmt.Sprintf("%d+%d: %s", m.Offset, m.Width, m.Message)
		if m.Remedy != "" {
			got += " [" + m.Remedy + "]"
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", source, got, want)
		}
	}
}

func TestEveryMistakeOfAnExpressionIsFound(t *testing.T) {
	_, _, mistakes := expression.NewCompiler(nil).Compile(`lenn(rows) > nope and flag + 1 == 2`, newWorld(t))
	if len(mistakes) != 3 {
		t.Errorf("found %v, want 3 mistakes", mistakes)
	}
}

func TestLongAndDeepTextsAreRefused(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("(", 8000) + "1" + strings.Repeat(")", 8000),
		strings.Repeat("1+", 4000) + "1",
		strings.Repeat("(", 8000),
		strings.Repeat("not ", 2000) + "true",
	} {
		if _, _, mistakes := expression.NewCompiler(nil).Compile(source, newWorld(t)); len(mistakes) == 0 {
			t.Errorf("%.20s… is accepted", source)
		}
	}
}

// TestAgreesWithExpr holds the evaluation against expr's own machine, where the two are meant to agree.
func TestAgreesWithExpr(t *testing.T) {
	env := engine.Record{
		"a": int64(7), "b": int64(3), "x": 2.5, "s": "Hello, World", "ok": true, "none": nil,
		"list": engine.List{int64(3), int64(1), int64(2)}, "words": engine.List{"b", "a", "c"},
		"rec":  engine.Record{"k": int64(1), "deep": engine.Record{"v": "w"}},
		"recs": engine.List{engine.Record{"n": int64(1), "t": "x"}, engine.Record{"n": int64(2), "t": "y"}},
	}
	for _, source := range []string{
		`a + b * 2 - 1`, `(a + b) * 2`, `a / b`, `a % b`, `-a + b`, `a ** 2`, `x * 2`, `a > b and not (a == b)`, `a != b || false`,
		`ok && a >= 7`, `a <= 7 ? "le" : "gt"`, `s[0:5]`, `s[-5:]`, `s contains "World"`, `s startsWith "He"`, `s endsWith "d"`,
		`s matches "o, W"`, `upper(s)`, `lower(s)`, `trim("  x ")`, `trim("__x__", "_")`, `trimPrefix(s, "Hell")`, `trimSuffix(s, "ld")`,
		`split("a,b,c", ",")`, `split("a,b,c", ",", 2)`, `splitAfter("a,b,c", ",")`, `replace(s, "l", "L")`, `repeat("ab", 3)`, `indexOf(s, "o")`,
		`lastIndexOf(s, "o")`, `hasPrefix(s, "He")`, `hasSuffix(s, "d")`, `join(words, "+")`, `list[0]`, `list[-1]`, `list[1:]`, `list[:-1]`,
		`rec.k`, `rec["k"]`, `rec.deep.v`, `rec.deep?.v`, `none?.v`, `none ?? 1`, `a in list`, `3 in list`, `"k" in rec`, `1..5`,
		`all(list, # > 0)`, `any(list, # > 2)`, `none(list, # > 9)`, `one(list, # == 2)`, `filter(list, # > 1)`, `map(list, # * 2)`,
		`map(recs, .n)`, `count(list, # > 1)`, `sum(list)`, `sum(recs, .n)`, `find(recs, .n == 2).t`, `findIndex(recs, .n == 2)`,
		`findLast(list, # < 3)`, `findLastIndex(list, # < 3)`, `sort(list)`, `sort(list, "desc")`, `sortBy(recs, .n, "desc")`,
		`reduce(list, #acc + #)`, `reduce(list, #acc + #, 10)`, `groupBy(recs, .t)["y"]`, `reverse(list)`, `uniq([1, 2, 1])`,
		`concat(list, [9])`, `flatten([1, [2, [3]]])`, `first(list)`, `last(list)`, `take(list, 2)`, `len(list)`, `len(s)`, `len(rec)`,
		`min(a, b)`, `max(list)`, `mean(list)`, `median(list)`, `abs(-3)`, `ceil(x)`, `floor(x)`, `round(x)`, `int("12")`, `int(x)`,
		`float("1.5")`, `string(a)`, `toBase64(s)`, `fromBase64("SGk=")`, `keys({z: 1})`, `values({z: 1})`, `toPairs({z: 1})`,
		`fromPairs([["p", 1]])`, `get(list, 1)`, `get(rec, "zz")`, `bitand(6, 3)`, `bitor(6, 3)`, `bitxor(6, 3)`, `bitnand(6, 3)`,
		`bitshl(1, 3)`, `bitshr(8, 2)`, `bitushr(-5, 2)`, `bitnot(5)`, `let y = a; y * y`, `duration("90s") > duration("1m")`,
		`date("2026-02-03").Day()`, `date("2026-02-03") + duration("24h") == date("2026-02-04")`, `if ok { 1 } else { 2 }`,
		`filter(recs, {.n > 1 and .t == "y"})`, `list | map(# + 1) | sum()`, `map(list, #index)`, `1 <= a < 10`, `a not in [1, 2]`,
	} {
		theirs, err := expr.Eval(source, map[string]any(env))
		if err != nil {
			t.Errorf("expr cannot do %s: %v", source, err)
			continue
		}
		w := world{shapes: engine.Record{}, values: env}
		ours, err := evalIn(t, w, source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if a, b := plain(theirs), plain(ours); a != b {
			t.Errorf("%s: expr gives %s, we give %s", source, a, b)
		}
	}
}

// plain writes a value so that it does not matter which Go type of number or list holds it.
func plain(v any) string {
	r := reflect.ValueOf(v)
	switch {
	case v == nil:
		return "null"
	case r.Kind() == reflect.Slice:
		parts := make([]string, r.Len())
		for i := range parts {
			parts[i] = plain(r.Index(i).Interface())
		}
		return "[" + strings.Join(parts, " ") + "]"
	case r.Kind() == reflect.Map:
		return fmt.Sprint(v)
	}
	return fmt.Sprint(v)
}

func FuzzCompileAndEvaluate(f *testing.F) {
	for _, s := range []string{`a + 1`, `rows[0].id == 2`, `filter(rows, .id > 1)`, `let x = 1; x`, `now().Year()`, `"a" matches "("`,
		`a?.b[0]?.c ?? 1`, `reduce(1..9, #acc + #)`, `{a: [1, {b: 2}]}`, `-big`, `dec / 3`, `text[1:2]`, `1 < 2 < 3`, `if true {1} else {2}`} {
		f.Add(s)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, source string) {
		e, _, mistakes := expression.NewCompiler(nil).Compile(source, w)
		for _, m := range mistakes {
			if m.Offset < 0 || m.Offset > len(source) || m.Message == "" {
				t.Fatalf("%q: mistake %+v lies outside", source, m)
			}
		}
		if e == nil {
			return
		}
		v, err := e.Eval(engine.FixedScope(w.values))
		if err != nil {
			return
		}
		if n, err := engine.Normalize(v); err != nil || !same(n, v) {
			t.Fatalf("%q gives %#v, which is not in normal form (%v)", source, v, err)
		}
		again, err := e.Eval(engine.FixedScope(w.values))
		if err != nil || !same(v, again) {
			t.Fatalf("%q gives %v, then %v (%v)", source, v, again, err)
		}
	})
}

func same(a, b engine.Value) bool {
	x, errX := engine.AppendValue(nil, a)
	y, errY := engine.AppendValue(nil, b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func BenchmarkCompile(b *testing.B) {
	w := newWorld(b)
	c := expression.NewCompiler(nil)
	for b.Loop() {
		c.Compile(`steps.usage.rows[0].current_value > 0.8 * steps.usage.rows[0].max_value`, w)
	}
}

func BenchmarkEval(b *testing.B) {
	w := newWorld(b)
	e, _, _ := expression.NewCompiler(nil).Compile(`steps.usage.rows[0].current_value > 0.8 * steps.usage.rows[0].max_value`, w)
	s := engine.FixedScope(w.values)
	for b.Loop() {
		if _, err := e.Eval(s); err != nil {
			b.Fatal(err)
		}
	}
}
