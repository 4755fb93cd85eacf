package postgres

// For tests of what cannot be brought about from outside.
var (
	CheckVersion = checkVersion
	IsUnsure     = isUnsure
)
