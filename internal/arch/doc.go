// Package arch keeps the house in order: it lists what each room may import
// and says why everything else is forbidden.
//
// [House] is the table. [Load] asks the go command for the module's packages
// and what they import; [Check] compares the two. The package has no users
// outside its own test: run `go test ./internal/arch`.
package arch
