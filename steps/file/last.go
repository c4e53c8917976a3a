package file

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// last is the newest file beside a path that is called like it but for its digits: yesterday's backup, where the name holds the day.
func (s site) last(path string) (fs.FileInfo, bool) {
	entries, err := s.List(filepath.Dir(path))
	if err != nil {
		return nil, false
	}
	like := undated(filepath.Base(path))
	var newest fs.FileInfo
	for _, e := range entries {
		if !e.Type().IsRegular() || undated(e.Name()) != like {
			continue
		}
		info, err := e.Info()
		if err != nil || newest != nil && !info.ModTime().After(newest.ModTime()) {
			continue
		}
		newest = info
	}
	return newest, newest != nil
}

// undated is a name without its digits.
func undated(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, name)
}

// againstLast holds what is free against the last of the same.
func (s site) againstLast(path string, i *engine.Impact) {
	last, ok := s.last(path)
	if !ok {
		return
	}
	i.Facts = append(i.Facts, engine.Fact{Name: "last of the same", Value: fmt.Sprintf("%s, %s, of %s", last.Name(), size(last.Size()), last.ModTime().UTC().Format(time.RFC3339))})
	if free, err := s.Free(filepath.Dir(path)); err == nil && free < last.Size()+last.Size()/4 {
		i.Warnings = append(i.Warnings, fmt.Sprintf("only %s are free in %s, and the last of the same, %s, has %s", size(free), filepath.Dir(path), last.Name(), size(last.Size())))
	}
}
