package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// age is a flag: a duration that may be given in days and weeks, such as 90d or 12w. A day is 24 hours here.
type age time.Duration

func (g *age) String() string { return time.Duration(*g).String() }
func (*age) Type() string     { return "age" }

func (g *age) Set(text string) error {
	wrong := fmt.Errorf("%q is not an age such as 90d, 12w or 36h", text)
	for unit, hours := range map[string]int64{"d": 24, "w": 7 * 24} {
		digits, found := strings.CutSuffix(text, unit)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n < 0 || n > 2_400_000/hours {
			return wrong
		}
		*g = age(time.Duration(n*hours) * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return wrong
	}
	*g = age(d)
	return nil
}
