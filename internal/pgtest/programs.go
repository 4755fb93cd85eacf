package pgtest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// NotFoundError says that PostgreSQL's server programs are not installed.
type NotFoundError struct {
	Looked []string // where they were looked for
}

// Error says where they were looked for, and what to run.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("PostgreSQL's server programs were not found (looked in %s); run `make postgres` (apt-get or brew)",
		strings.Join(e.Looked, ", "))
}

// Find returns the folder of PostgreSQL's server programs: of those in PATH if
// it has them, otherwise those of the highest version in the folders where
// packages put them. It returns a [*NotFoundError] if there are none.
func Find() (string, error) {
	return find(filepath.SplitList(os.Getenv("PATH")), usualFolders())
}

func find(path, usual []string) (string, error) {
	for _, folder := range append(path, newest(usual)...) {
		if found := installation(folder); found != "" {
			return found, nil
		}
	}
	return "", &NotFoundError{Looked: append([]string{"PATH"}, usual...)}
}

// usualFolders are patterns: Debian, built from source, Homebrew, Red Hat.
func usualFolders() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/usr/pgsql-*/bin",
	}
}

// newest returns the folders that match patterns, the highest version first.
func newest(patterns []string) []string {
	var folders []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // fails on a bad pattern only
		folders = append(folders, matches...)
	}
	slices.SortStableFunc(folders, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return folders
}

var versionInPath = regexp.MustCompile(`(\d+)(?:\.\d+)*/bin$`)

// version returns the major version that a folder's name tells, or 0.
func version(folder string) int {
	m := versionInPath.FindStringSubmatch(filepath.ToSlash(folder))
	if m == nil {
		return 0
	}
	major, _ := strconv.Atoi(m[1]) // digits; a number too large is no version
	return major
}

// installation returns the folder where the installation is whose server is in
// folder, perhaps as a symbolic link; "" if that is not a whole installation.
// A link to the server alone is common, and the other programs must fit it.
func installation(folder string) string {
	if folder == "" {
		return ""
	}
	target, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres"))
	if err != nil {
		return ""
	}
	for _, candidate := range []string{filepath.Dir(target), folder} {
		if has(candidate, "postgres") && has(candidate, "initdb") {
			return candidate
		}
	}
	return ""
}

func has(folder, program string) bool {
	_, err := exec.LookPath(filepath.Join(folder, program))
	return err == nil
}
