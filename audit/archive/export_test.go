package archive

import "github.com/evident-go/evident/event"

// For tests of what cannot be brought about from outside.
var DecodeLine = decode

// EncodeLine returns the line of an event.
func EncodeLine(e event.Event) ([]byte, error) { return (&encoder{}).encode(&e) }

// EncodeManifest returns a manifest's file, with the checksum that it should have.
func EncodeManifest(m Manifest) ([]byte, error) { return m.encode() }
