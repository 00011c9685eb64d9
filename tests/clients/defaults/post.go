// Sends a body so often, one after another, with the client's default settings: post URL COUNT BODY
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	count, _ := strconv.Atoi(os.Args[2])
	taken, lost := 0, 0
	for n := 0; n < count; n++ {
		response, failure := http.Post(os.Args[1], "application/json", strings.NewReader(os.Args[3]))
		if failure != nil {
			lost++
			fmt.Fprintln(os.Stderr, failure)
			continue
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode == 202 {
			taken++
		}
	}
	fmt.Printf("taken %d lost %d\n", taken, lost)
}
