package mask

import (
	"sort"

	"github.com/handrail-dev/handrail/engine"
)

// index finds the forms of secrets in bytes. It is never changed after it is made.
type index struct {
	by [256][]string // forms by their first byte, the longest first
}

func newIndex(known map[string]bool) *index {
	x := &index{}
	for form := range known {
		x.by[form[0]] = append(x.by[form[0]], form)
	}
	for _, forms := range x.by {
		sort.Slice(forms, func(i, j int) bool { return len(forms[i]) > len(forms[j]) })
	}
	return x
}

// at gives the length of the longest form at the beginning of data. cut says that data ends before it
// can be told whether a longer form begins there.
func (x *index) at(data []byte) (length int, cut bool) {
	for _, form := range x.by[data[0]] {
		if len(form) <= len(data) {
			if length == 0 && string(data[:len(form)]) == form {
				length = len(form)
			}
		} else if form[:len(data)] == string(data) {
			cut = true
		}
	}
	return length, cut
}

// mask appends data to out with every secret replaced. Secrets that overlap are masked as one, so
// that no end of one remains. It stops where only more data can tell, unless this is the final part;
// rest is where it stopped. covered, taken and returned, counts the bytes from there on that belong to a
// secret whose mask is in out already.
func (x *index) mask(out, data []byte, covered int, final bool) (_ []byte, rest, _ int) {
	plain := min(covered, len(data)) // where the bytes begin that are still to be copied
	i := 0
	for ; i < len(data); i++ {
		if len(x.by[data[i]]) == 0 {
			continue
		}
		length, cut := x.at(data[i:])
		if cut && !final {
			break
		}
		if length == 0 {
			continue
		}
		if i >= covered {
			out = append(append(out, data[plain:i]...), engine.Masked...)
		}
		covered = max(covered, i+length)
		plain = covered
	}
	if plain < i {
		out = append(out, data[plain:i]...)
	}
	return out, i, max(0, covered-i)
}
