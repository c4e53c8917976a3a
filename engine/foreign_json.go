package engine

import (
	"encoding/json"
	"strconv"
)

// ValueOfJSON makes a value of JSON that somebody else has written, decoded with numbers as [json.Number]. Numbers are exact: whole ones are integers, however
// long, and the rest decimals. What [AppendValue] has written is read by [DecodeValue].
func ValueOfJSON(decoded any) (Value, error) {
	switch x := decoded.(type) {
	case json.Number:
		return exactNumber(string(x))
	case []any:
		for i, e := range x {
			v, err := ValueOfJSON(e)
			if err != nil {
				return nil, err
			}
			x[i] = v
		}
		return x, nil
	case map[string]any:
		for k, e := range x {
			v, err := ValueOfJSON(e)
			if err != nil {
				return nil, err
			}
			x[k] = v
		}
		return x, nil
	}
	return decoded, nil
}

func exactNumber(s string) (Value, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	return ParseDecimal(s)
}
