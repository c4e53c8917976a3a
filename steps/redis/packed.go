package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// packed reads what protocol.lua's pack wrote: a reply as text that keeps its types and any bytes.
//
//	i12;  d1.5;  s3:abc  n  e3:ERR  l2:…  m1:……  x2000000;
//
// An x stands for a result that was too large to be kept, with its size.
type packed struct {
	rest string
	// tooLarge is the size of a result that was not kept.
	tooLarge int
}

func unpack(s string) (engine.Value, int, error) {
	p := &packed{rest: s}
	v, err := p.value(0)
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%d bytes are left over", len(p.rest))
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read a result from its marker: %w", err)
	}
	return v, p.tooLarge, nil
}

const maxDepth = 64

// exactUpTo is where Lua's numbers cease to tell one integer from the next.
const exactUpTo = 1 << 53

func (p *packed) value(depth int) (engine.Value, error) {
	if p.rest == "" || depth > maxDepth {
		return nil, fmt.Errorf("it ends too early, or is nested too deep")
	}
	kind := p.rest[0]
	p.rest = p.rest[1:]
	switch kind {
	case 'n':
		return nil, nil
	case 'i':
		return p.integer()
	case 'd':
		s, err := p.until(';')
		if err != nil {
			return nil, err
		}
		return strconv.ParseFloat(s, 64)
	case 's', 'e':
		n, err := p.count()
		if err != nil || n > len(p.rest) {
			return nil, fmt.Errorf("a text is cut off")
		}
		s := p.rest[:n]
		p.rest = p.rest[n:]
		return text(s), nil
	case 'l':
		return p.list(depth)
	case 'm':
		return p.record(depth)
	case 'x':
		s, err := p.until(';')
		if err != nil {
			return nil, err
		}
		p.tooLarge, err = strconv.Atoi(s)
		return nil, err
	}
	return nil, fmt.Errorf("unknown kind of value %q", kind)
}

func (p *packed) until(end byte) (string, error) {
	i := strings.IndexByte(p.rest, end)
	if i < 0 {
		return "", fmt.Errorf("%q is missing", end)
	}
	s := p.rest[:i]
	p.rest = p.rest[i+1:]
	return s, nil
}

func (p *packed) count() (int, error) {
	s, err := p.until(':')
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a count", s)
	}
	return n, nil
}

// integer is exact up to 2^53. Lua has rounded what is beyond, so that becomes a float, which nobody
// takes for exact.
func (p *packed) integer() (engine.Value, error) {
	s, err := p.until(';')
	if err != nil {
		return nil, err
	}
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, err
	}
	if i >= exactUpTo || i <= -exactUpTo {
		return float64(i), nil
	}
	return i, nil
}

func (p *packed) list(depth int) (engine.Value, error) {
	n, err := p.count()
	if err != nil || n > len(p.rest) {
		return nil, fmt.Errorf("a list is cut off")
	}
	out := make(engine.List, n)
	for i := range out {
		if out[i], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *packed) record(depth int) (engine.Value, error) {
	n, err := p.count()
	if err != nil || n > len(p.rest) {
		return nil, fmt.Errorf("a map is cut off")
	}
	out := make(map[any]any, n)
	for range n {
		k, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out[engine.Text(k)] = v
	}
	return recordOf(out), nil
}
