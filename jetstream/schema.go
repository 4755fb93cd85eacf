package jetstream

import (
	_ "embed"
	"slices"
)

// ActivityRecordedSchemaURL identifies the schema of [Activity], and is where
// it can be read.
const ActivityRecordedSchemaURL = "https://raw.githubusercontent.com/evident-go/evident/main/jetstream/schema/activity-recorded/v1.json"

//go:embed schema/activity-recorded/v1.json
var activityRecordedV1 []byte

// ActivityRecordedSchema returns the JSON Schema of the data of an
// ActivityRecorded v1 message, [Activity].
//
// Version 1 changes in one way only: a property may be added that readers may
// ignore. Whatever else is to change, a name, a type, a meaning, what must be
// there, makes version 2, with another type, another schema and another
// subject, and both are published for as long as somebody reads the first.
func ActivityRecordedSchema() []byte { return slices.Clone(activityRecordedV1) }
