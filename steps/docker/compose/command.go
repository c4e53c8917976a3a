package compose

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Command is the Compose command of this machine.
type Command struct {
	Path string   // the file to run
	Argv []string // how its command line begins
}

func (c Command) String() string { return c.Argv[0] + rest(c.Argv[1:]) }

func rest(argv []string) string {
	out := ""
	for _, a := range argv {
		out += " " + a
	}
	return out
}

// pluginFolders are where the docker command looks for its plugins, in its order.
func pluginFolders(home, config string) []string {
	if config == "" {
		config = filepath.Join(home, ".docker")
	}
	return []string{filepath.Join(config, "cli-plugins"), "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"}
}

// Find finds the command without starting anything: `docker compose` where the plugin is, else
// docker-compose. look finds a program in PATH.
func Find(look func(name string) (string, error), home, config string) (Command, error) {
	docker, noDocker := look("docker")
	if noDocker == nil {
		for _, folder := range pluginFolders(home, config) {
			plugin := filepath.Join(folder, "docker-compose")
			if info, err := os.Stat(plugin); err == nil && !info.IsDir() && unix.Access(plugin, unix.X_OK) == nil {
				return Command{Path: docker, Argv: []string{"docker", "compose"}}, nil
			}
		}
	}
	if alone, err := look("docker-compose"); err == nil {
		return Command{Path: alone, Argv: []string{"docker-compose"}}, nil
	}
	missing := "neither the plugin of `docker compose` nor docker-compose is on this machine"
	if noDocker != nil {
		missing = "neither docker nor docker-compose is on this machine"
	}
	return Command{}, fmt.Errorf("%s; install docker-compose-plugin, or Debian's docker-compose", missing)
}
