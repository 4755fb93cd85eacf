package aggregate

import (
	"reflect"
	"time"
)

// Cloner is implemented by states that hold maps, slices or pointers: Clone
// returns a copy that shares nothing that a handler changes in place.
//
// With it, a handler that fails half-way leaves no trace, and the cache costs
// no encoding. Without it, Emit works on a plain copy: fields are as before
// after a failure, but what a handler changed inside a map, or inside the
// elements of a slice, stays changed.
type Cloner[S any] interface {
	Clone() S
}

// copier knows how states of type S are copied.
type copier[S any] struct {
	clone func(*S) S // nil if S has no Clone method
	plain bool       // S has no references: assignment is a full copy
}

func copierOf[S any]() copier[S] {
	c := copier[S]{plain: plain(reflect.TypeFor[S]())}
	if _, ok := any(new(S)).(Cloner[S]); ok {
		c.clone = func(s *S) S { return any(s).(Cloner[S]).Clone() } //nolint:forcetypeassert // asserted above.
	} else if _, ok := any(*new(S)).(Cloner[S]); ok {
		c.clone = func(s *S) S { return any(*s).(Cloner[S]).Clone() } //nolint:forcetypeassert // asserted above.
	}
	return c
}

// working returns the copy that an emit works on, see [Cloner].
func (c copier[S]) working(s *S) S {
	if c.clone != nil {
		return c.clone(s)
	}
	return *s
}

// independent returns a copy that shares nothing with s, if there is a way to
// make one without encoding it.
func (c copier[S]) independent(s *S) (S, bool) {
	return c.working(s), c.copies()
}

func (c copier[S]) copies() bool { return c.plain || c.clone != nil }

// plain reports whether values of t hold no references, so that assigning one
// copies all of it. A time's location is immutable.
func plain(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			if !plain(field.Type) {
				return false
			}
		}
		return true
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return false
	default:
		return true
	}
}
