// Calls a model many times, one call after the other: calls-go 1|2 NUMBER URL with HTTP of this
// version; each second answer comes as a stream of events.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	number, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport)
	if os.Args[1] == "1" {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	for index := 0; index < number; index++ {
		content := strings.Repeat("hello? ", 20+50*(index%7))
		question := fmt.Sprintf(
			`{"model":"m","messages":[{"role":"user","content":"%s"}],"stream":%t}`,
			content, index%2 == 1)
		answer, err := http.Post(
			os.Args[3]+"v1/chat/completions", "application/json", strings.NewReader(question))
		if err != nil {
			log.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK || strconv.Itoa(answer.ProtoMajor) != os.Args[1] {
			log.Fatal(answer.Status, answer.Proto)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
	}
}
