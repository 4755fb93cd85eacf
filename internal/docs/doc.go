// Package docs keeps the documentation true: code blocks come from files that
// are compiled, quoted output from files that tests compare, and links lead
// somewhere.
//
// An author marks lines of a Go file as a region,
//
//	//docs:begin edit
//	func (d *Document) Edit(ctx context.Context, content string) error {
//		…
//	}
//	//docs:end edit
//
// and names file and region in a comment right above the block:
//
//	<!-- from: examples/documents/main.go#edit -->
//	```go
//	```
//
// `make docs` fills the block in; the test of this package fails when block
// and region differ, and for every go block without such a comment. Without
// "#region" the whole file is meant, which is how golden output is quoted. In
// files of other languages the marker stands behind "#" or "--".
package docs
