// Testing shows how code that stands on evident is tested. There is nothing to
// run but tests: a small bank and what holds it to its rules.
//
//	go test -v ./examples/testing/...
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { run(os.Stdout) }

func run(out io.Writer) {
	fmt.Fprint(out, `This example is its tests. Read them next to the code, and run them:

  go test -v ./examples/testing/...

  bank/account_test.go      given, when, then: the rules of an aggregate, without a store
  bank/balances_test.go     a projection is driven, looked at, replayed, and fed with nonsense
  bank/repository_test.go   commands against a store that fails before and after the fact
  bank/counted_test.go      a store decorator of one's own passes the suite that all stores pass
`)
}
