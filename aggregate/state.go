package aggregate

import (
	"errors"
	"fmt"
	"reflect"
)

// errLossy says that a state does not survive its encoding.
var errLossy = errors.New("state differs after encoding and decoding: export its fields, or leave it out of snapshots and cache")

// encodeState returns the state's bytes, having made sure that they hold all of
// it: a state with unexported fields would be another one when it comes back.
func (d *Definition[S]) encodeState(s *S) (data []byte, err error) {
	defer rescued(&err)
	if data, err = d.codec.Encode(s); err != nil {
		return nil, fmt.Errorf("encode state of %s: %w", d.aggregateType, err)
	}
	back, err := d.decodeState(data)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(*s, back) {
		return nil, fmt.Errorf("encode state of %s: %w", d.aggregateType, errLossy)
	}
	return data, nil
}

func (d *Definition[S]) decodeState(data []byte) (s S, err error) {
	defer rescued(&err)
	if err := d.codec.Decode(data, &s); err != nil {
		return s, fmt.Errorf("decode state of %s: %w", d.aggregateType, err)
	}
	return s, nil
}

func rescued(err *error) {
	if v := recover(); v != nil {
		*err = caught(v)
	}
}
