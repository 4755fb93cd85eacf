package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Keys of the bucket begin with what they are of.
const (
	checkpointKeys = "checkpoint."
	leaseKeys      = "lease."
	recordKeys     = "record."
	liveKeys       = "live."
	sequenceKeys   = "sequence."
	letterKeys     = "letter."
	discardedKeys  = "discarded."
	clearedKeys    = "cleared."
	snapshotKeys   = "snapshot."
	stateKeys      = "state."
	aboutKey       = "about"
)

// longestPart bounds a part of a key. With three such parts a subject is still
// far from the 4 kB of which servers close the connection.
const longestPart = 240

// keyPart returns a name as one part of a key. Letters and digits of ASCII, "-"
// and "_" stay, every other byte becomes "=" and two hex digits, and the empty
// name "=": different names have different parts. A name whose part would be
// too long has a digest instead, behind a "/"; the names themselves are in the
// values, too, so that no key needs to be read.
func keyPart(name string) string {
	if name == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&0xf])
		}
	}
	if b.Len() <= longestPart {
		return b.String()
	}
	digest := sha256.Sum256([]byte(name))
	return "/" + hex.EncodeToString(digest[:])
}

// progressKey joins the parts of a key.
func progressKey(kind string, parts ...string) string { return kind + strings.Join(parts, ".") }

// versionKey is the key of something that a version of a projection has one of.
func versionKey(kind, projection string, version int) string {
	return progressKey(kind, keyPart(projection), strconv.Itoa(version))
}

// below is the pattern of all keys that go on behind a key.
func below(key string) string { return strings.TrimSuffix(key, ".") + ".>" }

// matches reports whether a pattern takes a key.
func matches(pattern, key string) bool {
	above, all := strings.CutSuffix(pattern, ">")
	if !all {
		return pattern == key
	}
	return strings.HasPrefix(key, above)
}

// bucketName returns the name of the bucket of a prefix, which must be valid.
func bucketName(prefix string) string { return strings.ReplaceAll(prefix, ".", "_") + "_progress" }
