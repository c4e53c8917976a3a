package compose

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// project writes files and loads them. The first is the Compose file.
func project(t *testing.T, files map[string]string, change func(*Source)) (*Project, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Source{Dir: dir}
	if change != nil {
		change(&s)
	}
	return Load(context.Background(), s)
}

func TestServicesAreChosenByNameAndProfile(t *testing.T) {
	files := map[string]string{"compose.yml": `
name: shop
services:
  web: {image: "web:${TAG:-1}", depends_on: [db], scale: 2}
  db: {image: "db:${VERSION}"}
  tool: {image: tool, profiles: [more], container_name: the-tool}
networks: {outer: {external: true, name: corporate}}
volumes: {data: {}, kept: {external: true}}
`, ".env": "VERSION=7\n"}
	p, err := project(t, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := func(p *Project, dependencies bool, only ...string) string {
		t.Helper()
		all, err := p.Chosen(only, dependencies)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range all {
			out = append(out, s.Name+"="+s.Image)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ got, want string }{
		{p.Name, "shop"},
		{names(p, true), "db=db:7 web=web:1"},
		{names(p, true, "web"), "db=db:7 web=web:1"},
		{names(p, false, "web"), "web=web:1"},
		{names(p, false, "tool"), "tool=tool"},
		{strings.Join(p.Volumes(), " "), "shop_data"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if networks, volumes := p.External(); !slices.Equal(networks, []string{"corporate"}) || !slices.Equal(volumes, []string{"kept"}) {
		t.Errorf("external: %v %v", networks, volumes)
	}
	if web, _ := p.Chosen([]string{"web"}, false); web[0].Scale != 2 || web[0].Hash == "" {
		t.Errorf("web: %+v", web)
	}
	if len(p.Unset) > 0 || !p.Has("tool") || p.Has("wbe") {
		t.Errorf("unset: %v", p.Unset)
	}
	more, err := project(t, files, func(s *Source) {
		s.Profiles, s.Project, s.Env = []string{"more"}, "other", []string{"TAG=2", "VERSION=8"}
	})
	if err != nil || more.Name != "other" || names(more, true) != "db=db:8 tool=tool web=web:2" {
		t.Errorf("with a profile and variables: %v", err)
	}
}

func TestVariablesWithoutAValueAreTold(t *testing.T) {
	p, err := project(t, map[string]string{"compose.yaml": "services: {web: {image: \"a:${TAG}\", environment: {X: \"${Y:-1}\", Z: \"$$W\"}}}\n"}, nil)
	if err != nil || !slices.Equal(p.Unset, []string{"TAG"}) {
		t.Errorf("%v, unset %v", err, p)
	}
}

func TestTheEnvironmentOfTheEngineIsNotReadByTheFile(t *testing.T) {
	t.Setenv("HANDRAIL_TEST_SECRET", "hush")
	p, err := project(t, map[string]string{"compose.yaml": "services: {web: {image: \"a:${HANDRAIL_TEST_SECRET:-none}\"}}\n"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if web, _ := p.Chosen(nil, true); web[0].Image != "a:none" {
		t.Errorf("the image is %s", web[0].Image)
	}
}

func TestMistakesHaveFileAndLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "compose.yaml:1: a Compose file is a mapping"},
		{"a list", "- a\n", "compose.yaml:1: a Compose file is a mapping"},
		{"a tab", "services:\n\tweb: {}\n", "compose.yaml:2: "},
		{"unknown key", "services:\n  web:\n    image: a\n    commnd: b\n", "compose.yaml:4: "},
		{"wrong type", "services:\n  db: {image: a}\n  web:\n    image: a\n    ports: 80\n", "compose.yaml:5: "},
		{"no image", "services:\n  db: {image: a}\n  web: {}\n", "compose.yaml:3: "},
		{"no such network", "services:\n  db: {image: a}\n  web:\n    image: a\n    networks: [none]\n", "compose.yaml:3: "},
		{"variable that must be given", "services:\n  web:\n    image: a:${TAG:?say which}\n", "say which"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := project(t, map[string]string{"compose.yaml": c.text}, nil)
			if err == nil {
				t.Fatalf("it is loaded: %+v", p)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
		})
	}
}

func TestWithoutAFile(t *testing.T) {
	if _, err := project(t, nil, nil); err == nil || !strings.Contains(err.Error(), "there is no Compose file in ") {
		t.Errorf("%v", err)
	}
	if _, err := project(t, map[string]string{"compose.yaml": "services: {a: {image: a}}\n"}, func(s *Source) { s.EnvFile = s.Dir + "/none" }); err == nil || !strings.Contains(err.Error(), "which env_file names") {
		t.Errorf("%v", err)
	}
}

func TestTheCommandIsFoundWithoutStartingIt(t *testing.T) {
	dir := t.TempDir()
	plugins := filepath.Join(dir, "cli-plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		t.Fatal(err)
	}
	there := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			if slices.Contains(names, name) {
				return "/bin/" + name, nil
			}
			return "", errors.New("not there")
		}
	}
	find := func(names ...string) string {
		c, err := Find(there(names...), t.TempDir(), dir)
		if err != nil {
			return err.Error()
		}
		return c.Path + ": " + c.String()
	}
	if got := find("docker-compose"); got != "/bin/docker-compose: docker-compose" {
		t.Error(got)
	}
	if got := find(); !strings.Contains(got, "neither docker nor docker-compose") {
		t.Error(got)
	}
	if err := os.WriteFile(filepath.Join(plugins, "docker-compose"), nil, 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	if got := find("docker", "docker-compose"); got != "/bin/docker: docker compose" {
		t.Error(got)
	}
}
