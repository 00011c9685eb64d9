// Loads docker/compose.yaml as Compose does, strictly, once for each set of profiles: compose FILE PROFILE,…… Prints the services of each.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	log.SetFlags(0)
	for _, profiles := range os.Args[2:] {
		options, err := cli.NewProjectOptions([]string{os.Args[1]}, cli.WithOsEnv, cli.WithProfiles(strings.Split(profiles, ",")))
		if err != nil {
			log.Fatalf("%s: %v", profiles, err)
		}
		project, err := options.LoadProject(context.Background())
		if err != nil {
			log.Fatalf("%s: %v", profiles, err)
		}
		fmt.Printf("%s: %s\n", profiles, strings.Join(project.ServiceNames(), " "))
	}
}
