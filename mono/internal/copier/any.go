package copier

import (
	"math"
	"time"
	"unsafe"
)

// anyPart copies the value in an interface, if it knows its type. The copy has the type
// that the codec decodes into an empty interface.
type anyPart struct {
	json bool
	trip *tripPart // for other types; nil: leave the whole value to the codec
}

func (a *anyPart) copy(dst, src unsafe.Pointer, depth int) bool {
	x, ok := a.of(*(*any)(src), depth)
	if ok {
		*(*any)(dst) = x
		return true
	}
	return a.trip != nil && a.trip.copy(dst, src, depth)
}

func (a *anyPart) of(x any, depth int) (any, bool) {
	switch v := x.(type) {
	case nil, bool:
		return x, true
	case string:
		return x, !a.json || isText(v)
	case float64:
		return x, !a.json || v-v == 0
	case int:
		return a.integer(int64(v)), true
	case int64:
		return a.integer(v), true
	case []any:
		return a.list(v, depth)
	case map[string]any:
		return a.object(v, depth)
	}
	if a.json {
		return nil, false
	}
	return ofMessagePack(x)
}

// integer returns the value that the codec decodes: JSON rounds it to a float64, as Go
// does.
func (a *anyPart) integer(i int64) any {
	if a.json {
		return float64(i)
	}
	return i
}

// ofMessagePack copies values of types that JSON turns into strings.
func ofMessagePack(x any) (any, bool) {
	switch v := x.(type) {
	case uint64:
		if v > math.MaxInt64 {
			return v, true
		}
		return int64(v), true
	case []byte:
		if v == nil {
			return nil, true
		}
		return append([]byte{}, v...), true
	case time.Time:
		return v.UTC(), true
	}
	return nil, false
}

func (a *anyPart) list(from []any, depth int) (any, bool) {
	switch {
	case from == nil:
		return nil, true
	case depth >= maxDepth:
		return nil, false
	}
	to := make([]any, len(from))
	for i, x := range from {
		y, ok := a.of(x, depth+1)
		if !ok {
			return nil, false
		}
		to[i] = y
	}
	return to, true
}

func (a *anyPart) object(from map[string]any, depth int) (any, bool) {
	switch {
	case from == nil:
		return nil, true
	case depth >= maxDepth:
		return nil, false
	}
	to := make(map[string]any, len(from))
	for key, x := range from {
		y, ok := a.of(x, depth+1)
		if !ok || a.json && !isText(key) {
			return nil, false
		}
		to[key] = y
	}
	return to, true
}
